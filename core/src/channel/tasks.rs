//! The tasks of a channel: one for each connection, one that keeps time. None holds it open.

use super::{
    connection::{self, News, SaidGoAway, Standing},
    keepalive::PingTime,
    record::Record,
    shared::Shared,
    standing,
    subchannel::{Connect, ConnectionNumber},
    tally::RetireReason,
    wire::now,
};
use crate::{
    config::ConnectionConfig,
    endpoint::EndpointId,
    error::{ConnectionError, Place, Step},
    transport::{Network, Securing},
};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What an attempt to connect needs of its channel, without holding it open.
pub(super) struct Way {
    pub(super) network: Network,
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) securing: Option<Securing>,
    pub(super) ping: PingTime,
    pub(super) cut: CancellationToken,
}

/// Makes one connection and drives it to its end. It holds no channel open.
pub(super) async fn attempt(
    shared: Weak<Shared>,
    way: Way,
    connect: Connect,
    given_up: CancellationToken,
) {
    let Connect { subchannel, number, address, give_up_at } = connect;
    let started = now();
    let connecting = connection::connect(&way, &address, give_up_at);
    let made = tokio::select! {
        biased;
        () = given_up.cancelled() => return,
        made = connecting => made,
    };
    let Some(strong) = shared.upgrade() else { return };
    match made {
        Err(error) => {
            strong.forget_attempt(number);
            strong.on_attempt_failed(subchannel, number, error);
        }
        Ok(standing) => {
            let Standing { http2, limit, drive } = standing;
            let telemetry = strong.telemetry.clone();
            if let Some(telemetry) = &telemetry {
                telemetry.on_connected();
            }
            let (meters, record) = (Arc::clone(&strong.meters), Arc::clone(&http2.record));
            meters.on_connected(now().saturating_duration_since(started));
            let standing = standing::Standing { subchannel, address, record: Arc::clone(&record) };
            strong.on_connected(number, standing, Arc::new(http2), limit);
            drop(strong);
            let whose = Whose { shared, subchannel, number, record, ping: way.ping };
            let (reason, why) = drive.run(|news| whose.hear(news)).await;
            let counted = whose.record.on_retired(reason);
            meters.on_connection_closed(counted);
            if let Some(telemetry) = &telemetry {
                telemetry.on_connection_closed(counted);
            }
            if let Some(shared) = whose.shared.upgrade() {
                shared.on_connection_ended(subchannel, number, counted, (reason, why));
            }
        }
    }
}

/// A connection that is driven, and the channel that hears of it.
struct Whose {
    shared: Weak<Shared>,
    subchannel: EndpointId,
    number: ConnectionNumber,
    record: Arc<Record>,
    ping: PingTime,
}

impl Whose {
    /// What the connection tells while it is driven.
    fn hear(&self, news: News) {
        let Some(shared) = self.shared.upgrade() else { return };
        let (id, number) = (self.subchannel, self.number);
        match news {
            News::Limit(limit) => {
                self.record.set_limit(limit);
                shared.with(|state, _, _| state.balance.set_limit(id, number, limit));
            }
            News::GoAway(goaway) => {
                if goaway.is_complaint() {
                    slow_down(&shared, self.ping);
                }
                let at = Place::at(Step::Read).because(SaidGoAway(goaway));
                let why = ConnectionError::Broken { nothing_sent: false, at };
                let gone = (RetireReason::GoAway, Some(why));
                shared.with(|state, now, draw| state.balance.on_gone(id, number, gone, now, draw));
            }
        }
    }
}

/// A server says that it is asked too often.
fn slow_down(shared: &Arc<Shared>, ping: PingTime) {
    let time = shared.with(|state, _, _| state.ping.on_complaint(ping.time()));
    tracing::warn!(
        target = %shared.target.text,
        keepalive = ?time,
        "the server says that it is pinged too often: keepalive slows down"
    );
}

/// Wakes the state at the times that it names. It holds no channel open.
pub(super) async fn keep_up(shared: Weak<Shared>, upkeep: Arc<Notify>, cut: CancellationToken) {
    loop {
        let wake_at = match shared.upgrade() {
            Some(shared) => shared.wake_at(),
            None => return,
        };
        let sleep = async {
            match wake_at {
                Some(wake_at) => tokio::time::sleep_until(wake_at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cut.cancelled() => return,
            () = upkeep.notified() => continue,
            () = sleep => {}
        }
        let Some(shared) = shared.upgrade() else { return };
        shared.on_timeout();
    }
}
