//! Decides how much may be sent to a source that may be forged, and when it no longer counts as such.

/// ```text
///   Silent ── an answer went out ──▶ Answered ── the client sends again ──▶ Verified
/// ```
///
/// Who forges a source does not see the answer. Sending again after it is what only its receiver has a reason to
/// do; it is no proof, as a forger may send again blindly. Until then the limit holds.
#[derive(Debug)]
pub(super) struct Trust {
    state: State,
    /// Bytes out per byte in.
    factor: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Silent { received: u64 },
    Answered { received: u64, sent: u64 },
    Verified,
}

impl Trust {
    pub(super) fn new(factor: u32) -> Self {
        Self { state: State::Silent { received: 0 }, factor: u64::from(factor) }
    }

    /// The client sent `bytes`; says whether that has verified it just now.
    pub(super) fn on_client(&mut self, bytes: usize) -> bool {
        match &mut self.state {
            State::Silent { received } => {
                *received += bytes as u64;
                false
            }
            State::Answered { .. } => {
                self.state = State::Verified;
                true
            }
            State::Verified => false,
        }
    }

    /// An answer of `bytes` is there for the client; says whether it may be sent.
    pub(super) fn on_answer(&mut self, bytes: usize) -> bool {
        let (received, sent) = match self.state {
            State::Silent { received } => (received, 0),
            State::Answered { received, sent } => (received, sent),
            State::Verified => return true,
        };
        let sent = sent + bytes as u64;
        let may = sent <= received.saturating_mul(self.factor);
        if may {
            self.state = State::Answered { received, sent };
        }
        may
    }

    pub(super) fn is_verified(&self) -> bool {
        self.state == State::Verified
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_source_is_verified_once_it_sends_again_after_an_answer() {
        let mut trust = Trust::new(3);
        assert!(!trust.on_client(10));
        assert!(!trust.on_client(10), "sending twice proves nothing");
        assert!(trust.on_answer(60));
        assert!(!trust.is_verified());
        assert!(trust.on_client(1));
        assert!(trust.is_verified());
        assert!(!trust.on_client(1), "told once");
        assert!(trust.on_answer(usize::MAX >> 1));
    }

    #[test]
    fn an_answer_that_was_not_allowed_verifies_nobody() {
        let mut trust = Trust::new(3);
        trust.on_client(10);
        assert!(!trust.on_answer(31));
        assert!(!trust.on_client(10));
        assert!(trust.on_answer(60));
    }

    proptest! {
        #[test]
        fn an_unverified_source_never_gets_more_than_the_limit_times_what_it_sent(
            factor in 1u32..10,
            // true: the client sends, false: an answer comes.
            steps in proptest::collection::vec((any::<bool>(), 0usize..2000), 0..60),
        ) {
            let mut trust = Trust::new(factor);
            let (mut received, mut sent, mut answered) = (0, 0, false);
            for (from_client, bytes) in steps {
                if from_client {
                    prop_assert_eq!(trust.on_client(bytes), answered);
                    received += bytes;
                } else if trust.on_answer(bytes) {
                    sent += bytes;
                    answered = true;
                }
                if trust.is_verified() {
                    break;
                }
                prop_assert!(sent <= factor as usize * received);
            }
        }
    }
}
