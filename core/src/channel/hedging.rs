//! Hedging: copies of a call that is slow to answer, of which the first answer counts.

use super::{
    attempt::Answer,
    exchange::{Failed, Outgoing},
    retry::Pushback,
    wire::now,
};
use crate::config::{HedgingPolicy, StatusCode};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use tonic::Status;

/// Which copies of one call are sent, and when.
///
/// ```text
///   due at `next` ── copy sent ──▶ due `delay` later ── … ── all sent, or the peer says never ──▶ None
/// ```
#[derive(Debug)]
struct Copies {
    policy: HedgingPolicy,
    sent: u32,
    /// When the next copy is due; `None`: none will be sent.
    next: Option<Instant>,
}

/// What to do about a copy that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The others may still succeed.
    GoOn,
    /// The call has failed.
    Fail,
}

impl Copies {
    fn new(policy: HedgingPolicy, now: Instant) -> Self {
        Self { policy, sent: 0, next: Some(now) }
    }

    /// A copy is sent at `now`.
    fn on_sent(&mut self, now: Instant) {
        self.sent += 1;
        let more = self.sent < self.policy.max_attempts;
        self.next = more.then(|| now + self.policy.hedging_delay.min(FAR));
    }

    /// A copy failed with `code` at `now`, and `others` are under way.
    fn on_failure(
        &mut self,
        code: StatusCode,
        pushback: Pushback,
        others: bool,
        now: Instant,
    ) -> Verdict {
        if !self.policy.non_fatal_status_codes.contains(&code) {
            return Verdict::Fail;
        }
        let may_send = self.next.is_some();
        self.next = match pushback {
            Pushback::Never => None,
            Pushback::After(delay) => may_send.then(|| now + delay),
            Pushback::Silent => may_send.then_some(now),
        };
        if others || self.next.is_some() { Verdict::GoOn } else { Verdict::Fail }
    }

    /// Tokens allow no more copies.
    fn stop(&mut self) {
        self.next = None;
    }
}

const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Sends copies until one answers, one fails for good, or all have failed.
pub(super) async fn answer(
    outgoing: &Arc<Outgoing>,
    policy: &HedgingPolicy,
) -> Result<Answer, Status> {
    let mut copies = Copies::new(policy.clone(), now());
    // Dropped with the copies that did not win, which cancels them.
    let mut under_way: JoinSet<Result<Answer, Failed>> = JoinSet::new();
    let mut last = None;
    loop {
        if let (None, true, Some(_)) = (copies.next, under_way.is_empty(), &last) {
            return Err(
                last.map_or_else(|| Status::internal("no copy was sent"), Failed::into_status)
            );
        }
        let due = copies.next;
        let is_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(ended) = under_way.join_next() => {
                let failed = match ended {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(failed)) => failed,
                    Err(error) => return Err(Status::internal(format!("a copy of the call: {error}"))),
                };
                if failed.is_final {
                    return Err(failed.into_status());
                }
                let code = failed.code();
                let verdict = copies.on_failure(code, failed.pushback, !under_way.is_empty(), now());
                if verdict == Verdict::GoOn || failed.pushback == Pushback::Never {
                    outgoing.shared.count_tokens(false);
                }
                if verdict == Verdict::Fail {
                    return Err(failed.into_status());
                }
                last = Some(failed);
            }
            () = is_due => {
                let is_first = copies.sent == 0;
                let may_send = outgoing.shared.may_resend() && outgoing.replay.is_whole();
                if !is_first && !may_send {
                    copies.stop();
                    continue;
                }
                let (call, previous) = (Arc::clone(outgoing), copies.sent);
                let runtime = outgoing.shared.network.runtime();
                under_way.spawn_on(async move { call.send(previous).await }, runtime);
                copies.on_sent(now());
                if !is_first {
                    outgoing.shared.meters.on_hedge();
                    if let Some(figures) = &outgoing.figures {
                        figures.repeats.hedges.fetch_add(1, Relaxed);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn copies() -> (Copies, Instant) {
        let policy = HedgingPolicy {
            max_attempts: 3,
            hedging_delay: SECOND,
            non_fatal_status_codes: vec![StatusCode::Unavailable],
        };
        let now = Instant::now();
        (Copies::new(policy, now), now)
    }

    #[test]
    fn one_copy_after_the_other_is_sent_while_none_answers() {
        let (mut copies, now) = copies();
        assert_eq!(copies.next, Some(now));
        copies.on_sent(now);
        assert_eq!(copies.next, Some(now + SECOND));
        copies.on_sent(now + SECOND);
        copies.on_sent(now + 2 * SECOND);
        assert_eq!(copies.next, None);
    }

    #[test]
    fn a_failure_that_is_not_fatal_sends_the_next_at_once_or_when_the_peer_says() {
        let (mut copies, now) = copies();
        copies.on_sent(now);
        let code = StatusCode::Unavailable;
        assert_eq!(copies.on_failure(code, Pushback::Silent, false, now), Verdict::GoOn);
        assert_eq!(copies.next, Some(now));
        copies.on_sent(now);
        let later = Pushback::After(5 * SECOND);
        assert_eq!(copies.on_failure(code, later, false, now), Verdict::GoOn);
        assert_eq!(copies.next, Some(now + 5 * SECOND));
        assert_eq!(copies.on_failure(code, Pushback::Never, true, now), Verdict::GoOn);
        assert_eq!(copies.next, None);
        assert_eq!(copies.on_failure(code, Pushback::Silent, false, now), Verdict::Fail);
    }

    #[test]
    fn a_fatal_failure_ends_the_call_whatever_is_under_way() {
        let (mut copies, now) = copies();
        copies.on_sent(now);
        let verdict = copies.on_failure(StatusCode::Internal, Pushback::Silent, true, now);
        assert_eq!(verdict, Verdict::Fail);
    }
}
