//! Finds the endpoints that fail more than their peers, and leaves them out for a while.

use super::{set::EndpointId, window::Tally};
use crate::config::OutlierConfig;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

#[cfg(test)]
mod tests;

/// Leaves endpoints out that fail more than their peers, as gRPC's outlier detection does.
///
/// Calls are counted until the next sweep, which judges all endpoints at once. An endpoint that is left out
/// keeps its connections and gets no new calls.
///
/// ```text
///           a sweep found it out            a sweep after its time
///   In ───────────────────────────▶ Out ───────────────────────────▶ In
///      multiplier + 1                                                  multiplier − 1 with each sweep
/// ```
#[derive(Clone, Debug)]
pub struct OutlierDetector {
    config: OutlierConfig,
    peers: BTreeMap<EndpointId, Peer>,
    next_sweep: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Since the last sweep.
    calls: Tally,
    standing: Standing,
}

/// `multiplier` counts ejections in short succession.
#[derive(Clone, Copy, Debug)]
enum Standing {
    In { multiplier: u32 },
    Out { multiplier: u32, since: Instant, why: Ejection },
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Endpoints that get no calls from now on.
    pub ejected: Vec<Ejection>,
    /// Endpoints that get calls again.
    pub returned: Vec<EndpointId>,
    /// Endpoints that were found out and stay, because chance or the cap said so.
    pub unenforced: Vec<Ejection>,
}

/// An endpoint that was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Which.
    pub id: EndpointId,
    /// By which rule.
    pub rule: OutlierRule,
    /// Its calls that succeeded since the sweep before.
    pub successes: u64,
    /// Its calls that failed.
    pub failures: u64,
}

/// An endpoint that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Since when.
    pub since: Instant,
    /// From when on a sweep lets it back in.
    pub until: Instant,
    /// What it was found out for.
    pub why: Ejection,
}

/// What an endpoint is left out for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutlierRule {
    /// Its success rate is far below the mean.
    SuccessRate,
    /// Too many of its calls failed.
    FailurePercentage,
}

impl OutlierRule {
    /// Every rule.
    pub const ALL: [Self; 2] = [Self::SuccessRate, Self::FailurePercentage];

    /// Lower-case name, as in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::SuccessRate => "success_rate",
            Self::FailurePercentage => "failure_percentage",
        }
    }
}

impl OutlierDetector {
    /// Starts without endpoints; the first sweep is due an interval after `now`.
    pub fn new(config: OutlierConfig, now: Instant) -> Self {
        Self { config, peers: BTreeMap::new(), next_sweep: now + config.interval.min(DAY) }
    }

    /// Watches exactly these endpoints from now on. Those that stay keep their counts and their standing.
    pub fn set_members(&mut self, members: impl IntoIterator<Item = EndpointId>) {
        let mut before = std::mem::take(&mut self.peers);
        let fresh = Peer { calls: Tally::default(), standing: Standing::In { multiplier: 0 } };
        let stays = |id| (id, before.remove(&id).unwrap_or(fresh));
        self.peers = members.into_iter().map(stays).collect();
    }

    /// A call to an endpoint ended. Endpoints that are not watched count nothing.
    pub fn on_outcome(&mut self, id: EndpointId, succeeded: bool) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.calls.add(if succeeded { Tally::SUCCESS } else { Tally::FAILURE });
        }
    }

    /// When the next sweep is due.
    pub fn next_sweep(&self) -> Instant {
        self.next_sweep
    }

    /// Whether an endpoint is left out.
    pub fn is_ejected(&self, id: EndpointId) -> bool {
        self.peers.get(&id).is_some_and(Peer::is_out)
    }

    /// Since when and why an endpoint is left out; `None` if it is not.
    pub fn ejection(&self, id: EndpointId) -> Option<LeftOut> {
        match self.peers.get(&id)?.standing {
            Standing::In { .. } => None,
            Standing::Out { multiplier, since, why } => {
                let until = since + self.config.ejection_time(multiplier);
                Some(LeftOut { since, until, why })
            }
        }
    }

    /// Judges all endpoints by their calls since the last sweep, if one is due at `now`; else does nothing.
    /// `draw` gives fresh draws from 0..1, one for each endpoint that is found out.
    pub fn on_sweep(&mut self, now: Instant, draw: impl FnMut() -> f64) -> Sweep {
        if now < self.next_sweep {
            return Sweep::default();
        }
        self.next_sweep = now + self.config.interval.min(DAY);
        let calls: Vec<_> = self
            .peers
            .iter_mut()
            .map(|(id, peer)| (*id, std::mem::take(&mut peer.calls)))
            .collect();
        let mut sweep = Sweep { returned: self.forgive(now), ..Sweep::default() };
        self.eject(found_out(&self.config, &calls), now, draw, &mut sweep);
        self.calm_down(&sweep);
        sweep
    }

    /// Lets those back in whose time is over.
    fn forgive(&mut self, now: Instant) -> Vec<EndpointId> {
        let mut returned = Vec::new();
        for (id, peer) in &mut self.peers {
            match peer.standing {
                Standing::Out { multiplier, since, .. }
                    if since + self.config.ejection_time(multiplier) <= now =>
                {
                    returned.push(*id);
                    peer.standing = Standing::In { multiplier };
                }
                Standing::In { .. } | Standing::Out { .. } => {}
            }
        }
        returned
    }

    /// Takes a step back from the multiplier of those that were in before the sweep and still are.
    fn calm_down(&mut self, sweep: &Sweep) {
        for (id, peer) in &mut self.peers {
            match &mut peer.standing {
                Standing::In { multiplier } if !sweep.returned.contains(id) => {
                    *multiplier = multiplier.saturating_sub(1);
                }
                Standing::In { .. } | Standing::Out { .. } => {}
            }
        }
    }

    fn eject(
        &mut self,
        found: Vec<(Ejection, u32)>,
        now: Instant,
        mut draw: impl FnMut() -> f64,
        sweep: &mut Sweep,
    ) {
        let cap = self.config.cap(self.peers.len());
        let mut out = self.peers.values().filter(|peer| peer.is_out()).count();
        let mut seen = BTreeSet::new();
        for (ejection, enforcement) in found {
            let Some(peer) = self.peers.get_mut(&ejection.id) else { continue };
            let Standing::In { multiplier } = peer.standing else { continue };
            if !seen.insert(ejection.id) {
                continue;
            }
            // The cap is compared with what it would be, not with what it is.
            if draw() * 100.0 >= f64::from(enforcement) || out + 1 > cap {
                sweep.unenforced.push(ejection);
                continue;
            }
            out += 1;
            let multiplier = multiplier.saturating_add(1);
            peer.standing = Standing::Out { multiplier, since: now, why: ejection };
            sweep.ejected.push(ejection);
        }
    }
}

impl Peer {
    fn is_out(&self) -> bool {
        match self.standing {
            Standing::In { .. } => false,
            Standing::Out { .. } => true,
        }
    }
}

/// No sweep is further away, whatever a configuration that nobody checked says.
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Whom the rules find out, with the rule's enforcement, the worst first: where a cap lets few go, those go.
fn found_out(config: &OutlierConfig, calls: &[(EndpointId, Tally)]) -> Vec<(Ejection, u32)> {
    let mut found = by_success_rate(config, calls);
    found.extend(by_failure_percentage(config, calls));
    found.sort_by(|(one, _), (other, _)| rate(one.tally()).total_cmp(&rate(other.tally())));
    found
}

fn by_success_rate(config: &OutlierConfig, calls: &[(EndpointId, Tally)]) -> Vec<(Ejection, u32)> {
    let rule = config.success_rate;
    let judged = judged(calls, rule.request_volume, rule.minimum_hosts, rule.enforcement);
    let count = judged.len() as f64;
    let mean = judged.iter().map(|(_, calls)| rate(*calls)).sum::<f64>() / count;
    let variance =
        judged.iter().map(|(_, calls)| (rate(*calls) - mean).powi(2)).sum::<f64>() / count;
    let threshold = mean - variance.sqrt() * f64::from(rule.stdev_factor) / 1000.0;
    judged
        .into_iter()
        .filter(|(_, calls)| rate(*calls) < threshold)
        .map(|(id, calls)| (Ejection::new(id, OutlierRule::SuccessRate, calls), rule.enforcement))
        .collect()
}

fn by_failure_percentage(
    config: &OutlierConfig,
    calls: &[(EndpointId, Tally)],
) -> Vec<(Ejection, u32)> {
    let rule = config.failure_percentage;
    judged(calls, rule.request_volume, rule.minimum_hosts, rule.enforcement)
        .into_iter()
        .filter(|(_, calls)| (1.0 - rate(*calls)) * 100.0 > f64::from(rule.threshold))
        .map(|(id, calls)| {
            (Ejection::new(id, OutlierRule::FailurePercentage, calls), rule.enforcement)
        })
        .collect()
}

/// Those with enough calls, if they are enough; none if the rule is off.
fn judged(
    calls: &[(EndpointId, Tally)],
    volume: u32,
    hosts: u32,
    enforcement: u32,
) -> Vec<(EndpointId, Tally)> {
    let enough = |(_, calls): &&(EndpointId, Tally)| calls.calls() >= u64::from(volume.max(1));
    let judged: Vec<_> = calls.iter().filter(enough).copied().collect();
    if enforcement == 0 || judged.len() < hosts as usize { Vec::new() } else { judged }
}

fn rate(calls: Tally) -> f64 {
    calls.successes as f64 / calls.calls() as f64
}

impl Ejection {
    fn new(id: EndpointId, rule: OutlierRule, calls: Tally) -> Self {
        Self { id, rule, successes: calls.successes, failures: calls.failures }
    }

    fn tally(&self) -> Tally {
        Tally { successes: self.successes, failures: self.failures }
    }
}
