//! The logical connections of one link, and those of them that have something to send.

use super::{
    lane::{Lane, Wakes},
    message::Packet,
};
use crate::budget::Permit;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// What is given back once a connection is over.
pub(super) type Held = (TaskTrackerToken, Option<Permit>);

/// A logical connection, as its user and the link's task share it.
pub(super) struct Shared {
    /// Held for the length of one copy. Wakers are woken, and what is held is dropped, outside of it.
    state: Mutex<State>,
    /// Whether it stands in the line of those that have something to send.
    is_queued: AtomicBool,
}

struct State {
    lane: Lane,
    held: Option<Held>,
    /// The link has forgotten it: neither end says anything more.
    is_forgotten: bool,
}

impl Shared {
    pub(super) fn new(lane: Lane, load: TaskTrackerToken) -> Arc<Self> {
        let state = State { lane, held: Some((load, None)), is_forgotten: false };
        Arc::new(Self { state: Mutex::new(state), is_queued: AtomicBool::new(false) })
    }

    /// Looks at the connection, or changes it.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Lane) -> T) -> T {
        change(&mut self.state.lock().lane)
    }

    /// Keeps `permit` until the connection is over and its end dropped.
    pub(super) fn hold(&self, permit: Permit) {
        if let Some((_, kept)) = &mut self.state.lock().held {
            *kept = Some(permit);
        }
    }

    /// Gives back what is held, if nobody and nothing needs the connection any more.
    fn settle(&self) {
        let held = {
            let mut state = self.state.lock();
            let is_settled = state.is_forgotten && state.lane.is_released();
            if is_settled { state.held.take() } else { None }
        };
        drop(held);
    }
}

/// All of one link.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Table>);

#[derive(Default)]
struct Table {
    all: HashMap<i64, Arc<Shared>>,
    /// Those that have something to send, each once, the one that had its turn longest ago first.
    queue: VecDeque<Arc<Shared>>,
    /// What is said to the peer beside any connection.
    notes: VecDeque<Packet>,
    /// The link's task, while it waits.
    driver: Option<Waker>,
    /// Nothing new is opened.
    is_draining: bool,
    /// The link ends with the last connection.
    is_closing: bool,
    /// The link is gone.
    is_over: bool,
}

/// The link opens nothing any more.
#[derive(Debug)]
pub(super) struct Shut;

impl Lanes {
    /// Adds a connection; it may have something to send.
    pub(super) fn add(&self, id: i64, shared: &Arc<Shared>) -> Result<(), Shut> {
        {
            let mut table = self.0.lock();
            if table.is_draining || table.is_closing || table.is_over {
                return Err(Shut);
            }
            table.all.insert(id, Arc::clone(shared));
        }
        self.ring(shared);
        Ok(())
    }

    pub(super) fn get(&self, id: i64) -> Option<Arc<Shared>> {
        self.0.lock().all.get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        self.0.lock().all.values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().all.len()
    }

    /// What is still to be said beside connections.
    pub(super) fn notes(&self) -> usize {
        self.0.lock().notes.len()
    }

    /// The user of a connection has changed it: the link's task looks whether it has something to send.
    pub(super) fn ring(&self, shared: &Arc<Shared>) {
        if !shared.is_queued.swap(true, Ordering::AcqRel) {
            self.tell(|table| table.queue.push_back(Arc::clone(shared)));
        }
    }

    /// Says something beside any connection.
    pub(super) fn note(&self, packet: Packet) {
        self.tell(|table| table.notes.push_back(packet));
    }

    /// Opens nothing new.
    pub(super) fn drain(&self) {
        self.tell(|table| table.is_draining = true);
    }

    /// Opens nothing new; the link's task ends the link after the last connection.
    pub(super) fn close(&self) {
        self.tell(|table| table.is_closing = true);
    }

    /// Whether the link may end: it is to, and nothing is open or left to be said.
    pub(super) fn is_done(&self) -> bool {
        let table = self.0.lock();
        table.is_closing && table.all.is_empty() && table.queue.is_empty() && table.notes.is_empty()
    }

    /// Has the link's task look again.
    pub(super) fn nudge(&self) {
        self.tell(|_| {});
    }

    fn tell(&self, change: impl FnOnce(&mut Table)) {
        let driver = {
            let mut table = self.0.lock();
            if table.is_over {
                return;
            }
            change(&mut table);
            table.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    // What the link's task does.

    /// The task is at work and need not be woken.
    pub(super) fn begin(&self) {
        let driver = self.0.lock().driver.take();
        drop(driver);
    }

    /// Has the task of `cx` woken by whatever comes; false if something has come meanwhile.
    pub(super) fn settle(&self, cx: &Context<'_>, is_blocked: bool) -> bool {
        let waker = cx.waker().clone();
        let (is_idle, _replaced) = {
            let mut table = self.0.lock();
            let is_idle = is_blocked || (table.queue.is_empty() && table.notes.is_empty());
            (is_idle, table.driver.replace(waker))
        };
        is_idle
    }

    pub(super) fn has_something_to_send(&self) -> bool {
        let table = self.0.lock();
        !table.queue.is_empty() || !table.notes.is_empty()
    }

    /// The next packet: notes first, then one of each connection in turn.
    pub(super) fn next(&self) -> Option<Packet> {
        loop {
            let shared = {
                let mut table = self.0.lock();
                if let Some(note) = table.notes.pop_front() {
                    return Some(note);
                }
                table.queue.pop_front()?
            };
            // Before it is looked at: who changes it from here on queues it anew.
            shared.is_queued.store(false, Ordering::Release);
            let (packet, wakes, has_more) = shared.with(|lane| {
                let (packet, wakes) = lane.next();
                (packet, wakes, lane.has_next())
            });
            wakes.wake();
            if has_more {
                self.ring(&shared);
            }
            self.forget_if_over(&shared);
            if packet.is_some() {
                return packet;
            }
        }
    }

    /// A word of the peer has changed the connection.
    pub(super) fn on_changed(&self, shared: &Arc<Shared>, wakes: Wakes) {
        wakes.wake();
        if shared.with(|lane| lane.has_next()) {
            self.ring(shared);
        }
        self.forget_if_over(shared);
    }

    fn forget_if_over(&self, shared: &Arc<Shared>) {
        let id = {
            let mut state = shared.state.lock();
            if !state.lane.is_over() || std::mem::replace(&mut state.is_forgotten, true) {
                return;
            }
            state.lane.id()
        };
        let forgotten = self.0.lock().all.remove(&id);
        drop(forgotten);
        shared.settle();
    }

    /// The link is gone: every connection is broken.
    pub(super) fn end(&self, why: &crate::tunnel::refusal::Refusal) {
        let (all, queue, driver) = {
            let mut table = self.0.lock();
            table.is_over = true;
            table.notes.clear();
            let queue = std::mem::take(&mut table.queue);
            (std::mem::take(&mut table.all), queue, table.driver.take())
        };
        drop((queue, driver));
        for shared in all.into_values() {
            let wakes = {
                let mut state = shared.state.lock();
                state.is_forgotten = true;
                state.lane.on_error(why.clone())
            };
            wakes.wake();
            shared.settle();
        }
    }

    // What the user of a connection does.

    /// The end of a connection is dropped.
    pub(super) fn release(&self, shared: &Arc<Shared>) {
        shared.with(Lane::release);
        self.ring(shared);
        shared.settle();
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("open", &self.all.len())
            .field("queued", &self.queue.len())
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.state.lock().lane.id()).finish()
    }
}
