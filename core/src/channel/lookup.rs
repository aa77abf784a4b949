//! Finds the addresses of a channel: looks a name up, or reads a file. It holds no channel open.

use super::{listed, resolution::Wanted, shared::Shared};
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
    net::IpAddr,
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
                shared.on_looked_up(lookup, found);
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
        self.with(|state, now, draw| {
            let was_good = state.resolution.why().is_none();
            let found = state.resolution.on_read(found, now);
            if let Some(why) = state.resolution.why().filter(|_| was_good) {
                let why = why as &dyn Error;
                tracing::warn!(target = %self.target.text, error = why, "no addresses for the channel: earlier ones stay");
            }
            if let Some(endpoints) = found {
                state.on_endpoints(endpoints, now, draw);
            }
        });
    }

    pub(super) fn on_looked_up(
        self: &Arc<Self>,
        lookup: Lookup,
        found: Result<Vec<IpAddr>, ConnectionError>,
    ) {
        self.with(|state, now, draw| {
            let unit = draw();
            if let Some(endpoints) = state.resolution.on_looked_up(lookup, found, now, unit) {
                state.on_endpoints(endpoints, now, draw);
            }
        });
    }
}
