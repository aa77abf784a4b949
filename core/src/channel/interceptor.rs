//! What a program looks at the calls of a channel with: it adds metadata, denies a call, and hears how each ended.

use super::metadata;
use crate::{error::ConnectionError, secret::Secret, status::StatusCode};
use bytes::Bytes;
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};
use tonic::{Status, metadata::MetadataMap};

/// Looks at calls. Several stand in a row: each sees what those before it added, and no lock is held meanwhile.
pub trait Interceptor: fmt::Debug + Send + Sync {
    /// A call is about to be sent. An error denies it: nothing is sent, and the call ends with that status.
    ///
    /// The call's deadline goes on meanwhile. What is added goes with every attempt.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the call is given up or its deadline passes.
    fn on_call<'a>(&'a self, call: &'a mut Beginning<'_>) -> OnCall<'a> {
        let _ = call;
        Box::pin(std::future::ready(Ok(())))
    }

    /// A call that this one let pass has ended; those that saw it last hear it first. It must not block.
    fn on_end(&self, end: &Ending<'_>) {
        let _ = end;
    }
}

/// What an interceptor decides.
pub type OnCall<'a> = Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>>;

/// A call that is about to be sent.
#[derive(Debug)]
pub struct Beginning<'a> {
    method: &'a str,
    metadata: &'a mut MetadataMap,
    is_secured: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Such as `/package.Service/Method`.
    pub method: &'a str,
    /// Its status. A call that was given up ends with CANCELLED.
    pub code: StatusCode,
    /// What is said about it; empty for OK.
    pub message: &'a str,
    /// Time since it began, all attempts included.
    pub took: Duration,
}

impl<'a> Beginning<'a> {
    pub(super) fn new(method: &'a str, metadata: &'a mut MetadataMap, is_secured: bool) -> Self {
        Self { method, metadata, is_secured }
    }

    /// Such as `/package.Service/Method`.
    pub fn method(&self) -> &str {
        self.method
    }

    /// What goes with the call so far, credentials included.
    pub fn metadata(&self) -> metadata::Metadata {
        metadata::own(self.metadata)
    }

    /// Whether it goes over TLS.
    pub fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// What goes with the call so far, as it goes.
    pub(super) fn map(&self) -> &MetadataMap {
        self.metadata
    }

    /// What goes under a name so far, if it is text; the first where there are several.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.to_str().ok()
    }

    /// Puts one value under a name, instead of what is there.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Status> {
        self.remove(name);
        let added = self.add(name, Bytes::copy_from_slice(value.as_bytes()));
        added.map_err(|error| Status::internal(error.to_string()))
    }

    /// Takes away what is under a name.
    pub(super) fn remove(&mut self, name: &str) {
        self.metadata.remove(name);
    }

    /// Adds one piece of metadata.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for a name that is not lower case or reserved, and a value that the name does
    /// not allow.
    pub fn add(&mut self, name: &str, value: Bytes) -> Result<(), ConnectionError> {
        metadata::add(self.metadata, &[(name.into(), value)])
    }

    /// Adds what proves who calls.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), and [`ConnectionError::Rpc`] with UNAUTHENTICATED where it would go in the clear.
    pub fn add_credentials(&mut self, name: &str, value: Secret) -> Result<(), ConnectionError> {
        if !self.is_secured {
            return Err(super::status::failure(in_the_clear(), true));
        }
        metadata::add_secrets(self.metadata, &[(name.into(), value)])
    }
}

/// What becomes of a call whose credentials would be seen by others.
pub(super) fn in_the_clear() -> Status {
    Status::unauthenticated(
        "credentials are not sent over a connection without TLS unless asked for",
    )
}

/// Those that stand in the way of one call, and how far it has come.
#[derive(Debug, Default)]
pub(super) struct Row {
    all: Option<Arc<Vec<Arc<dyn Interceptor>>>>,
    method: Box<str>,
    passed: usize,
}

impl Row {
    /// All that stand now; `None` for none, which costs nothing.
    pub(super) fn new(all: &Arc<Vec<Arc<dyn Interceptor>>>, method: &str) -> Self {
        match all.is_empty() {
            true => Self::default(),
            false => Self { all: Some(Arc::clone(all)), method: method.into(), passed: 0 },
        }
    }

    /// Shows them the call, one after the other, until one denies it.
    pub(super) async fn begin(
        &mut self,
        map: &mut MetadataMap,
        is_secured: bool,
    ) -> Result<(), Status> {
        for interceptor in self.all.iter().flat_map(|all| all.iter()) {
            let mut call = Beginning::new(&self.method, map, is_secured);
            interceptor.on_call(&mut call).await?;
            self.passed += 1;
        }
        Ok(())
    }

    /// Tells those that it passed how it ended.
    pub(super) fn end(&self, code: StatusCode, message: impl FnOnce() -> String, took: Duration) {
        let Some(all) = &self.all else { return };
        let message = message();
        let end = Ending { method: &self.method, code, message: &message, took };
        for interceptor in all[..self.passed].iter().rev() {
            interceptor.on_end(&end);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_none()
    }
}
