//! Starts each kind of relay as a process on the first core.

use std::{fs, net::SocketAddr, path::Path, process::Command};
use trunkline_benches::{Folder, Process, free_address};

/// Kinds of relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Copier,
    HaProxy,
    Nginx,
    OurUdp,
    NginxUdp,
    /// Ours of UDP, with so many other sessions.
    UdpTable(u32),
}

/// A relay that runs until it is dropped.
pub(crate) struct Relay {
    process: Process,
    pub(crate) address: SocketAddr,
    _folder: Folder,
}

impl Relay {
    /// Starts a relay to `backend`.
    pub(crate) fn start(kind: Kind, backend: SocketAddr) -> Self {
        let folder = Folder::new("l4");
        let path = folder.path();
        let (process, address) = match kind {
            Kind::Ours => our_own(&["relay"], backend),
            Kind::Copier => our_own(&["copier"], backend),
            Kind::OurUdp => our_own(&["udp-relay"], backend),
            Kind::UdpTable(entries) => our_own(&["udp-table", &entries.to_string()], backend),
            Kind::NginxUdp => foreign(path, "nginx.conf", backend, nginx_udp),
            Kind::HaProxy => foreign(path, "haproxy.cfg", backend, haproxy),
            Kind::Nginx => foreign(path, "nginx.conf", backend, nginx),
        };
        Self { process, address, _folder: folder }
    }

    /// Seconds that all its threads have run so far.
    pub(crate) fn cpu(&self) -> f64 {
        self.process.cpu()
    }

    /// Bytes of memory that are its own.
    pub(crate) fn memory(&self) -> f64 {
        self.process.memory()
    }
}

fn our_own(role: &[&str], backend: SocketAddr) -> (Process, SocketAddr) {
    let backend = backend.to_string();
    let mut arguments = vec![role[0], &backend];
    arguments.extend(&role[1..]);
    let (process, address) = Process::of_our_own(&arguments);
    (process, address.parse().expect("an address"))
}

/// Starts what `configured` says with a file of its own.
fn foreign(
    folder: &Path,
    file: &str,
    backend: SocketAddr,
    configured: fn(SocketAddr, SocketAddr, &Path) -> (String, Command),
) -> (Process, SocketAddr) {
    let address = free_address();
    let path = folder.join(file);
    let (text, mut command) = configured(address, backend, folder);
    fs::write(&path, text).expect("the folder is ours");
    (Process::listening(command.arg(&path), address), address)
}

fn haproxy(here: SocketAddr, backend: SocketAddr, _: &Path) -> (String, Command) {
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

fn nginx(here: SocketAddr, backend: SocketAddr, folder: &Path) -> (String, Command) {
    nginx_serving(
        &format!(
            "server {{ listen {here}; proxy_pass {backend}; proxy_timeout 1h; tcp_nodelay on; proxy_half_close on; }}"
        ),
        folder,
    )
}

/// Whether it listens is seen by TCP, where it answers nothing.
fn nginx_udp(here: SocketAddr, backend: SocketAddr, folder: &Path) -> (String, Command) {
    nginx_serving(
        &format!(
            "server {{ listen {here} udp; proxy_pass {backend}; proxy_timeout 1h; }} server {{ listen {here}; return \"\"; }}"
        ),
        folder,
    )
}

fn nginx_serving(servers: &str, folder: &Path) -> (String, Command) {
    let folder_text = folder.display();
    let text = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nworker_processes 1;\ndaemon off;\n\
         pid {folder_text}/nginx.pid;\nerror_log {folder_text}/error.log crit;\nworker_rlimit_nofile 20000;\n\
         events {{ worker_connections 19000; }}\n\
         stream {{ {servers} }}\n"
    );
    let mut command = Command::new("nginx");
    command.args(["-p", &folder_text.to_string(), "-c"]);
    (text, command)
}
