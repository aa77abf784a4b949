//! A script as it is written.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    pub(crate) name: String,
    /// In the JSON form of the pool's configuration.
    #[serde(default)]
    pub(crate) config: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub(crate) abilities: Vec<Ability>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ability {
    Checks,
    Resets,
    Peeks,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Step {
    Do(Act),
    Expect(Outcome),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Act {
    Acquire {
        r#as: String,
        within: Option<u64>,
    },
    Try {
        r#as: String,
    },
    Cancel {
        of: String,
    },
    Release {
        of: String,
    },
    Discard {
        of: String,
    },
    Detach {
        of: String,
    },
    Clear,
    Check,
    Resize {
        max_size: u32,
        min_idle: u32,
    },
    Drain {
        r#as: String,
    },
    Close,
    /// Plans of the next attempts.
    Connects {
        next: Vec<String>,
    },
    LetGo {
        of: String,
    },
    LetFail {
        of: String,
    },
    Spoil {
        connection: u32,
    },
    Break {
        connection: u32,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "expect", rename_all = "snake_case")]
pub(crate) enum Outcome {
    Lent { to: String, connection: u32 },
    Nothing { to: String },
    Refused { caller: String, error: String, says: Option<String> },
    Waiting { callers: Vec<String> },
    Closed { connection: u32, reason: String },
    Open { connection: u32 },
    Stats(BTreeMap<String, u64>),
    Stale { of: String },
    Ended { of: String },
}
