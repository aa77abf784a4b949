//! The tasks of a channel: one for each connection, one for each look-up, one that keeps time. None holds it open.

use super::{
    connection::{self, News, SaidGoAway, Standing},
    keepalive::PingTime,
    listed,
    record::Record,
    resolution::Wanted,
    shared::Shared,
    standing,
    subchannel::{Connect, ConnectionNumber},
    tally::RetireReason,
    wire::now,
};
use crate::{
    address::Address,
    config::ConnectionConfig,
    endpoint::EndpointId,
    error::{ConnectionError, Place, Step},
    transport::{Network, Securing},
};
use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Weak},
    time::Instant,
};
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

/// Finds out once what is wanted.
pub(super) async fn look_up(shared: Weak<Shared>, wanted: Wanted) {
    match wanted {
        Wanted::Name { lookup, host, port } => {
            let found = look_name_up(&host, port, lookup.give_up_at()).await;
            if let Some(shared) = shared.upgrade() {
                shared.on_looked_up(lookup, found);
            }
        }
        Wanted::File(path) => {
            let found = read_file(path).await;
            if let Some(shared) = shared.upgrade() {
                shared.on_read(found);
            }
        }
    }
}

/// What a file says. Reading may block, on a network file system for long.
async fn read_file(path: Arc<Path>) -> Result<Vec<Address>, ConnectionError> {
    let read = tokio::task::spawn_blocking(move || listed::from_file(&path)).await;
    let at = || Place::at(Step::Resolve);
    match read {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(why)) => Err(ConnectionError::ConnectionFailed { at: at().because(why) }),
        // The runtime is being shut down.
        Err(_) => Err(ConnectionError::closed(Step::Resolve)),
    }
}

async fn look_name_up(
    host: &str,
    port: u16,
    give_up_at: Instant,
) -> Result<Vec<IpAddr>, ConnectionError> {
    let at = || Place::at(Step::Resolve).to(Some(Address::TcpName { host: host.into(), port }));
    let looked_up = tokio::net::lookup_host((host, port));
    match tokio::time::timeout_at(give_up_at.into(), looked_up).await {
        Err(_) => Err(ConnectionError::timeout(None, at())),
        Ok(Err(error)) => Err(ConnectionError::ConnectionFailed { at: at().because(error) }),
        Ok(Ok(found)) => {
            let ips: Vec<_> = found.map(|address| address.ip()).collect();
            match ips.is_empty() {
                true => Err(ConnectionError::ConnectionFailed { at: at() }),
                false => Ok(ips),
            }
        }
    }
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
