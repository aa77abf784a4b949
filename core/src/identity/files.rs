//! Whether files changed, as far as the file system tells.

use crate::config::{TlsCertificate, TlsChain, TlsConfig, TlsKey, TlsRoots};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The files that a configuration names, and what the file system said about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

/// Changes when a file is written, replaced, or reached by another link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamps {
    /// What the file system says now. A file that cannot be seen has no stamp.
    pub(super) fn now(config: &TlsConfig) -> Self {
        Self(paths(config).iter().map(|path| stamp(path)).collect())
    }

    /// Whether there is nothing to watch.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    let modified = (data.mtime(), data.mtime_nsec());
    Some(Stamp { device: data.dev(), inode: data.ino(), length: data.len(), modified })
}

fn paths(config: &TlsConfig) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if let Some(client) = &config.client {
        add_roots(&mut paths, &client.roots);
        add_certificate(&mut paths, client.certificate.as_ref());
    }
    if let Some(server) = &config.server {
        if let Some(roots) = &server.client_roots {
            add_roots(&mut paths, roots);
        }
        add_certificate(&mut paths, Some(&server.certificate));
    }
    paths
}

fn add_roots(paths: &mut Vec<PathBuf>, roots: &TlsRoots) {
    if let TlsRoots::File(path) = roots {
        paths.push(path.clone());
    }
}

fn add_certificate(paths: &mut Vec<PathBuf>, certificate: Option<&TlsCertificate>) {
    let Some(certificate) = certificate else { return };
    if let TlsChain::File(path) = &certificate.chain {
        paths.push(path.clone());
    }
    if let TlsKey::File(path) = &certificate.key {
        paths.push(path.clone());
    }
}
