//! What the figures depend on: the clock, the cores, and which machine it was.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{fs, process::Command, time::Instant};

/// The clock of every bench.
#[expect(clippy::disallowed_methods, reason = "measuring is reading the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Runs `what` with the calling thread, and what it starts meanwhile, on the last `cores` of the cores it may use.
///
/// # Panics
///
/// If the system does not let a thread choose its cores.
pub fn pinned<T>(cores: usize, what: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("the cores of this thread");
    let allowed: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).collect();
    let mut chosen = CpuSet::new();
    for core in allowed.iter().rev().take(cores) {
        chosen.set(*core);
    }
    sched_setaffinity(None, &chosen).expect("a thread may choose among its cores");
    let answer = what();
    sched_setaffinity(None, &before).expect("a thread may have its cores back");
    answer
}

/// Cores, kernel and toolchain, one fact per entry; `programs` are asked for their versions too.
pub(crate) fn facts(programs: &[&[&str]]) -> Vec<String> {
    let processor = read("/proc/cpuinfo");
    let named = |line: &&str| line.starts_with("model name");
    let model = processor.lines().find(named).and_then(|line| line.split_once(": "));
    let cores = processor.lines().filter(named).count();
    let mut facts = vec![
        format!("{cores} cores ({})", model.map_or("unknown", |(_, model)| model)),
        format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
    ];
    let rustc: &[&str] = &["rustc", "--version"];
    facts.extend([rustc].iter().chain(programs).filter_map(|program| version(program)));
    facts
}

/// How many tasks wanted a core, on average over the last minute.
pub(crate) fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn version(program: &[&str]) -> Option<String> {
    let (name, arguments) = program.split_first()?;
    let output = Command::new(name).args(arguments).output().ok()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().next().map(str::to_owned)
}

/// Empty where there is no such file.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_gets_its_cores_back() {
        let before = sched_getaffinity(None).unwrap();
        let inside = pinned(1, || sched_getaffinity(None).unwrap());
        assert_eq!(inside.count(), 1);
        assert!(sched_getaffinity(None).unwrap() == before);
    }

    #[test]
    fn the_facts_name_the_cores_the_kernel_and_the_compiler() {
        let facts = facts(&[&["no-such-program-here"]]);
        assert_eq!(facts.len(), 3, "{facts:?}");
        assert!(facts[2].starts_with("rustc "), "{facts:?}");
    }
}
