//! Starts each kind of relay as a process on the first core, and looks at what it costs.

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_setaffinity},
};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use trunkline_benches::now;

/// Kinds of relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Copier,
    HaProxy,
    Nginx,
}

/// A relay that runs until it is dropped.
pub(crate) struct Relay {
    child: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
}

/// Time for a relay to listen.
const PATIENCE: Duration = Duration::from_secs(10);

impl Relay {
    /// Starts a relay to `backend`.
    pub(crate) fn start(kind: Kind, backend: SocketAddr) -> Self {
        let folder = env::temp_dir().join(format!("trunkline-l4-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for configurations");
        let (child, address) = match kind {
            Kind::Ours => our_own("relay", backend),
            Kind::Copier => our_own("copier", backend),
            Kind::HaProxy => foreign(&folder, "haproxy.cfg", backend, haproxy),
            Kind::Nginx => foreign(&folder, "nginx.conf", backend, nginx),
        };
        let relay = Self { child, folder, address };
        for thread in relay.threads() {
            sched_setaffinity(Pid::from_raw(thread), &first_core()).expect("a relay of our own");
        }
        relay
    }

    /// Seconds that all its threads have run so far.
    pub(crate) fn cpu(&self) -> f64 {
        self.processes().iter().map(|process| cpu_of(*process)).sum()
    }

    /// Bytes of memory that are its own.
    pub(crate) fn memory(&self) -> f64 {
        self.processes().iter().map(|process| memory_of(*process)).sum()
    }

    /// The process and its children: nginx works in one.
    fn processes(&self) -> Vec<i32> {
        let pid = self.child.id().cast_signed();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        std::iter::once(pid).chain(children).collect()
    }

    fn threads(&self) -> Vec<i32> {
        let of = |process: &i32| {
            let tasks =
                fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect::<Vec<_>>()
        };
        self.processes().iter().flat_map(of).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Ours end with their input, the others in order.
        drop(self.child.stdin.take());
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn first_core() -> CpuSet {
    let allowed = rustix::thread::sched_getaffinity(None).expect("the cores of this process");
    let first = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).expect("there is one");
    let mut chosen = CpuSet::new();
    chosen.set(first);
    chosen
}

fn our_own(role: &str, backend: SocketAddr) -> (Child, SocketAddr) {
    let program = env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args([role, &backend.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started again");
    let mut line = String::new();
    let output = child.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("it says where it listens");
    (child, line.trim().parse().expect("an address"))
}

/// Starts what `configured` says with a file of its own, listening on a port that was free a moment ago.
fn foreign(
    folder: &std::path::Path,
    file: &str,
    backend: SocketAddr,
    configured: fn(SocketAddr, SocketAddr, &std::path::Path) -> (String, Command),
) -> (Child, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let path = folder.join(file);
    let (text, mut command) = configured(address, backend, folder);
    fs::write(&path, text).expect("the folder is ours");
    let child = command
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("haproxy and nginx are installed: make peers");
    let started = now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < PATIENCE, "{file}: nobody listens");
        thread::sleep(Duration::from_millis(5));
    }
    (child, address)
}

fn haproxy(here: SocketAddr, backend: SocketAddr, _: &std::path::Path) -> (String, Command) {
    let text = format!(
        "global\n nbthread 1\n maxconn 6000\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n option splice-request\n \
         option splice-response\n\
         listen relay\n bind {here}\n server backend {backend}\n"
    );
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]);
    (text, command)
}

fn nginx(here: SocketAddr, backend: SocketAddr, folder: &std::path::Path) -> (String, Command) {
    let folder_text = folder.display();
    let text = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nworker_processes 1;\ndaemon off;\n\
         pid {folder_text}/nginx.pid;\nerror_log {folder_text}/error.log crit;\nworker_rlimit_nofile 20000;\n\
         events {{ worker_connections 19000; }}\n\
         stream {{ server {{ listen {here}; proxy_pass {backend}; proxy_timeout 1h; tcp_nodelay on; proxy_half_close on; }} }}\n"
    );
    let mut command = Command::new("nginx");
    command.args(["-p", &folder_text.to_string(), "-c"]);
    (text, command)
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
