//! Calls go to every address that answers: in turn, by weight, to the least busy, or by a key.

use super::{ConnectivityState, Subchannel, weighing::Weighing};
use crate::{
    channel::report::LoadReport,
    config::{BalanceConfig, LoadBalancing, PickPolicy},
    endpoint::{Draw, EndpointId, Member, Peers, Picker, pick::LeastOf},
};
use std::time::Instant;

/// A picker over the addresses that answer.
#[derive(Debug)]
pub(super) struct Spread {
    policy: LoadBalancing,
    chooser: Chooser,
}

#[derive(Debug)]
enum Chooser {
    Picker(Picker),
    LeastOf(LeastOf),
    Weighing(Weighing),
}

impl Spread {
    pub(super) fn new(policy: &LoadBalancing) -> Self {
        let chooser = match policy {
            LoadBalancing::WeightedRoundRobin(config) => Chooser::Weighing(Weighing::new(*config)),
            LoadBalancing::LeastRequest { choices } => Chooser::LeastOf(LeastOf::new(0, *choices)),
            LoadBalancing::PickFirst { .. }
            | LoadBalancing::RoundRobin
            | LoadBalancing::RingHash { .. } => Chooser::Picker(picker(policy, &[], 0.0)),
        };
        Self { policy: policy.clone(), chooser }
    }

    /// `unit` is a fresh draw from 0..1.
    pub(super) fn on_endpoints(&mut self, members: &[Member], unit: f64) {
        match &mut self.chooser {
            Chooser::Picker(of_before) => *of_before = picker(&self.policy, members, unit),
            Chooser::LeastOf(of_before) => *of_before = of_before.of(members.len()),
            Chooser::Weighing(weighing) => weighing.on_endpoints(members, unit),
        }
    }

    /// A server reported its load.
    pub(super) fn on_report(&mut self, id: EndpointId, report: LoadReport, now: Instant) {
        match &mut self.chooser {
            Chooser::Weighing(weighing) => weighing.on_report(id, report, now),
            Chooser::Picker(_) | Chooser::LeastOf(_) => {}
        }
    }

    /// An address is not connected to any more.
    pub(super) fn on_gone(&mut self, id: EndpointId) {
        match &mut self.chooser {
            Chooser::Weighing(weighing) => weighing.on_gone(id),
            Chooser::Picker(_) | Chooser::LeastOf(_) => {}
        }
    }

    /// The addresses to which attempts begin now: all that have no connection and may be tried.
    pub(super) fn wanted<C: Clone>(&self, subchannels: &[Subchannel<C>]) -> Vec<usize> {
        let is_idle = |at: &usize| subchannels[*at].state() == ConnectivityState::Idle;
        (0..subchannels.len()).filter(is_idle).collect()
    }

    /// The address of one more call. Those that are full are passed over while another has room.
    pub(super) fn pick<C: Clone>(
        &mut self,
        subchannels: &[Subchannel<C>],
        most_connections: u32,
        draw: Draw<'_>,
        now: Instant,
    ) -> Option<usize> {
        let with_room = View { subchannels, full_too: false, now };
        self.choose(&with_room, draw, now).or_else(|| {
            let full_too = most_connections > 1;
            full_too.then(|| self.choose(&View { subchannels, full_too, now }, draw, now)).flatten()
        })
    }

    fn choose(&mut self, peers: &impl Peers, draw: Draw<'_>, now: Instant) -> Option<usize> {
        match &mut self.chooser {
            Chooser::Picker(picker) => picker.pick(peers, draw),
            Chooser::LeastOf(least) => least.pick(peers, draw.units[0]),
            Chooser::Weighing(weighing) => weighing.pick(peers, draw.units[0], now),
        }
    }
}

fn picker(policy: &LoadBalancing, members: &[Member], unit: f64) -> Picker {
    let mut config = BalanceConfig { policy: PickPolicy::RoundRobin, ..BalanceConfig::default() };
    if let LoadBalancing::RingHash { min_size, max_size, .. } = policy {
        let count = members.len().max(1) as u32;
        config.policy = PickPolicy::RingHash;
        config.ring_points = min_size.div_ceil(count).min(max_size / count).max(1);
    }
    Picker::new(&config, members, unit)
}

struct View<'a, C> {
    subchannels: &'a [Subchannel<C>],
    full_too: bool,
    now: Instant,
}

impl<C: Clone> Peers for View<'_, C> {
    fn is_ready(&self, index: usize) -> bool {
        let subchannel = &self.subchannels[index];
        let is_ready = match self.full_too {
            true => subchannel.state() == ConnectivityState::Ready,
            false => subchannel.has_room(),
        };
        is_ready && subchannel.admits(self.now)
    }

    fn load(&self, index: usize) -> f64 {
        f64::from(self.subchannels[index].in_flight())
    }
}
