//! The table as text, as JSON, and as a section of the page with all results.

use crate::row::Row;
use serde::Serialize;
use std::{fmt::Write, fs, path::Path};

const PAGE_HEAD: &str = "# Results\n\n\
    Each table comes from one run of `make bench-<name>`. Sides run in interleaved rounds; a ratio is the median of the\n\
    rounds' ratios, ours to the peer's. Every peer runs twice per round: the last row of each\n\
    comparison shows it against itself, and `noise` is its ratio to itself and the median deviation from 1. A target is\n\
    met when the ratio reaches it within that deviation.\n";

/// What a bench found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Vec<String>,
    pub(crate) rounds: usize,
    /// The load of the machine before and after.
    pub(crate) load: (String, String),
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// Writes `results/<name>.json` and the section of that name in `RESULTS.md`, both in `folder`.
    pub(crate) fn file(&self, name: &str, folder: &Path) -> Result<(), String> {
        let results = folder.join("results");
        fs::create_dir_all(&results).map_err(|error| error.to_string())?;
        let json = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        write(&results.join(format!("{name}.json")), &(json + "\n"))?;
        let page = folder.join("RESULTS.md");
        let before = fs::read_to_string(&page).unwrap_or_else(|_| PAGE_HEAD.to_owned());
        write(&page, &with_section(&before, name, &self.text()))
    }

    /// A table for people; it is Markdown too.
    pub(crate) fn text(&self) -> String {
        let head =
            ["measure", "unit", "ours", "peer", "its value", "ratio", "must", "met", "noise"];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let widths: Vec<_> = (0..head.len())
            .map(|column| {
                lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0)
            })
            .collect();
        lines.insert(1, std::array::from_fn(|column| "-".repeat(widths[column])));
        let mut text = String::new();
        for cells in lines {
            for (cell, width) in cells.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
        }
        let (before, after) = &self.load;
        let machine = self.machine.join("; ");
        let _ = write!(text, "\n{machine}. {} rounds, load {before} to {after}.\n", self.rounds);
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }
}

/// One row while the bench still runs.
pub(crate) fn line(row: &Row) -> String {
    let [measure, unit, ours, peer, theirs, ratio, must, met, noise] = cells(row);
    format!(
        "{measure}: {ours} {unit}, {peer} {theirs}: {ratio} (must {must}: {met}; noise {noise})"
    )
}

fn cells(row: &Row) -> [String; 9] {
    [
        row.measure.clone(),
        row.unit.clone(),
        figure(row.ours),
        row.peer.clone(),
        figure(row.peer_value),
        figure(row.ratio),
        row.must.clone(),
        if row.must == "none" {
            "-"
        } else if row.met {
            "yes"
        } else {
            "NO"
        }
        .to_owned(),
        format!("{:.2} ± {:.0} %", row.peer_ratio, row.noise * 100.0),
    ]
}

/// Three or more significant digits, no more decimals than that takes.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// `page` with the section `name` replaced, or added at its end.
fn with_section(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
    let section = format!("{begin}\n## {name}\n\n{text}{end}");
    let found = page.find(&begin).zip(page.find(&end)).filter(|(from, to)| from < to);
    match found {
        Some((from, to)) => {
            format!("{}{section}{}", &page[..from], &page[to + end.len()..])
        }
        None => format!("{}\n\n{section}\n", page.trim_end()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_where_it_stands_and_others_stay() {
        let page = with_section(&with_section("# Head\n", "a", "one\n"), "b", "two\n");
        let replaced = with_section(&page, "a", "three\n");
        assert_eq!(replaced, page.replace("one", "three"));
        assert!(
            replaced.starts_with("# Head\n\n<!-- begin a -->\n## a\n\nthree\n<!-- end a -->\n")
        );
        assert!(replaced.ends_with("two\n<!-- end b -->\n"));
    }

    #[test]
    fn the_files_hold_each_row_under_its_keys() {
        let row = Row {
            measure: "round trip".into(),
            unit: "ns".into(),
            ours: 12.345,
            peer: "socket".into(),
            peer_value: 1235.0,
            ratio: 0.01,
            must: "<= 0.100".into(),
            met: true,
            noise: 0.02,
            peer_ratio: 1.0,
        };
        let report = Report {
            machine: vec!["2 cores".into()],
            rounds: 7,
            load: ("0.1".into(), "0.2".into()),
            rows: vec![row],
            notes: vec!["Slow.".into()],
        };
        let folder = std::env::temp_dir().join(format!("trunkline-report-{}", std::process::id()));
        report.file("it", &folder).unwrap();
        let json = fs::read_to_string(folder.join("results/it.json")).unwrap();
        let page = fs::read_to_string(folder.join("RESULTS.md")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["rows"][0]["peer_value"], 1235.0);
        assert_eq!(json["rows"][0]["met"], true);
        assert!(page.contains("| round trip | ns   | 12.3 | socket | 1235 "), "{page}");
        assert!(page.contains("Slow.") && page.contains("load 0.1 to 0.2"), "{page}");
    }
}
