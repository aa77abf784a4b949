//! The connections of a channel that stand, also those that take no new calls, and what the whole looks like.

use super::{
    connection::{Ended, Http2},
    live::LiveChannel,
    record::Record,
    shared::Shared,
    subchannel::ConnectionNumber,
    tally::RetireReason,
    wire::now,
};
use crate::{address::Address, endpoint::EndpointId};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// A connection that stands, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) subchannel: EndpointId,
    pub(super) address: Address,
    pub(super) record: Arc<Record>,
}

/// Every connection that has not ended, in the order in which their attempts began.
#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<BTreeMap<ConnectionNumber, Standing>>);

impl Standings {
    fn insert(&self, number: ConnectionNumber, standing: Standing) {
        self.0.lock().insert(number, standing);
    }

    fn remove(&self, number: ConnectionNumber) -> Option<Standing> {
        self.0.lock().remove(&number)
    }

    fn all(&self) -> Vec<Standing> {
        self.0.lock().values().cloned().collect()
    }
}

impl Shared {
    /// An attempt has brought a connection, which takes `limit` calls at once.
    pub(super) fn on_connected(
        self: &Arc<Self>,
        number: ConnectionNumber,
        standing: Standing,
        connection: Arc<Http2>,
        limit: u32,
    ) {
        let subchannel = standing.subchannel;
        self.forget_attempt(number);
        self.standing.insert(number, standing);
        self.with(|state, now, draw| {
            state.pool.created += 1;
            state.balance.on_connected(subchannel, number, connection, limit, now, draw);
        });
    }

    /// A connection that was retired for the reason `counted` has ended, as `ended` says.
    pub(super) fn on_connection_ended(
        self: &Arc<Self>,
        subchannel: EndpointId,
        number: ConnectionNumber,
        counted: RetireReason,
        ended: Ended,
    ) {
        self.standing.remove(number);
        self.with(|state, now, draw| {
            state.pool.on_closed(counted);
            state.balance.on_gone(subchannel, number, ended, now, draw);
        });
    }

    /// What it looks like now.
    pub(super) fn inspect(self: &Arc<Self>) -> LiveChannel {
        let standing = self.standing.all();
        let seen = self.with(|state, now, _| state.look(now));
        seen.told(&self.target.text, &standing, now())
    }
}
