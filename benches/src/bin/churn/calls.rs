//! The calls, and what may become of each.

use crate::{
    server::{ECHO, HERE},
    weather::Cuts,
};
use bytes::Bytes;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};
use trunkline_benches::now;
use trunkline_core::{Call, CallOptions, Channel, ConnectionError, config::StatusCode};

/// Callers of one message, and of many, on each channel.
const CALLERS: usize = 8;
const STREAMS: usize = 2;
/// Messages of a call with many.
const MESSAGES: u32 = 20;
/// Time for a call: far more than any trouble takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Calls {
    over: Arc<AtomicBool>,
    callers: JoinSet<Counts>,
}

/// What became of calls.
#[derive(Default)]
pub(crate) struct Counts {
    /// Calls that ended well.
    pub(crate) well: u64,
    /// Calls whose answer had begun when they were cut off: no policy tries them again.
    cut: u64,
    /// Calls that the policy allowed to succeed.
    pub(crate) lost: Vec<String>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { well, cut, lost } = self;
        let lost = lost.len();
        write!(f, "{well} calls ended well, {cut} were cut off in their answer, {lost} were lost")
    }
}

impl Calls {
    pub(crate) fn start(channels: &[Channel], cuts: Arc<Cuts>) -> Self {
        let (over, mut callers) = (Arc::<AtomicBool>::default(), JoinSet::new());
        for channel in channels {
            for nth in 0..CALLERS + STREAMS {
                let messages = if nth < CALLERS { 1 } else { MESSAGES };
                let (channel, cuts, over) = (channel.clone(), Arc::clone(&cuts), Arc::clone(&over));
                callers.spawn(async move { call_on(&channel, messages, &cuts, &over).await });
            }
        }
        Self { over, callers }
    }

    /// Lets calls under way end, and counts all.
    pub(crate) async fn finish(mut self) -> Counts {
        self.over.store(true, SeqCst);
        let mut all = Counts::default();
        while let Some(counts) = self.callers.join_next().await {
            let counts = counts.expect("a caller does not panic");
            all.well += counts.well;
            all.cut += counts.cut;
            all.lost.extend(counts.lost);
        }
        all
    }
}

async fn call_on(channel: &Channel, messages: u32, cuts: &Cuts, over: &AtomicBool) -> Counts {
    let mut counts = Counts::default();
    while !over.load(SeqCst) {
        let then = cuts.known();
        let options = CallOptions { deadline: Some(now() + PATIENCE), ..CallOptions::default() };
        let call = channel.call(ECHO, options).expect("the channel is open");
        match exchange(&call, messages).await {
            Ok(()) => counts.well += 1,
            Err(error) => {
                let has_begun = call.initial().await.iter().any(|(name, _)| &**name == HERE);
                let was_cut = cuts.since(then) && is_unavailable(&error);
                match has_begun && was_cut {
                    true => counts.cut += 1,
                    false => {
                        let how = if has_begun { "in its answer" } else { "before its answer" };
                        counts.lost.push(format!("{how}: {}", error.with_causes()));
                    }
                }
            }
        }
        sleep(Duration::from_millis(fastrand::u64(0..10))).await;
    }
    counts
}

/// Sends messages and takes the same back, one after the other.
async fn exchange(call: &Call, messages: u32) -> Result<(), ConnectionError> {
    for nth in 0..messages {
        let sent = Bytes::from(nth.to_string());
        if call.send(sent.clone()).await.is_err() {
            // It has ended: what it is told next says how.
            call.receive().await?;
            panic!("a call that has ended says how");
        }
        if nth + 1 == messages {
            call.finish_sending();
        }
        let received = call.receive().await?;
        assert_eq!(received, Some(sent), "what comes back is what was sent");
    }
    assert_eq!(call.receive().await?, None, "and no more");
    Ok(())
}

fn is_unavailable(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Rpc { status, .. } => status.code == StatusCode::Unavailable,
        _ => false,
    }
}
