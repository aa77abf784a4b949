//! The sides of a comparison: code of this process, or programs of any language.

use serde::Deserialize;
use std::{
    ffi::OsString,
    process::{Command, Stdio},
};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Trunkline.
    Ours,
    /// Whom it is compared with.
    Peer,
    /// The same once more: what differs from `Peer` is noise.
    PeerAgain,
}

impl Side {
    /// The name that programs are given and print.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Peer => "peer",
            Self::PeerAgain => "peer_again",
        }
    }
}

/// One value of one round.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sample {
    /// What was measured: the text of a [`Goal`](crate::Goal).
    pub measure: String,
    /// Whose value it is.
    pub side: Side,
    /// In the goal's unit.
    pub value: f64,
}

/// Runs a side once and says what came out.
pub trait Source {
    /// Measures `side` in this round.
    ///
    /// # Errors
    ///
    /// Text for the person at the terminal; it ends the bench.
    fn measure(&mut self, side: Side) -> Result<Vec<Sample>, String>;
}

/// Code of this process: gives the values in the order of the names.
impl<const N: usize, F: FnMut() -> [(&'static str, f64); N]> Source for F {
    fn measure(&mut self, side: Side) -> Result<Vec<Sample>, String> {
        let values = self();
        Ok(values
            .into_iter()
            .map(|(measure, value)| Sample { measure: measure.to_owned(), side, value })
            .collect())
    }
}

/// A program that is run for a side, with the side's name as its last argument.
///
/// It prints one JSON object per line: `{"measure": "…", "side": "peer", "value": 1.5}`, where `side` is `ours`,
/// `peer` or `peer_again`. Lines that do not begin with `{` are passed on to the terminal.
#[derive(Clone, Debug)]
pub struct Program {
    command: Vec<OsString>,
}

impl Program {
    /// The program and its arguments.
    pub fn new<S: Into<OsString>>(command: impl IntoIterator<Item = S>) -> Self {
        Self { command: command.into_iter().map(Into::into).collect() }
    }
}

impl Source for Program {
    fn measure(&mut self, side: Side) -> Result<Vec<Sample>, String> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err("no program".to_owned());
        };
        let output = Command::new(program)
            .args(arguments)
            .arg(side.name())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            return Err(format!("{}: {}", program.display(), output.status));
        }
        samples(&String::from_utf8_lossy(&output.stdout))
    }
}

fn samples(printed: &str) -> Result<Vec<Sample>, String> {
    let (lines, others): (Vec<_>, Vec<_>) = printed.lines().partition(|line| line.starts_with('{'));
    for other in others {
        eprintln!("{other}");
    }
    lines
        .into_iter()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_its_side_and_its_lines_are_values() {
        let script = r#"echo begun; echo "{\"measure\": \"m\", \"side\": \"$1\", \"value\": 2.5}""#;
        let mut program = Program::new(["sh", "-c", script, "sh"]);
        let sample = Sample { measure: "m".into(), side: Side::PeerAgain, value: 2.5 };
        assert_eq!(program.measure(Side::PeerAgain), Ok(vec![sample]));
    }

    #[test]
    fn a_program_that_fails_or_prints_rubbish_ends_the_bench() {
        assert!(Program::new(["false"]).measure(Side::Peer).is_err());
        assert!(Program::new(["no-such-program-here"]).measure(Side::Peer).is_err());
        assert!(samples("{\"measure\": \"m\", \"side\": \"nobody\", \"value\": 1}").is_err());
    }

    #[test]
    fn code_of_this_process_gives_named_values() {
        let mut source = || [("a", 1.0), ("b", 2.0)];
        let samples = source.measure(Side::Ours).unwrap();
        assert_eq!(samples[1], Sample { measure: "b".into(), side: Side::Ours, value: 2.0 });
    }
}
