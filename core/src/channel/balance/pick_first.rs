//! Pick first: all calls go to the first address that answers; the others are tried beside it with a stagger.

use super::{ConnectivityState, Endpoint, EndpointId, Subchannel};
use crate::address::Address;
use std::time::{Duration, Instant};

/// Time that an address has to itself before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// ```text
///            connect()              all failed
///   Resting ──────────▶ Trying ────────────▶ Failing
///      ▲                    │ one answered         │ one answered
///      │ it is gone         ▼                      │
///      └───────────────── Chosen ◀─────────────────┘
/// ```
#[derive(Debug)]
pub(super) struct PickFirst {
    shuffle: bool,
    pass: Pass,
}

#[derive(Clone, Copy, Debug)]
enum Pass {
    Resting,
    /// The addresses before `next` were tried, or need not be; the one at `next` is due at `due`, or once all
    /// before it have failed.
    Trying {
        next: usize,
        due: Option<Instant>,
    },
    Chosen(EndpointId),
    /// Each address is tried again as soon as it may be. `failures` counts attempts since the last look-up.
    Failing {
        failures: usize,
    },
}

impl PickFirst {
    pub(super) fn new(shuffle: bool) -> Self {
        Self { shuffle, pass: Pass::Resting }
    }

    /// Puts the addresses in the order in which they are tried: by chance if so configured, families in turn.
    pub(super) fn arrange(
        &self,
        mut listed: Vec<Endpoint>,
        draw: &mut dyn FnMut() -> f64,
    ) -> Vec<Endpoint> {
        if self.shuffle {
            for last in (1..listed.len()).rev() {
                let other = ((draw() * (last + 1) as f64) as usize).min(last);
                listed.swap(last, other);
            }
        }
        families_in_turn(listed)
    }

    pub(super) fn state<C: Clone>(&self, subchannels: &[Subchannel<C>]) -> ConnectivityState {
        match self.pass {
            _ if subchannels.is_empty() => ConnectivityState::TransientFailure,
            Pass::Resting => ConnectivityState::Idle,
            Pass::Trying { .. } => ConnectivityState::Connecting,
            Pass::Chosen(_) => ConnectivityState::Ready,
            Pass::Failing { .. } => ConnectivityState::TransientFailure,
        }
    }

    /// Whether nobody has asked for a connection since the last one went.
    pub(super) fn connect(&mut self) {
        match self.pass {
            Pass::Resting => self.pass = Pass::Trying { next: 0, due: None },
            Pass::Trying { .. } | Pass::Chosen(_) | Pass::Failing { .. } => {}
        }
    }

    pub(super) fn rest(&mut self) {
        self.pass = Pass::Resting;
    }

    /// The addresses are others: the chosen one stays if it is still listed, a search begins anew.
    pub(super) fn on_endpoints<C: Clone>(&mut self, subchannels: &[Subchannel<C>]) {
        match self.pass {
            Pass::Resting => {}
            Pass::Chosen(id) if subchannels.iter().any(|s| s.id == id && s.connections() > 0) => {}
            Pass::Chosen(_) | Pass::Trying { .. } => {
                self.pass = Pass::Trying { next: 0, due: None };
            }
            // A failing channel says so until an address answers, whatever the addresses are.
            Pass::Failing { .. } => self.pass = Pass::Failing { failures: 0 },
        }
    }

    /// An address answered. True if it is the first, which is then the only one.
    pub(super) fn on_connected(&mut self, id: EndpointId) -> bool {
        match self.pass {
            Pass::Chosen(_) => false,
            Pass::Resting | Pass::Trying { .. } | Pass::Failing { .. } => {
                self.pass = Pass::Chosen(id);
                true
            }
        }
    }

    /// One of `count` addresses did not answer. True if it is time to look the addresses up again.
    pub(super) fn on_attempt_failed(&mut self, count: usize) -> bool {
        match &mut self.pass {
            Pass::Failing { failures } => {
                *failures += 1;
                let is_due = *failures >= count;
                if is_due {
                    *failures = 0;
                }
                is_due
            }
            // The end of a first pass is seen when the next address is looked for.
            Pass::Resting | Pass::Trying { .. } | Pass::Chosen(_) => false,
        }
    }

    /// A connection went. The channel rests when it was the last one of the chosen address.
    pub(super) fn on_gone<C: Clone>(&mut self, subchannels: &[Subchannel<C>]) {
        if let Pass::Chosen(id) = self.pass
            && !subchannels.iter().any(|s| s.id == id && s.connections() > 0)
        {
            self.pass = Pass::Resting;
        }
    }

    /// When the next address is tried beside the one before.
    pub(super) fn stagger_at(&self) -> Option<Instant> {
        match self.pass {
            Pass::Trying { due, .. } => due,
            Pass::Resting | Pass::Chosen(_) | Pass::Failing { .. } => None,
        }
    }

    /// The addresses to which attempts begin now.
    pub(super) fn wanted<C: Clone>(
        &mut self,
        subchannels: &[Subchannel<C>],
        now: Instant,
    ) -> Vec<usize> {
        match self.pass {
            Pass::Resting | Pass::Chosen(_) => Vec::new(),
            Pass::Failing { .. } => idle(subchannels, 0..subchannels.len()),
            Pass::Trying { next, due } => self.next_of_pass(subchannels, next, due, now),
        }
    }

    fn next_of_pass<C: Clone>(
        &mut self,
        subchannels: &[Subchannel<C>],
        next: usize,
        due: Option<Instant>,
        now: Instant,
    ) -> Vec<usize> {
        if subchannels.is_empty() {
            return Vec::new();
        }
        let connecting = |s: &Subchannel<C>| s.state() == ConnectivityState::Connecting;
        let is_busy = subchannels[..next].iter().any(connecting);
        if is_busy && due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        // One that waits out a failure has failed already, as far as this pass is concerned.
        let waits = |s: &Subchannel<C>| s.state() == ConnectivityState::TransientFailure;
        let found = (next..subchannels.len()).find(|&at| !waits(&subchannels[at]));
        match found {
            Some(at) => {
                let is_last = at + 1 == subchannels.len();
                let due = (!is_last).then(|| now + STAGGER);
                self.pass = Pass::Trying { next: at + 1, due };
                vec![at]
            }
            None if is_busy => {
                self.pass = Pass::Trying { next: subchannels.len(), due: None };
                Vec::new()
            }
            None => {
                self.pass = Pass::Failing { failures: 0 };
                idle(subchannels, 0..subchannels.len())
            }
        }
    }

    pub(super) fn pick<C: Clone>(&self, subchannels: &[Subchannel<C>]) -> Option<usize> {
        match self.pass {
            Pass::Chosen(id) => subchannels.iter().position(|s| s.id == id),
            Pass::Resting | Pass::Trying { .. } | Pass::Failing { .. } => None,
        }
    }

    /// Whether the first pass has just ended without an answer.
    pub(super) fn is_failing(&self) -> bool {
        matches!(self.pass, Pass::Failing { .. })
    }
}

fn idle<C: Clone>(subchannels: &[Subchannel<C>], range: std::ops::Range<usize>) -> Vec<usize> {
    range.filter(|&at| subchannels[at].state() == ConnectivityState::Idle).collect()
}

/// The first of each kind of address in turn, in the order in which the kinds first appear: a network that
/// carries only one family costs one stagger and not as many as there are addresses.
fn families_in_turn(listed: Vec<Endpoint>) -> Vec<Endpoint> {
    let family = |endpoint: &Endpoint| match &endpoint.address {
        Address::Tcp(address) if address.is_ipv6() => 6,
        Address::Tcp(_) => 4,
        Address::TcpName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Udp(_)
        | Address::UdpName { .. }
        | Address::Tls(_)
        | Address::TlsName { .. }
        | Address::Tunnel(_) => 0,
    };
    let mut kinds: Vec<(u8, std::collections::VecDeque<Endpoint>)> = Vec::new();
    for endpoint in listed {
        let kind = family(&endpoint);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, of_kind)) => of_kind.push_back(endpoint),
            None => kinds.push((kind, [endpoint].into())),
        }
    }
    let mut arranged = Vec::new();
    while kinds.iter().any(|(_, of_kind)| !of_kind.is_empty()) {
        arranged.extend(kinds.iter_mut().filter_map(|(_, of_kind)| of_kind.pop_front()));
    }
    arranged
}
