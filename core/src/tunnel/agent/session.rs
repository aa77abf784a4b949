//! Keeps one link to one hub: dials, says hello, serves, and begins again after the backoff.

use super::{
    open::open,
    shared::{Shared, clock},
};
use crate::{
    address::Address,
    backoff::Backoff,
    context::CloseReason,
    error::{ConnectionError, Place, Step},
    transport::ConnectOptions,
    tunnel::{
        counts::What,
        greet,
        hello::ALPN,
        native::{Asked, Serving},
    },
};
use std::{error::Error, pin::pin, sync::Arc, time::Instant};
use tokio::time::{sleep_until, timeout_at};

/// How a link ended.
struct Over {
    /// Another agent has taken the place.
    replaced: bool,
    error: Option<h2::Error>,
}

/// Keeps a link to `hub` until the agent stops.
pub(super) async fn keep(shared: Arc<Shared>, hub: Address) {
    let least = shared.config.tcp.connect_timeout + shared.config.link.hello_timeout;
    let mut backoff = Backoff::new(shared.config.backoff, least);
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
            answer = connect(&shared, &hub, attempt.give_up_at) => answer,
        };
        let is_healthy = match answer {
            Ok(link) => run(&shared, &hub, link).await,
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
) -> Result<Serving, ConnectionError> {
    let alpn = Some(vec![ALPN.to_owned()]);
    let options = ConnectOptions { tcp: shared.config.tcp, alpn, ..Default::default() };
    let connect_until = give_up_at.min(clock() + shared.config.tcp.connect_timeout);
    let stream = shared.network.connect_with(hub, Some(connect_until), &options).await?;
    let until = clock() + shared.config.link.hello_timeout;
    let hello = async {
        greet::introduce(&stream, &shared.hello()).await?;
        Serving::begin(stream, shared.limits()).await.map_err(|error| {
            let at = Place::at(Step::Connect).to(Some(hub.clone())).because(error);
            ConnectionError::ConnectionFailed { at }
        })
    };
    timeout_at(until.into(), hello).await.unwrap_or_else(|_| {
        let waited = Some(shared.config.link.hello_timeout);
        Err(ConnectionError::timeout(waited, Place::at(Step::Connect).to(Some(hub.clone()))))
    })
}

/// Serves a link to its end; says whether it was healthy, so that the next may follow at once.
async fn run(shared: &Arc<Shared>, hub: &Address, link: Serving) -> bool {
    let began = clock();
    tracing::info!(%hub, cluster = shared.config.cluster, "tunnel up");
    let up = shared.link_up();
    let over = serve(shared, link).await;
    drop(up);
    let error = over.error.as_ref().map(|error| error as &dyn Error);
    tracing::info!(%hub, cluster = shared.config.cluster, error, over.replaced, "tunnel down");
    if let Some(error) = over.error {
        let at = Place::at(Step::Read).to(Some(hub.clone())).because(error);
        *shared.last_error.lock() = Some(ConnectionError::Broken { nothing_sent: false, at });
    }
    if over.replaced {
        shared.counts.add(What::Replaced);
    }
    // Two agents that take each other's place again and again must slow down.
    !over.replaced && clock().saturating_duration_since(began) >= shared.config.healthy_after
}

async fn serve(shared: &Arc<Shared>, mut link: Serving) -> Over {
    let mut silence = pin!(link.silence());
    let (mut drains, mut replaced) = (false, false);
    let error = loop {
        tokio::select! {
            biased;
            reason = shared.cut.ordered() => {
                debug_assert_ne!(reason, CloseReason::Finished);
                break None;
            }
            () = &mut silence => break Some(h2::Reason::SETTINGS_TIMEOUT.into()),
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
