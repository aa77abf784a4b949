//! Keeps one link to one hub: dials, says hello, serves, and begins again after the backoff.

use super::{
    open::open,
    shared::{Shared, clock},
};
use crate::{
    address::Address,
    backoff::Backoff,
    config::TunnelCarrier,
    context::CloseReason,
    error::{ConnectionError, Place, Step},
    transport::{ConnectOptions, Stream},
    tunnel::{
        carrier::{Asked, Lost, Serving},
        counts::What,
        greet, native, packet,
    },
};
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep_until, timeout_at};

/// No hub is asked less often than this, however often it complains.
const CALMEST: Duration = Duration::from_secs(2 * 3600);

/// How a link ended.
struct Over {
    /// Another agent has taken the place.
    replaced: bool,
    error: Option<Lost>,
}

/// Keeps a link to `hub` until the agent stops.
pub(super) async fn keep(shared: Arc<Shared>, hub: Address) {
    let least = shared.config.tcp.connect_timeout + shared.config.link.hello_timeout;
    let mut backoff = Backoff::new(shared.config.backoff, least);
    // Time between pings, as far as the hub has complained about less.
    let mut pings = Duration::ZERO;
    loop {
        let not_before = backoff.next_attempt().unwrap_or_else(clock);
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            () = sleep_until(not_before.into()) => {}
        }
        let attempt = backoff.on_attempt(clock(), fastrand::f64());
        let answer = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            answer = connect(&shared, &hub, attempt.give_up_at, pings) => answer,
        };
        let is_healthy = match answer {
            Ok(link) => {
                let ended = run(&shared, &hub, link).await;
                if ended.has_complained {
                    pings = calmer(&shared, pings);
                }
                ended.was_healthy
            }
            Err(error) => {
                tracing::warn!(%hub, error = &error as &dyn Error, "hub not reached");
                shared.counts.add(What::Failed);
                *shared.last_error.lock() = Some(error);
                false
            }
        };
        if is_healthy {
            backoff.on_connected();
            // All agents of a hub that went away notice at once; they come back one by one.
            let spread = shared.config.backoff.base_delay.mul_f64(fastrand::f64());
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => return,
                () = sleep_until((clock() + spread).into()) => {}
            }
        } else {
            backoff.on_failure(clock());
        }
    }
}

async fn connect(
    shared: &Shared,
    hub: &Address,
    give_up_at: Instant,
    pings: Duration,
) -> Result<Box<dyn Serving>, ConnectionError> {
    let carrier = shared.config.carrier;
    let alpn = Some(vec![greet::alpn(carrier).to_owned()]);
    let options = ConnectOptions { tcp: shared.config.tcp, alpn, ..Default::default() };
    let connect_until = give_up_at.min(clock() + shared.config.tcp.connect_timeout);
    let stream = shared.network.connect_with(hub, Some(connect_until), &options).await?;
    let until = clock() + shared.config.link.hello_timeout;
    let begun = async {
        match carrier {
            TunnelCarrier::Native => begin_native(shared, hub, stream).await,
            TunnelCarrier::Packet => begin_packet(shared, hub, stream, pings).await,
        }
    };
    timeout_at(until.into(), begun).await.unwrap_or_else(|_| {
        let waited = Some(shared.config.link.hello_timeout);
        Err(ConnectionError::timeout(waited, Place::at(Step::Connect).to(Some(hub.clone()))))
    })
}

async fn begin_native(
    shared: &Shared,
    hub: &Address,
    stream: Stream,
) -> Result<Box<dyn Serving>, ConnectionError> {
    greet::introduce(&stream, &shared.hello()).await?;
    let serving = native::Serving::begin(stream, shared.native_limits()).await;
    let serving = serving.map_err(|error| {
        let at = Place::at(Step::Connect).to(Some(hub.clone())).because(error);
        ConnectionError::ConnectionFailed { at }
    })?;
    Ok(Box::new(serving))
}

async fn begin_packet(
    shared: &Shared,
    hub: &Address,
    stream: Stream,
    pings: Duration,
) -> Result<Box<dyn Serving>, ConnectionError> {
    greet::check_agreed(&stream, TunnelCarrier::Packet)?;
    let limits = shared.packet_limits().pinging_no_more_often_than(pings);
    let called = packet::call(stream, hub, &shared.hello(), limits).await;
    Ok(Box::new(called.map_err(|lost| greet::not_let_in(lost, hub))?))
}

/// What is known of a link that has ended.
struct Ended {
    /// The next may follow at once.
    was_healthy: bool,
    /// The hub was asked too often whether it is there.
    has_complained: bool,
}

/// The time between pings to a hub that has complained about `pings`.
fn calmer(shared: &Shared, pings: Duration) -> Duration {
    let before = shared.config.link.ping_interval.duration().unwrap_or_default();
    before.max(pings).saturating_mul(2).min(CALMEST)
}

/// Serves a link to its end.
async fn run(shared: &Arc<Shared>, hub: &Address, link: Box<dyn Serving>) -> Ended {
    let began = clock();
    tracing::info!(%hub, cluster = shared.config.cluster, "tunnel up");
    let up = shared.link_up();
    let over = serve(shared, link).await;
    drop(up);
    let error = over.error.as_ref().map(|error| error as &dyn Error);
    tracing::info!(%hub, cluster = shared.config.cluster, error, over.replaced, "tunnel down");
    let has_complained = over.error.as_ref().is_some_and(Lost::is_complaint);
    if let Some(error) = over.error {
        let at = Place::at(Step::Read).to(Some(hub.clone())).because(error);
        *shared.last_error.lock() = Some(ConnectionError::Broken { nothing_sent: false, at });
    }
    if over.replaced {
        shared.counts.add(What::Replaced);
    }
    // Two agents that take each other's place again and again must slow down.
    let was_healthy =
        !over.replaced && clock().saturating_duration_since(began) >= shared.config.healthy_after;
    Ended { was_healthy, has_complained }
}

async fn serve(shared: &Arc<Shared>, mut link: Box<dyn Serving>) -> Over {
    let mut silence = link.silence();
    let (mut drains, mut replaced) = (false, false);
    let error = loop {
        tokio::select! {
            biased;
            reason = shared.cut.ordered() => {
                debug_assert_ne!(reason, CloseReason::Finished);
                break None;
            }
            () = &mut silence => break Some(Lost::Silent),
            () = shared.stopping.cancelled(), if !drains => {
                drains = true;
                link.drain();
            }
            asked = link.next() => match asked {
                Asked::Open(opening) => {
                    let task = open(Arc::clone(shared), opening);
                    shared.tasks.spawn_on(task, shared.network.runtime());
                }
                Asked::Replaced => replaced = true,
                Asked::Over(error) => break error,
            },
        }
    };
    Over { replaced, error }
}
