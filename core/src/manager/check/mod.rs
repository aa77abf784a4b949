//! Checks the endpoints of a backend for as long as a manager runs: connects, takes a handshake, asks.

mod callback;
mod http;

pub use callback::{CheckAnswer, CheckCallback, CheckQuestion, Checking};

pub(super) use callback::AskingHealth;

use super::{
    backend::CheckOutcome,
    endpoints::EndpointReason,
    shared::{Shared, clock, reach},
    upstream::Upstream,
};
use crate::{
    address::Address,
    config::{EndpointCheck, TlsCheckConfig, is_tls},
    endpoint::{HealthAction, HealthChange, Member},
    metrics::{Counter, Metrics},
    transport::{ConnectOptions, Securing, Stream},
};
use std::{sync::Arc, time::Instant};
use tokio::time::sleep_until;

/// What is known of an endpoint that is to be checked.
struct Checkable<'a> {
    address: &'a Address,
    /// The name that led to its address.
    host: Option<Box<str>>,
    give_up_at: Instant,
}

/// Checks of a backend, each counted once by how it ended.
#[derive(Debug)]
pub(super) struct Checks {
    passed: Counter,
    failed: Counter,
    no_answer: Counter,
}

impl Checks {
    /// Backends of one name count into the same metrics.
    pub(super) fn new(metrics: &Metrics, backend: &str) -> Self {
        let of = |outcome| {
            metrics.counter(
                "trunkline_backend_checks_total",
                "Checks of the endpoints of a backend, by how they ended.",
                &[("backend", backend), ("outcome", outcome)],
            )
        };
        Self { passed: of("passed"), failed: of("failed"), no_answer: of("no_answer") }
    }

    fn count(&self, outcome: &CheckOutcome) {
        match outcome {
            CheckOutcome::Passed => self.passed.add(1),
            CheckOutcome::Failed(_) => self.failed.add(1),
            CheckOutcome::Nothing => self.no_answer.add(1),
        }
    }
}

impl Upstream {
    /// Checks one endpoint for as long as the manager lets connections in and the round is the newest.
    pub(super) async fn check(self: Arc<Self>, shared: Arc<Shared>, member: Member, round: u64) {
        while let Some(action) = self.next_check(&member, round) {
            let step = async {
                match action {
                    HealthAction::Check { give_up_at } => {
                        self.check_once(&shared, &member, round, give_up_at).await
                    }
                    HealthAction::WakeAt(at) => sleep_until(at.into()).await,
                    HealthAction::Nothing => {}
                }
            };
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => return,
                () = step => {}
            }
        }
    }

    async fn check_once(
        &self,
        shared: &Arc<Shared>,
        member: &Member,
        round: u64,
        give_up_at: Instant,
    ) {
        let Some((check, host)) = self.what_to_check(member, round) else { return };
        let (name, endpoint) = (&*self.name, &member.address);
        let checkable = Checkable { address: endpoint, host, give_up_at };
        let outcome = checkable.check(&check, shared, name).await;
        self.checks.count(&outcome);
        let reason = match &outcome {
            CheckOutcome::Failed(reason) => Some((reason.step, Arc::clone(&reason.text))),
            CheckOutcome::Passed | CheckOutcome::Nothing => None,
        };
        let (step, reason) = reason.unzip();
        let reason = reason.as_deref();
        match self.on_checked(member, round, outcome) {
            HealthChange::Nothing => {
                tracing::debug!(backend = name, %endpoint, step, reason, "endpoint was checked");
            }
            HealthChange::Up => {
                tracing::info!(backend = name, %endpoint, "endpoint is healthy");
            }
            HealthChange::Down => {
                tracing::warn!(backend = name, %endpoint, step, reason, "endpoint is not healthy");
            }
        }
    }
}

impl Checkable<'_> {
    async fn check(
        self,
        check: &EndpointCheck,
        shared: &Arc<Shared>,
        backend: &str,
    ) -> CheckOutcome {
        let checked = match check {
            EndpointCheck::Connect => self.reach(shared, None, None).await.map(drop),
            EndpointCheck::Tls(tls) => self.reach(shared, Some(tls), None).await.map(drop),
            EndpointCheck::Http(config) => self.ask(shared, config).await,
            EndpointCheck::Callback(config) => {
                return callback::check(self, *config, shared, backend).await;
            }
        };
        match checked {
            Ok(()) => CheckOutcome::Passed,
            Err(reason) => CheckOutcome::Failed(reason),
        }
    }

    /// Connects, by TLS where its address or `tls` say so.
    async fn reach(
        &self,
        shared: &Shared,
        tls: Option<&TlsCheckConfig>,
        alpn: Option<Vec<String>>,
    ) -> Result<Stream, EndpointReason> {
        let tcp = shared.settings().config.tcp;
        let options = ConnectOptions { tcp, alpn, ..Default::default() };
        let (network, until) = (&shared.network, Some(self.give_up_at));
        let reached = match tls {
            None => {
                let host = self.host.clone().filter(|_| is_tls(self.address));
                reach(network, self.address, host, until, &options).await
            }
            Some(tls) => {
                let securing = Securing { tls: None, host: self.server_name(tls) };
                network.connect_secured(self.address, until, &options, &securing).await
            }
        };
        reached.map_err(|error| EndpointReason::of_reaching(&error))
    }

    /// Whom a certificate must be for.
    fn server_name(&self, tls: &TlsCheckConfig) -> Option<Box<str>> {
        let own = || Some(self.address.socket_addr()?.ip().to_string().into());
        tls.server_name.as_deref().map(Box::from).or_else(|| self.host.clone()).or_else(own)
    }
}

impl Upstream {
    fn next_check(&self, member: &Member, round: u64) -> Option<HealthAction> {
        self.state.lock().on_health_timeout(member.id, round, clock(), fastrand::f64())
    }

    fn what_to_check(
        &self,
        member: &Member,
        round: u64,
    ) -> Option<(EndpointCheck, Option<Box<str>>)> {
        self.state.lock().check(member.id, round)
    }

    fn on_checked(&self, member: &Member, round: u64, outcome: CheckOutcome) -> HealthChange {
        self.state.lock().on_checked(member.id, round, outcome, clock())
    }
}
