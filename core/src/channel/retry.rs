//! Whether a call that failed is tried again, and when: gRPC's rules, without clock and without chance.

use crate::config::{RetryPolicy, RetryThrottling, StatusCode};
use std::time::Duration;

/// What the peer said about trying again, in the trailer `grpc-retry-pushback-ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushback {
    /// Nothing.
    Silent,
    /// After this time.
    After(Duration),
    /// Never.
    Never,
}

impl Pushback {
    /// Reads every value of the trailer: one non-negative number is a time, anything else means never.
    pub(super) fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Self::Silent };
        let text = std::str::from_utf8(first).ok().filter(|_| values.next().is_none());
        let millis = text.and_then(|text| text.parse::<i32>().ok());
        match millis.map(u64::try_from) {
            Some(Ok(millis)) => Self::After(Duration::from_millis(millis)),
            Some(Err(_)) | None => Self::Never,
        }
    }
}

/// How far an attempt that failed had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not a byte of it left this process.
    NotSent,
    /// The peer says that no application of its saw it.
    Refused,
    /// The peer may have acted on it.
    Sent,
}

/// What to do about an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Try again after this time. It counts as an attempt.
    Retry(Duration),
    /// Try again at once. It does not count: nobody saw the last one.
    Again,
    /// The call has failed.
    Fail,
}

/// One call's attempts.
#[derive(Debug)]
pub(super) struct Attempts {
    policy: Option<RetryPolicy>,
    /// Attempts that were made and count.
    made: u32,
    /// Retries since the peer last named a time.
    since_pushback: u32,
    was_refused: bool,
}

impl Attempts {
    pub(super) fn new(policy: Option<RetryPolicy>) -> Self {
        Self { policy, made: 1, since_pushback: 0, was_refused: false }
    }

    /// Attempts that count before the one under way: what `grpc-previous-rpc-attempts` says.
    pub(super) fn previous(&self) -> u32 {
        self.made - 1
    }

    /// The attempt under way failed with `code`. `is_allowed` says whether tokens and buffers allow another one;
    /// `unit` is a fresh draw from 0..1.
    pub(super) fn on_failure(
        &mut self,
        code: StatusCode,
        progress: Progress,
        pushback: Pushback,
        is_allowed: bool,
        unit: f64,
    ) -> Verdict {
        match progress {
            Progress::NotSent => return Verdict::Again,
            Progress::Refused if !self.was_refused => {
                self.was_refused = true;
                return Verdict::Again;
            }
            Progress::Refused | Progress::Sent => {}
        }
        let Some(policy) = &self.policy else { return Verdict::Fail };
        let may = is_allowed && self.made < policy.max_attempts;
        if !may || !policy.retryable_status_codes.contains(&code) {
            return Verdict::Fail;
        }
        let delay = match pushback {
            Pushback::Never => return Verdict::Fail,
            Pushback::After(time) => {
                self.since_pushback = 0;
                time
            }
            Pushback::Silent => {
                self.since_pushback += 1;
                delay(policy, self.since_pushback, unit)
            }
        };
        self.made += 1;
        Verdict::Retry(delay)
    }

    /// Whether a failure with `code` counts against the tokens.
    pub(super) fn is_retryable(&self, code: StatusCode) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.retryable_status_codes.contains(&code))
    }
}

/// The wait before retry number `nth`, from 1.
fn delay(policy: &RetryPolicy, nth: u32, unit: f64) -> Duration {
    let exponent = i32::try_from(nth - 1).unwrap_or(i32::MAX);
    let grown = policy.initial_backoff.as_secs_f64() * policy.backoff_multiplier.powi(exponent);
    let jittered = grown.min(policy.max_backoff.as_secs_f64()) * (0.8 + 0.4 * unit);
    Duration::try_from_secs_f64(jittered).unwrap_or(policy.max_backoff)
}

/// The tokens of one channel: when most calls fail, none is retried.
#[derive(Debug)]
pub(super) struct Tokens {
    terms: RetryThrottling,
    milli: u32,
}

impl Tokens {
    pub(super) fn new(terms: RetryThrottling) -> Self {
        Self { terms, milli: terms.max_milli_tokens }
    }

    /// A call failed in a way that is retried, or the peer asked not to try again.
    pub(super) fn on_failure(&mut self) {
        self.milli = self.milli.saturating_sub(1000);
    }

    pub(super) fn on_success(&mut self) {
        let more = self.milli.saturating_add(self.terms.milli_token_ratio);
        self.milli = more.min(self.terms.max_milli_tokens);
    }

    /// Whether a retry may be sent.
    pub(super) fn allow(&self) -> bool {
        self.milli > self.terms.max_milli_tokens / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SENT: Progress = Progress::Sent;

    fn attempts() -> Attempts {
        Attempts::new(Some(RetryPolicy {
            max_attempts: 4,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(3),
            backoff_multiplier: 2.0,
            retryable_status_codes: vec![StatusCode::Unavailable],
        }))
    }

    fn fail(attempts: &mut Attempts, pushback: Pushback) -> Verdict {
        attempts.on_failure(StatusCode::Unavailable, SENT, pushback, true, 0.5)
    }

    #[test]
    fn the_wait_grows_to_its_ceiling_and_the_attempts_run_out() {
        let mut attempts = attempts();
        for (seconds, previous) in [(1, 1), (2, 2), (3, 3)] {
            let expected = Verdict::Retry(Duration::from_secs(seconds));
            assert_eq!(fail(&mut attempts, Pushback::Silent), expected);
            assert_eq!(attempts.previous(), previous);
        }
        assert_eq!(fail(&mut attempts, Pushback::Silent), Verdict::Fail);
    }

    #[test]
    fn a_time_that_the_peer_names_is_kept_and_the_growth_begins_anew() {
        let mut attempts = attempts();
        fail(&mut attempts, Pushback::Silent);
        let named = Duration::from_millis(7);
        assert_eq!(fail(&mut attempts, Pushback::After(named)), Verdict::Retry(named));
        let expected = Verdict::Retry(Duration::from_secs(1));
        assert_eq!(fail(&mut attempts, Pushback::Silent), expected);
    }

    #[test]
    fn a_peer_that_says_never_an_answer_not_named_and_a_full_buffer_end_it() {
        let code = StatusCode::Unavailable;
        assert_eq!(fail(&mut attempts(), Pushback::Never), Verdict::Fail);
        let other = attempts().on_failure(StatusCode::Internal, SENT, Pushback::Silent, true, 0.5);
        let full = attempts().on_failure(code, SENT, Pushback::Silent, false, 0.5);
        let none = Attempts::new(None).on_failure(code, SENT, Pushback::Silent, true, 0.5);
        assert_eq!([other, full, none], [Verdict::Fail; 3]);
    }

    #[test]
    fn what_never_left_is_sent_again_without_end_and_what_was_refused_once() {
        let mut attempts = Attempts::new(None);
        let mut fail = |progress| {
            attempts.on_failure(StatusCode::Unavailable, progress, Pushback::Silent, false, 0.5)
        };
        for _ in 0..100 {
            assert_eq!(fail(Progress::NotSent), Verdict::Again);
        }
        assert_eq!(fail(Progress::Refused), Verdict::Again);
        assert_eq!(fail(Progress::Refused), Verdict::Fail);
    }

    #[test]
    fn pushback_is_one_number_that_is_not_negative() {
        let of = |values: &[&str]| Pushback::of(values.iter().map(|value| value.as_bytes()));
        assert_eq!(of(&[]), Pushback::Silent);
        assert_eq!(of(&["250"]), Pushback::After(Duration::from_millis(250)));
        for never in [&["-1"][..], &["x"], &[""], &["1", "2"], &["99999999999"], &[" 1"]] {
            assert_eq!(of(never), Pushback::Never, "{never:?}");
        }
    }

    #[test]
    fn retries_pause_at_half_the_tokens_and_go_on_above() {
        let mut tokens =
            Tokens::new(RetryThrottling { max_milli_tokens: 4000, milli_token_ratio: 500 });
        tokens.on_failure();
        assert!(tokens.allow());
        tokens.on_failure();
        assert!(!tokens.allow());
        tokens.on_success();
        assert!(tokens.allow());
        for _ in 0..100 {
            tokens.on_success();
        }
        assert_eq!(tokens.milli, 4000);
        for _ in 0..100 {
            tokens.on_failure();
        }
        assert_eq!(tokens.milli, 0);
    }

    proptest! {
        #[test]
        fn a_wait_is_within_a_fifth_of_its_ceiling(
            initial in 1u64..100_000, ceiling in 1u64..100_000, multiplier in 0.01f64..100.0,
            nth in 1u32..1000, unit in 0.0f64..1.0,
        ) {
            let policy = RetryPolicy {
                initial_backoff: Duration::from_millis(initial),
                max_backoff: Duration::from_millis(ceiling),
                backoff_multiplier: multiplier,
                ..RetryPolicy::default()
            };
            let most = Duration::from_millis(ceiling).mul_f64(1.2) + Duration::from_nanos(1);
            prop_assert!(delay(&policy, nth, unit) <= most);
        }

        #[test]
        fn no_call_makes_more_attempts_than_its_policy_allows(
            steps in prop::collection::vec((0usize..17, 0u8..3, 0u8..3, any::<bool>(), 0.0f64..1.0), 0..60),
        ) {
            let mut attempts = attempts();
            let mut retries = 0;
            for (code, progress, pushback, allowed, unit) in steps {
                let progress = [Progress::NotSent, Progress::Refused, Progress::Sent][progress as usize];
                let pushback = [Pushback::Silent, Pushback::Never, Pushback::After(Duration::ZERO)][pushback as usize];
                let verdict = attempts.on_failure(StatusCode::ALL[code], progress, pushback, allowed, unit);
                retries += u32::from(matches!(verdict, Verdict::Retry(_)));
            }
            prop_assert!(retries <= 3 && attempts.previous() == retries);
        }
    }
}
