//! Starts each kind of tunnel, with both of its ends on the first core.

use std::{fs, net::SocketAddr, path::Path, process::Command};
use trunkline_benches::{Folder, Process, free_address};

/// Kinds of tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Native,
    Packet,
    OpenSsh,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Packet => "packet",
            Self::OpenSsh => "OpenSSH",
        }
    }
}

/// A tunnel that stands until it is dropped.
pub(crate) struct Tunnel {
    /// The one that connects ends first.
    ends: [Process; 2],
    _folder: Folder,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
}

impl Tunnel {
    /// A tunnel to `service`.
    pub(crate) fn start(kind: Kind, service: SocketAddr) -> Self {
        let folder = Folder::new("tunnel");
        let path = folder.path();
        let (ends, address) = match kind {
            Kind::Native | Kind::Packet => our_own(path, service, kind.name()),
            Kind::OpenSsh => openssh(path, service),
        };
        Self { ends, _folder: folder, address }
    }

    /// Seconds that both ends have run so far.
    pub(crate) fn cpu(&self) -> f64 {
        self.ends.iter().map(Process::cpu).sum()
    }
}

fn our_own(folder: &Path, service: SocketAddr, carrier: &str) -> ([Process; 2], SocketAddr) {
    let issued =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    write(folder, "certificate.pem", &issued.cert.pem());
    write(folder, "key.pem", &issued.signing_key.serialize_pem());
    let folder = folder.to_str().expect("a folder that can be told");
    let (hub, line) = Process::of_our_own(&["hub", folder]);
    let (agents, clients) = line.split_once(' ').expect("two addresses");
    let service = format!("tcp://{service}");
    let (agent, ready) = Process::of_our_own(&["agent", folder, agents, &service, carrier]);
    assert_eq!(ready, "ready", "the tunnel stands");
    let address = clients.trim_start_matches("tcp://").parse().expect("an address");
    ([agent, hub], address)
}

fn openssh(folder: &Path, service: SocketAddr) -> ([Process; 2], SocketAddr) {
    for name in ["host", "user"] {
        let key = folder.join(name);
        let mut command = Command::new("ssh-keygen");
        let made = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.is_ok_and(|status| status.success()), "ssh-keygen makes a key (make peers)");
    }
    // Where it separates its privileges, which it insists on as root.
    let _ = fs::create_dir_all("/run/sshd");
    let (server, clients) = (free_address(), free_address());
    let at = folder.display();
    write(
        folder,
        "sshd_config",
        &format!(
            "ListenAddress {server}\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nAllowTcpForwarding yes\nPasswordAuthentication no\n"
        ),
    );
    let mut command = Command::new("/usr/sbin/sshd");
    let sshd =
        Process::listening(command.arg("-D").arg("-f").arg(folder.join("sshd_config")), server);
    let mut command = Command::new("ssh");
    command.args(["-N", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "ExitOnForwardFailure=yes", "-o", "IdentitiesOnly=yes", "-F", "none"]);
    command.arg("-i").arg(folder.join("user")).arg("-R").arg(format!("{clients}:{service}"));
    command.arg("-p").arg(server.port().to_string()).arg(server.ip().to_string());
    let ssh = Process::listening(&mut command, clients);
    ([ssh, sshd], clients)
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("the folder is ours");
}
