//! Finds the addresses of a channel: looks a name up, asks the program, or reads a file. It holds no channel open.

use super::{listed, resolution::Wanted, resolver, shared::Shared};
use crate::{
    address::Address,
    endpoint::Lookup,
    error::{ConnectionError, Place, Step},
    transport,
};
use std::{
    error::Error,
    fs::File,
    io::Read as _,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Weak},
};

/// Bytes that a file has at most.
const LARGEST: u64 = 1 << 20;

/// Finds out once what is wanted.
pub(super) async fn look_up(shared: Weak<Shared>, wanted: Wanted) {
    match wanted {
        Wanted::Name { lookup, host, port } => {
            let found = transport::look_up(&host, port, lookup.give_up_at()).await;
            if let Some(shared) = shared.upgrade() {
                let address = |ip| Address::Tcp(SocketAddr::new(ip, port));
                let found = found.map(|ips| ips.into_iter().map(address).collect());
                shared.on_looked_up(lookup, found);
            }
        }
        Wanted::Program { lookup, number } => {
            let answer = resolver::ask(&shared, &lookup, number).await;
            if let (Some(answer), Some(shared)) = (answer, shared.upgrade()) {
                shared.on_looked_up(lookup, answer);
            }
        }
        Wanted::File(path) => {
            let found = read_file(path).await;
            if let Some(shared) = shared.upgrade() {
                shared.on_read(found);
            }
        }
    }
}

/// What a file says. Reading may block, on a network file system for long.
async fn read_file(path: Arc<Path>) -> Result<Vec<Address>, ConnectionError> {
    let read = tokio::task::spawn_blocking(move || from_file(&path)).await;
    let at = || Place::at(Step::Resolve);
    match read {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(why)) => Err(ConnectionError::ConnectionFailed { at: at().because(why) }),
        // The runtime is being shut down.
        Err(_) => Err(ConnectionError::closed(Step::Resolve)),
    }
}

/// What the file at `path` says.
///
/// # Errors
///
/// Those of the system, and in the words of [`BadList`](listed::BadList) what is wrong with it, both with the path.
fn from_file(path: &Path) -> Result<Vec<Address>, UnusableFile> {
    let unusable = |why: Box<dyn Error + Send + Sync>| UnusableFile { path: path.into(), why };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    let length = read.map_err(|error| unusable(error.into()))?;
    if length as u64 > LARGEST {
        return Err(unusable("it has more than 1 MiB".into()));
    }
    listed::read_list(&text).map_err(|error| unusable(error.into()))
}

/// A file that brings no addresses.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
struct UnusableFile {
    path: Box<Path>,
    why: Box<dyn Error + Send + Sync>,
}

impl Shared {
    pub(super) fn on_read(self: &Arc<Self>, found: Result<Vec<Address>, ConnectionError>) {
        let why = self.with(|state, now, draw| {
            let was_good = state.resolution.why().is_none();
            if let Some(endpoints) = state.resolution.on_read(found, now) {
                state.on_endpoints(endpoints, now, draw);
            }
            state.resolution.why().filter(|_| was_good).cloned()
        });
        self.complain(why);
    }

    /// One warning for the whole time until addresses come again.
    fn complain(&self, why: Option<ConnectionError>) {
        if let Some(why) = &why {
            let why = why as &dyn Error;
            tracing::warn!(target = %self.target.text, error = why, "no addresses for the channel: earlier ones stay");
        }
    }

    /// The program says where the target is, asked or not.
    ///
    /// # Errors
    ///
    /// `Closed`; `InvalidConfig` for a channel whose addresses are not the program's to say; else what is wrong with
    /// the addresses, and then those before stay.
    pub(super) fn push_addresses(
        self: &Arc<Self>,
        addresses: Vec<Address>,
    ) -> Result<(), ConnectionError> {
        if self.resolver.is_none() {
            let reason = "has no resolver of the program: its addresses are not for it to say";
            return Err(ConnectionError::invalid_config("target", reason));
        }
        let addresses = resolver::checked(addresses, self.config.resolver.max_addresses)?;
        self.with(|state, now, draw| {
            if state.is_closed() {
                return Err(ConnectionError::closed(Step::Resolve));
            }
            let endpoints = state.resolution.on_pushed(&addresses, now);
            state.on_endpoints(endpoints, now, draw);
            Ok(())
        })
    }

    pub(super) fn on_looked_up(
        self: &Arc<Self>,
        lookup: Lookup,
        found: Result<Vec<Address>, ConnectionError>,
    ) {
        let why = self.with(|state, now, draw| {
            let (unit, was_good) = (draw(), state.resolution.why().is_none());
            if let Some(endpoints) = state.resolution.on_looked_up(lookup, found, now, unit) {
                state.on_endpoints(endpoints, now, draw);
            }
            state.resolution.why().filter(|_| was_good).cloned()
        });
        self.complain(why);
    }
}
