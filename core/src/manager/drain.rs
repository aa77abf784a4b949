//! Ends a manager gently: waits for what finishes, closes the rest one after the other, and none too late.

use super::{
    TcpConnectionManager,
    live::{Drained, Live},
    shared::clock,
    spread::Spread,
    stats::DrainReport,
};
use crate::{
    context::{CloseReason, ConnectionId},
    events::{Event, EventKind},
};
use std::{
    cmp::Reverse,
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    time::{Duration, Instant},
};
use tokio::time::{sleep_until, timeout_at};

#[cfg(test)]
mod tests;

impl TcpConnectionManager {
    /// Lets no new connection in, waits until those that stand have finished, and closes the rest by `deadline` (or within
    /// the config's `drain_timeout` where there is none) as [`Drained`](CloseReason::Drained): one after the other in the
    /// last part of that time, which the config's `drain_spread` says, those first that have been silent for longest.
    /// Then the manager is closed.
    ///
    /// Connections that wait in the backlog of a [`relay`](Self::relay) are still served, as far as
    /// the limit lets them in. Those that wait for a place of their backend are closed at once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the manager without new connections, and those that stand as they
    /// are. A further call goes on waiting.
    pub async fn drain(&self, deadline: Option<Instant>) -> DrainReport {
        let shared = self.shared();
        let (config, began) = (&shared.settings().config, clock());
        let deadline = deadline.or_else(|| config.drain_timeout.from(began));
        let before = shared.live.stats();
        let connections = before.active;
        self.record(EventKind::DrainStarted { connections });
        shared.stop();
        self.end_loops().await;
        shared.live.seal();
        let spread = deadline.map(|until| {
            let length =
                config.drain_spread.unwrap_or_else(|| (until.saturating_duration_since(began)) / 3);
            Spread::new(began, until, length)
        });
        let finished = tokio::select! {
            biased;
            finished = finish_by(deadline, shared.live.emptied()) => finished,
            never = close_evenly(&shared.live, spread) => match never {},
        };
        if !finished {
            shared.cut.order(CloseReason::Drained);
            shared.live.cut(CloseReason::Drained);
        }
        self.end_tasks().await;
        let report = DrainReport::between(&before, &shared.live.stats());
        self.record(EventKind::DrainEnded { cut: report.cut });
        tracing::info!(report.cut, "drained");
        report
    }

    fn record(&self, kind: EventKind) {
        self.shared().network.events().record(Event::of_listener(kind, None, clock()));
    }
}

/// Waits for `work` until `deadline`; says whether it was done.
pub(super) async fn finish_by(deadline: Option<Instant>, work: impl Future<Output = ()>) -> bool {
    match deadline {
        Some(deadline) => timeout_at(deadline.into(), work).await.is_ok(),
        None => {
            work.await;
            true
        }
    }
}

/// Closes what stands as `spread` says, for as long as it is let.
async fn close_evenly(live: &Live, spread: Option<Spread>) -> Infallible {
    let Some(mut spread) = spread else { return pending().await };
    let mut now = clock();
    let mut at = spread.next(live.len(), now);
    // Not before the first is due: who is silent now may not be then.
    let mut line = None;
    let mut ending = Vec::new();
    loop {
        sleep_until(at.into()).await;
        now = clock();
        let due = spread.due(live.standing_besides(&mut ending), now);
        if due > 0 {
            let line = line.get_or_insert_with(|| Line::new(live.silences(now), now));
            ending.extend((0..due).map_while(|_| line.end_next(live, now)));
        }
        at = spread.next(live.standing_besides(&mut ending), now);
    }
}

/// Who is closed after whom.
struct Line {
    /// Those that were relayed when it was drawn up, silent for longest first, with their last byte.
    silent: VecDeque<(ConnectionId, Instant)>,
    /// Those that have moved a byte since, or of which it cannot be told.
    others: VecDeque<ConnectionId>,
}

impl Line {
    fn new(all: Vec<(ConnectionId, Option<Duration>)>, now: Instant) -> Self {
        let (mut silent, mut others) = (Vec::new(), VecDeque::new());
        for (id, idle) in all {
            match idle {
                Some(idle) => silent.push((idle, id)),
                None => others.push_back(id),
            }
        }
        silent.sort_unstable_by_key(|(idle, id)| (Reverse(*idle), *id));
        let last_byte = |idle| now.checked_sub(idle).unwrap_or(now);
        let silent = silent.into_iter().map(|(idle, id)| (id, last_byte(idle))).collect();
        Self { silent, others }
    }

    /// Ends the first that still stands, one that moves bytes after those that do not; `None` where none is left.
    fn end_next(&mut self, live: &Live, now: Instant) -> Option<ConnectionId> {
        while let Some((id, last_byte)) = self.silent.pop_front() {
            let is_silent = |idle: Option<Duration>| {
                idle.is_some_and(|idle| now.checked_sub(idle).is_some_and(|last| last <= last_byte))
            };
            match live.drain_one(id, now, is_silent) {
                Drained::Gone => {}
                Drained::Kept => self.others.push_back(id),
                Drained::Ended => return Some(id),
            }
        }
        while let Some(id) = self.others.pop_front() {
            if live.drain_one(id, now, |_| true) == Drained::Ended {
                return Some(id);
            }
        }
        None
    }
}
