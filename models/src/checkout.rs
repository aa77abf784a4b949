//! Core's checkout pool without its driver: the line.
#![allow(dead_code, unreachable_pub, reason = "the models use a part of what core offers")]

#[path = "../../core/src/pool/checkout/line.rs"]
pub(crate) mod line;
