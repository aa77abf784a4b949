//! A program that says itself where a channel's target is: how it is asked, and what its answers must be.

use super::{ConnectivityState, shared::Shared, target::stream_address};
use crate::{
    address::Address,
    endpoint::Lookup,
    error::{ConnectionError, Place, Step},
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;

/// Finds out where a channel's target is.
///
/// It is asked when the channel leaves idle, and again when addresses do not work or a connection is lost: once at a time,
/// at most every `resolver.min_interval` of the configuration. What it says in between goes by
/// [`Channel::push_addresses`](super::Channel::push_addresses). It must not hold a channel that holds it.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// Says where the target is. An error, a panic, no answer within `question.timeout`, and an answer that cannot be used
    /// leave the channel what it knows: `inspect`, the log and UNAVAILABLE say why, and it is asked again after a while.
    ///
    /// # Cancel safety
    ///
    /// The future runs as a task, which is aborted when the time is up or the channel is closed.
    fn resolve(self: Arc<Self>, question: ResolveQuestion) -> Resolving;
}

/// What a [`Resolver`] answers: the addresses, from 1 to `resolver.max_addresses`, each of a stream and none of them
/// `tls://`.
pub type Resolving = Pin<Box<dyn Future<Output = Result<Vec<Address>, ConnectionError>> + Send>>;

/// What a [`Resolver`] is asked.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveQuestion {
    /// The channel's target, as it was given.
    pub target: Box<str>,
    /// 1 for the first question about it, and one more for each that follows.
    pub number: u64,
    /// Time for the answer.
    pub timeout: Duration,
}

/// Why an answer of the program brings nothing.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("the resolver panicked")]
    Panicked,
    #[error("the resolver says no address")]
    Empty,
    #[error("the resolver says {said} addresses, and at most {limit} are taken")]
    TooMany { said: usize, limit: u32 },
    #[error("the resolver says {0}, which is no address of a stream")]
    NoStream(Address),
    #[error("the resolver says {0}: the channel is what is secured, or not")]
    Secured(Address),
}

impl From<Unusable> for ConnectionError {
    fn from(why: Unusable) -> Self {
        Self::ConnectionFailed { at: Place::at(Step::Resolve).because(why) }
    }
}

/// What is taken of an answer.
///
/// # Errors
///
/// What is wrong with it: then nothing is taken.
pub(super) fn checked(said: Vec<Address>, limit: u32) -> Result<Vec<Address>, ConnectionError> {
    match said.len() {
        0 => return Err(Unusable::Empty.into()),
        count if count > limit as usize => {
            return Err(Unusable::TooMany { said: count, limit }.into());
        }
        _ => {}
    }
    for address in &said {
        match address {
            Address::Tls(_) | Address::TlsName { .. } => {
                return Err(Unusable::Secured(address.clone()).into());
            }
            _ if stream_address(&address.to_string()).is_none() => {
                return Err(Unusable::NoStream(address.clone()).into());
            }
            _ => {}
        }
    }
    Ok(said)
}

/// Asks the program. `None` if the channel is closed, or gone: nobody waits for the answer any more.
pub(super) async fn ask(
    shared: &Weak<Shared>,
    lookup: &Lookup,
    number: u64,
) -> Option<Result<Vec<Address>, ConnectionError>> {
    let (task, mut states, config) = {
        let shared = shared.upgrade()?;
        let (resolver, config) = (Arc::clone(shared.resolver.as_ref()?), shared.config.resolver);
        let target = shared.target.text.clone();
        let question = ResolveQuestion { target, number, timeout: config.timeout };
        // In a task, so that a panic in it, or in the call that makes it, is an answer like any other.
        let task = async move { resolver.resolve(question).await };
        let task = shared.tasks.spawn_on(task, shared.network.runtime());
        (AbortOnDropHandle::new(task), shared.states(), config)
    };
    let closed = states.wait_for(|state| *state == ConnectivityState::Shutdown);
    let answer = tokio::select! {
        biased;
        _ = closed => return None,
        answer = timeout_at(lookup.give_up_at().into(), task) => answer,
    };
    Some(match answer {
        Err(_) => Err(ConnectionError::timeout(Some(config.timeout), Place::at(Step::Resolve))),
        Ok(Err(error)) if error.is_panic() => Err(Unusable::Panicked.into()),
        // The runtime is being shut down.
        Ok(Err(_)) => Err(ConnectionError::closed(Step::Resolve)),
        Ok(Ok(said)) => said.and_then(|said| checked(said, config.max_addresses)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(said: &[&str], limit: u32) -> String {
        let said = said.iter().map(|one| one.parse().unwrap()).collect();
        checked(said, limit).unwrap_err().with_causes().to_string()
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        for (said, reason) in [
            (&[][..], "no address"),
            (&["mem:a", "mem:b", "mem:c"], "3 addresses, and at most 2"),
            (&["mem:a", "udp://127.0.0.1:1"], "udp://127.0.0.1:1, which is no address of a stream"),
            (&["tls://a:1"], "tls://a:1: the channel is what is secured"),
        ] {
            let why = why(said, 2);
            assert!(why.contains(reason), "{said:?}: {why}");
        }
        let good: Vec<Address> = vec!["mem:a".parse().unwrap(), "tcp://h:1".parse().unwrap()];
        assert_eq!(checked(good.clone(), 2).unwrap(), good);
    }
}
