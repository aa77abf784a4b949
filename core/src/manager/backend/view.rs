//! What can be seen of the endpoints of a backend.

use super::{Backend, Peer, View};
use crate::{
    endpoint::{BreakerState, HealthState, Member, Peers as _},
    manager::endpoints::{EndpointReason, EndpointState, LiveEndpoint},
};
use std::{sync::Arc, time::Instant};

/// What an endpoint is in, since when, until when, and why.
struct Seen {
    state: EndpointState,
    since: Instant,
    until: Option<Instant>,
    reason: Option<EndpointReason>,
}

impl Backend {
    /// Its endpoints at `now`, in their order, as those of `backend`. `unit` are fresh draws from 0..1: a sweep that is due
    /// comes first.
    pub(in super::super) fn endpoints(
        &mut self,
        backend: &Arc<str>,
        now: Instant,
        mut unit: impl FnMut() -> f64,
    ) -> Vec<LiveEndpoint> {
        self.sweep(now, &mut unit);
        let view = View { backend: self, tried: &[], now };
        let members = self.members.iter().enumerate();
        let seen = members.filter_map(|(index, member)| {
            let peer = self.peers.get(&member.id)?;
            let seen = self.seen(member, peer, now);
            let weight = if view.is_ready(index) { self.weight(member, now) } else { 0.0 };
            Some(LiveEndpoint {
                backend: Arc::clone(backend),
                address: member.address.clone(),
                host: peer.host.clone(),
                state: seen.state,
                state_age: now.saturating_duration_since(seen.since),
                reason: seen.reason,
                remaining: seen.until.map(|until| until.saturating_duration_since(now)),
                active: peer.active,
                weight: member.weight,
                effective_weight: weight,
            })
        });
        seen.collect()
    }

    fn seen(&self, member: &Member, peer: &Peer, now: Instant) -> Seen {
        let health = peer.health.as_ref().map(|checked| &checked.check);
        let known = health.map_or(HealthState::Unchecked, |check| check.state());
        let told = health.map_or(peer.since, |check| check.since());
        if known == HealthState::Unhealthy {
            let reason = peer.failed_check.clone();
            return Seen { state: EndpointState::Unhealthy, since: told, until: None, reason };
        }
        if let Some(out) = self.outliers.ejection(member.id) {
            let (state, until) = (EndpointState::Ejected, Some(out.until));
            let reason = Some(EndpointReason::of_ejection(out.why));
            return Seen { state, since: out.since, until, reason };
        }
        let (since, reason) = (peer.breaker.since(), peer.failed_connect.clone());
        match peer.breaker.state() {
            BreakerState::Open { until } if until > now => {
                let (state, until) = (EndpointState::BreakerOpen, Some(until));
                return Seen { state, since, until, reason };
            }
            // Its time is over: the next connection is a probe.
            BreakerState::Open { until } => {
                let state = EndpointState::BreakerHalfOpen;
                return Seen { state, since: until, until: None, reason };
            }
            BreakerState::HalfOpen { .. } => {
                let state = EndpointState::BreakerHalfOpen;
                return Seen { state, since, until: None, reason };
            }
            BreakerState::Closed => {}
        }
        if member.weight == 0 {
            let (state, since) = (EndpointState::Drained, peer.weighed.1);
            return Seen { state, since, until: None, reason: None };
        }
        let back = peer.back.max(told).max(since);
        let slow_start = &self.config.balance.slow_start;
        if slow_start.share(peer.since, now) < 1.0 {
            let (state, until) = (EndpointState::SlowStart, peer.since + slow_start.window);
            return Seen { state, since: peer.since.max(back), until: Some(until), reason: None };
        }
        let state = match known {
            HealthState::Healthy => EndpointState::Healthy,
            HealthState::Unchecked | HealthState::Unhealthy => EndpointState::Unchecked,
        };
        // What began with a part of its weight is what it is since it has all of it.
        let grown = if slow_start.window.is_zero() { back } else { peer.since + slow_start.window };
        Seen { state, since: back.max(grown), until: None, reason: None }
    }
}
