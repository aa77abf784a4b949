//! One bench: its comparisons, round by round, and what is written at its end.

use crate::{
    machine,
    report::{self, Report},
    row::{Goal, Must, Rounds, Row},
    side::{Side, Source},
};
use std::{env, path::Path, process::ExitCode};

/// Rounds of each comparison where the command line does not say.
const ROUNDS: usize = 7;

/// The comparisons of one table. Made from the command line: `[--rounds N] [--only TEXT]`.
///
/// With `--only`, just the comparisons in whose measures or peer the text occurs are run, and nothing is written.
#[derive(Debug)]
pub struct Bench {
    name: &'static str,
    rounds: usize,
    only: Option<String>,
    programs: Vec<&'static [&'static str]>,
    notes: Vec<String>,
    rows: Vec<Row>,
    failures: Vec<String>,
    load_before: String,
}

impl Bench {
    /// The bench `name`, for which the results are filed.
    ///
    /// # Errors
    ///
    /// How the command line is to be used, where it was not.
    pub fn from_args(name: &'static str) -> Result<Self, String> {
        let (rounds, only) = parse(env::args().skip(1))?;
        Ok(Self {
            name,
            rounds,
            only,
            programs: Vec::new(),
            notes: Vec::new(),
            rows: Vec::new(),
            failures: Vec::new(),
            load_before: machine::load(),
        })
    }

    /// Tells also the version of a peer's toolchain, by what this command prints.
    pub fn toolchain(&mut self, version: &'static [&'static str]) {
        self.programs.push(version);
    }

    /// A sentence for below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Measures both in interleaved rounds; each goal makes a row, and one more shows the noise.
    pub fn compare(
        &mut self,
        peer: &str,
        goals: &[Goal],
        ours: &mut dyn Source,
        theirs: &mut dyn Source,
    ) {
        let is_named =
            self.is_selected(peer) || goals.iter().any(|goal| self.is_selected(goal.measure));
        if !is_named {
            return;
        }
        match compare(self.rounds, peer, goals, ours, theirs) {
            Ok(rows) => {
                for row in rows {
                    println!("{}", report::line(&row));
                    self.rows.push(row);
                }
            }
            Err(error) => {
                eprintln!("{peer}: {error}");
                self.failures.push(format!("{peer}: {error}"));
            }
        }
    }

    /// Whether `text`, a measure or a peer, is to be run: all are, unless `--only` says otherwise.
    pub fn is_selected(&self, text: &str) -> bool {
        self.only.as_ref().is_none_or(|only| text.contains(only))
    }

    /// A row without a peer: `value` must stay at or below `limit`.
    pub fn at_most(&mut self, measure: &str, unit: &str, limit: f64, value: f64) {
        let row = Row {
            measure: measure.to_owned(),
            unit: unit.to_owned(),
            ours: value,
            peer: "limit".to_owned(),
            peer_value: limit,
            ratio: value / limit,
            must: Must::AtMost(1.0).to_string(),
            met: value <= limit,
            noise: 0.0,
            peer_ratio: 1.0,
        };
        println!("{}", report::line(&row));
        self.rows.push(row);
    }

    /// A row without a peer and without a target.
    pub fn tell(&mut self, measure: &str, unit: &str, value: f64) {
        let row = Row {
            measure: measure.to_owned(),
            unit: unit.to_owned(),
            ours: value,
            peer: "nobody".to_owned(),
            peer_value: value,
            ratio: 1.0,
            must: Must::Tell.to_string(),
            met: true,
            noise: 0.0,
            peer_ratio: 1.0,
        };
        println!("{}", report::line(&row));
        self.rows.push(row);
    }

    /// Prints the table and writes the files. A missed target is a result; a side that did not run is a failure.
    pub fn finish(self) -> ExitCode {
        let report = Report {
            machine: machine::facts(&self.programs),
            rounds: self.rounds,
            load: (self.load_before, machine::load()),
            rows: self.rows,
            notes: self.notes,
        };
        println!("\n{}", report.text());
        if !self.failures.is_empty() {
            eprintln!("not run:\n{}", self.failures.join("\n"));
            return ExitCode::FAILURE;
        }
        if self.only.is_some() {
            return ExitCode::SUCCESS;
        }
        match report.file(self.name, Path::new(env!("CARGO_MANIFEST_DIR"))) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(usize, Option<String>), String> {
    let (mut rounds, mut only) = (ROUNDS, None);
    let usage = || "usage: [--rounds N, at least 1] [--only TEXT]".to_owned();
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(usage)?;
        match arg.as_str() {
            "--rounds" => rounds = value.parse().ok().filter(|n| *n > 0).ok_or_else(usage)?,
            "--only" => only = Some(value),
            _ => return Err(usage()),
        }
    }
    Ok((rounds, only))
}

/// Each round begins with another side, so that none is always the one that finds the caches cold.
fn order(round: usize) -> [Side; 3] {
    let mut sides = [Side::Ours, Side::Peer, Side::PeerAgain];
    sides.rotate_left(round % 3);
    sides
}

fn compare(
    rounds: usize,
    peer: &str,
    goals: &[Goal],
    ours: &mut dyn Source,
    theirs: &mut dyn Source,
) -> Result<Vec<Row>, String> {
    let mut values = vec![Rounds::default(); goals.len()];
    // What is measured before everything is warm counts for nobody.
    ours.measure(Side::Ours)?;
    theirs.measure(Side::Peer)?;
    for round in 0..rounds {
        for side in order(round) {
            let samples = match side {
                Side::Ours => ours.measure(side)?,
                Side::Peer | Side::PeerAgain => theirs.measure(side)?,
            };
            for sample in samples {
                let goal = goals.iter().position(|goal| goal.measure == sample.measure);
                let goal = goal.ok_or_else(|| format!("no goal is named {:?}", sample.measure))?;
                values[goal].add(sample.side, sample.value);
            }
        }
    }
    let mut rows = Vec::new();
    for (goal, values) in goals.iter().zip(&values) {
        values.check(rounds).map_err(|error| format!("{}: {error}", goal.measure))?;
        rows.push(values.row(goal, peer));
    }
    rows.extend(goals.iter().zip(&values).next().map(|(goal, values)| values.noise(goal, peer)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const GOAL: Goal = Goal { measure: "m", unit: "ns", must: Must::AtMost(0.5) };

    #[test]
    fn rounds_are_interleaved_and_each_begins_with_another_side() {
        let order = RefCell::new(String::new());
        let side = |name: char, value| {
            let order = &order;
            move || {
                order.borrow_mut().push(name);
                [("m", value)]
            }
        };
        let rows = compare(3, "peer", &[GOAL], &mut side('o', 4.0), &mut side('p', 10.0)).unwrap();
        assert_eq!(order.into_inner(), ["op", "opp", "ppo", "pop"].concat());
        assert_eq!((rows[0].ratio, rows[0].met), (0.4, true));
    }

    #[test]
    fn a_value_without_a_goal_and_a_goal_without_a_value_are_errors() {
        let (mut m, mut other) = (|| [("m", 1.0)], || [("other", 1.0)]);
        assert!(compare(1, "peer", &[GOAL], &mut m, &mut other).is_err());
        assert!(compare(1, "peer", &[GOAL], &mut m, &mut || []).is_err());
    }

    #[test]
    fn the_command_line_says_rounds_and_a_selection() {
        let parse = |args: &[&str]| parse(args.iter().map(|arg| (*arg).to_owned()));
        assert_eq!(parse(&[]), Ok((ROUNDS, None)));
        assert_eq!(parse(&["--rounds", "3", "--only", "x"]), Ok((3, Some("x".to_owned()))));
        for wrong in [&["--rounds", "0"][..], &["--rounds"], &["--fast", "1"]] {
            assert!(parse(wrong).is_err());
        }
    }
}
