//! The processes that are measured, which run on the first core.

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Time for a process to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that runs until it is dropped: its input ends, and it is asked to end.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, and what it will start, on the first core that the calling thread may use.
    ///
    /// # Panics
    ///
    /// If it cannot be started: `make peers` installs what benches need.
    pub fn start(command: &mut Command) -> Self {
        let before = sched_getaffinity(None).expect("the cores of this thread");
        let first = (0..CpuSet::MAX_CPU).find(|core| before.is_set(*core)).expect("there is one");
        let mut chosen = CpuSet::new();
        chosen.set(first);
        sched_setaffinity(None, &chosen).expect("a thread may choose among its cores");
        let started = command.spawn();
        sched_setaffinity(None, &before).expect("a thread may have its cores back");
        let name = command.get_program().display();
        Self { child: started.unwrap_or_else(|error| panic!("{name}: {error} (make peers)")) }
    }

    /// Starts this program once more, with other arguments; also the first line that it prints.
    ///
    /// # Panics
    ///
    /// If it cannot be started or prints nothing.
    pub fn of_our_own(arguments: &[&str]) -> (Self, String) {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self::start(&mut command);
        let mut line = String::new();
        let output = process.child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it prints");
        (process, line.trim().to_owned())
    }

    /// Starts `command` without input and output, and waits until somebody listens at `address`.
    ///
    /// # Panics
    ///
    /// If it cannot be started, or nobody listens for ten seconds.
    pub fn listening(command: &mut Command, address: SocketAddr) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Self::start(command);
        let started = crate::now();
        while TcpStream::connect(address).is_err() {
            assert!(started.elapsed() < PATIENCE, "nobody listens at {address}: {command:?}");
            thread::sleep(Duration::from_millis(5));
        }
        process
    }

    /// Seconds that it and its children have run so far.
    pub fn cpu(&self) -> f64 {
        self.family().iter().map(|process| cpu_of(*process)).sum()
    }

    /// Bytes of memory that are its own and its children's.
    pub fn memory(&self) -> f64 {
        self.family().iter().map(|process| memory_of(*process)).sum()
    }

    /// The process, its children and theirs: some do their work in those.
    fn family(&self) -> Vec<i32> {
        let mut all = vec![self.child.id().cast_signed()];
        let mut next = 0;
        while let Some(process) = all.get(next) {
            let children = format!("/proc/{process}/task/{process}/children");
            let children = fs::read_to_string(children).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
            next += 1;
        }
        all
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// A folder for what processes are configured with, gone when this is dropped: after them.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The one of the bench `name`, of which there is one at a time.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for configurations");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An address on loopback that was free a moment ago.
///
/// # Panics
///
/// If there is none.
pub fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("it is bound")
}

fn cpu_of(process: i32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let run = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    run.sum::<f64>() / 1e9
}

fn memory_of(process: i32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let of = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let kib = ["Private_Clean:", "Private_Dirty:"].iter().filter_map(|name| of(name)).sum::<f64>();
    kib * 1024.0
}
