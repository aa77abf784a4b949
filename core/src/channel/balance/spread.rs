//! Calls go to every address that answers: in turn, to the least busy, or by a key.

use super::{ConnectivityState, Subchannel};
use crate::{
    config::{BalanceConfig, LoadBalancing, PickPolicy},
    endpoint::{Draw, Member, Peers, Picker},
};

/// A picker over the addresses that answer.
#[derive(Debug)]
pub(super) struct Spread {
    config: BalanceConfig,
    picker: Picker,
}

impl Spread {
    pub(super) fn new(policy: &LoadBalancing) -> Self {
        let rule = match policy {
            LoadBalancing::PickFirst { .. } | LoadBalancing::RoundRobin => PickPolicy::RoundRobin,
            LoadBalancing::LeastRequest => PickPolicy::P2c,
            LoadBalancing::RingHash { .. } => PickPolicy::RingHash,
        };
        let config = BalanceConfig { policy: rule, ..BalanceConfig::default() };
        let picker = Picker::new(&config, &[], 0.0);
        Self { config, picker }
    }

    /// `unit` is a fresh draw from 0..1.
    pub(super) fn on_endpoints(&mut self, members: &[Member], unit: f64) {
        self.picker = Picker::new(&self.config, members, unit);
    }

    /// The addresses to which attempts begin now: all that have no connection and may be tried.
    pub(super) fn wanted<C: Clone>(&self, subchannels: &[Subchannel<C>]) -> Vec<usize> {
        let is_idle = |at: &usize| subchannels[*at].state() == ConnectivityState::Idle;
        (0..subchannels.len()).filter(is_idle).collect()
    }

    /// The address of one more call. Those that are full are passed over while another has room.
    pub(super) fn pick<C: Clone>(
        &self,
        subchannels: &[Subchannel<C>],
        most_connections: u32,
        draw: Draw<'_>,
    ) -> Option<usize> {
        let with_room = View { subchannels, full_too: false };
        self.picker.pick(&with_room, draw).or_else(|| {
            let full_too = most_connections > 1;
            full_too.then(|| self.picker.pick(&View { subchannels, full_too }, draw)).flatten()
        })
    }
}

struct View<'a, C> {
    subchannels: &'a [Subchannel<C>],
    full_too: bool,
}

impl<C: Clone> Peers for View<'_, C> {
    fn is_ready(&self, index: usize) -> bool {
        let subchannel = &self.subchannels[index];
        match self.full_too {
            true => subchannel.state() == ConnectivityState::Ready,
            false => subchannel.has_room(),
        }
    }

    fn load(&self, index: usize) -> f64 {
        f64::from(self.subchannels[index].in_flight())
    }
}
