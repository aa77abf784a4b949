//! What each protocol looks like, and that neither cuts nor mistakes change or break a verdict.

mod datagrams;
mod samples;
mod streams;
