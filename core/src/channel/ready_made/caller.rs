//! Says with each call who makes it, and on whose behalf.

use crate::{
    channel::interceptor::{Beginning, Interceptor, OnCall},
    config::CallerConfig,
};
use std::{
    future::ready,
    time::{SystemTime, UNIX_EPOCH},
};
use tonic::Status;

/// Between two names of a chain.
const ARROW: &str = " -> ";

#[derive(Debug)]
pub(super) struct Caller {
    config: CallerConfig,
    names: Names,
}

/// The names of the metadata.
#[derive(Debug)]
struct Names {
    original_caller: String,
    call_chain: String,
    trust_domain: String,
    service_name: String,
    request_id: String,
    timestamp: String,
}

impl Caller {
    pub(super) fn new(config: &CallerConfig) -> Self {
        let name = |rest: &str| format!("{}{rest}", config.prefix);
        let names = Names {
            original_caller: name("original-caller"),
            call_chain: name("call-chain"),
            trust_domain: name("trust-domain"),
            service_name: name("service-name"),
            request_id: name("request-id"),
            timestamp: name("timestamp"),
        };
        Self { config: config.clone(), names }
    }

    fn tell(&self, call: &mut Beginning<'_>) -> Result<(), Status> {
        let (names, config) = (&self.names, &self.config);
        let chain = extended(call.text(&names.call_chain), config)?;
        if call.text(&names.original_caller).is_none() {
            call.set(&names.original_caller, &config.name)?;
        }
        if call.text(&names.request_id).is_none() {
            let id = format!("req-{:032x}", fastrand::u128(..));
            call.set(&names.request_id, &id)?;
        }
        call.set(&names.call_chain, &chain)?;
        call.set(&names.service_name, &config.name)?;
        call.set(&names.timestamp, &unix_nanos().to_string())?;
        match &config.trust_domain {
            Some(domain) => call.set(&names.trust_domain, domain),
            None => {
                // That of another program says nothing of this one.
                call.remove(&names.trust_domain);
                Ok(())
            }
        }
    }
}

impl Interceptor for Caller {
    fn on_call<'a>(&'a self, call: &'a mut Beginning<'_>) -> OnCall<'a> {
        Box::pin(ready(self.tell(call)))
    }
}

/// The chain of the call that is served, and this program at its end.
fn extended(chain: Option<&str>, config: &CallerConfig) -> Result<String, Status> {
    let Some(chain) = chain else { return Ok(config.name.clone()) };
    if chain.split(ARROW).any(|name| name == config.name) {
        let why = format!("{:?} is in the chain of calls already: {chain:?}", config.name);
        return Err(Status::failed_precondition(why));
    }
    let most = config.max_depth as usize;
    if chain.split(ARROW).count() >= most {
        let why = format!("the chain of calls would be longer than {most}: {chain:?}");
        return Err(Status::failed_precondition(why));
    }
    Ok(format!("{chain}{ARROW}{}", config.name))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time of day is told to a peer and decides nothing"
)]
fn unix_nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> CallerConfig {
        CallerConfig { name: "c".to_owned(), max_depth: 3, ..CallerConfig::default() }
    }

    #[test]
    fn a_chain_grows_by_one_and_never_in_a_circle_or_beyond_its_length() {
        let extended = |chain| extended(chain, &config()).map_err(|status| status.code());
        assert_eq!(extended(None).unwrap(), "c");
        assert_eq!(extended(Some("a -> b")).unwrap(), "a -> b -> c");
        for chain in ["c -> a", "a -> c", "c", "a -> b -> d"] {
            assert_eq!(extended(Some(chain)), Err(tonic::Code::FailedPrecondition), "{chain}");
        }
    }

    proptest! {
        #[test]
        fn any_chain_is_extended_or_refused(chain in ".{0,80}") {
            if let Ok(longer) = extended(Some(&chain), &config()) {
                prop_assert!(longer.split(ARROW).count() <= 3 && longer.ends_with(" -> c"));
            }
        }
    }
}
