//! Typed generational handles: what a stale number is, is known, and never undefined behaviour.

use crate::{
    agent::AgentObject,
    channel::{CallObject, ChannelObject},
    datagram::DatagramObject,
    error::Failure,
    hub::HubObject,
    job::Job,
    keyed_pool::KeyedPoolObject,
    listener::ListenerObject,
    memory_proxy::MemoryProxyObject,
    op::Operation,
    pool::PoolObject,
    process::Process,
    queue::Queue,
    runtime::Runtime,
    status::*,
    stream::StreamObject,
    tcp_manager::TcpManagerObject,
    tls::TlsObject,
    udp_manager::UdpManagerObject,
};
use parking_lot::RwLock;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use trunkline_core::Permit;

/// A runtime: threads, metrics, limits. {0} is the process's default runtime, made on first use.
///
/// Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_runtime_t {
    /// Opaque; 0 is the default runtime.
    pub h: u64,
}

/// A completion queue. Any thread may submit to it; one thread at a time may wait.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_cq_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// An operation under way, for trunkline_op_cancel. Needs no free: it is gone with its completion.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_op_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A byte stream: TCP, Unix socket, pipe or tunnel. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_stream_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A listener on tcp:, unix: or mem:, or of an agent. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_listener_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A pool of numbers by key. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_keyed_pool_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A TCP manager: a limit, its connections and its relays. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_tcp_manager_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A datagram socket. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_datagram_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// The agent of a tunnel. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_agent_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A UDP manager: its limits, its sessions and its relays. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_udp_manager_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// The hub of tunnels. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_hub_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A memory proxy: serves HTTP on listeners, and passes requests on. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_memory_proxy_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A checkout pool. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_pool_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A job: work that a pool asks of its host. Needs no free: it is gone with its answer, or with its pool.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_job_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A TLS configuration with its files read, for any number of connections and listeners. Any thread may use it at
/// any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_tls_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A channel to a gRPC server. Any thread may use it at any time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_channel_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A call with any number of messages each way. One thread may send while another receives.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_call_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A typed handle and the object that it names.
pub(crate) trait Handle: Copy {
    /// The upper 8 bits: a handle of another type is refused by them.
    const TAG: u8;
    /// As in "the stream is closed".
    const NAME: &'static str;
    type Object: ?Sized + Send + Sync + 'static;

    fn new(h: u64) -> Self;
    fn raw(self) -> u64;
    fn wrap(object: Arc<Self::Object>) -> Object;
    fn unwrap(object: &Object) -> Option<&Arc<Self::Object>>;
}

/// Whatever a slot of the table holds.
#[derive(Clone)]
pub(crate) enum Object {
    Runtime(Arc<Runtime>),
    Queue(Arc<Queue>),
    Op(Arc<dyn Operation>),
    Stream(Arc<StreamObject>),
    Listener(Arc<ListenerObject>),
    TcpManager(Arc<TcpManagerObject>),
    Datagram(Arc<DatagramObject>),
    UdpManager(Arc<UdpManagerObject>),
    KeyedPool(Arc<KeyedPoolObject>),
    Pool(Arc<PoolObject>),
    Job(Arc<Job>),
    Tls(Arc<TlsObject>),
    Channel(Arc<ChannelObject>),
    Call(Arc<CallObject>),
    Agent(Arc<AgentObject>),
    Hub(Arc<HubObject>),
    MemoryProxy(Arc<MemoryProxyObject>),
}

macro_rules! handle {
    ($handle:ident, $variant:ident, $object:ty, $tag:literal, $name:literal) => {
        impl Handle for $handle {
            const TAG: u8 = $tag;
            const NAME: &'static str = $name;
            type Object = $object;

            fn new(h: u64) -> Self {
                Self { h }
            }

            fn raw(self) -> u64 {
                self.h
            }

            fn wrap(object: Arc<$object>) -> Object {
                Object::$variant(object)
            }

            fn unwrap(object: &Object) -> Option<&Arc<$object>> {
                match object {
                    Object::$variant(object) => Some(object),
                    _ => None,
                }
            }
        }
    };
}

handle!(trunkline_runtime_t, Runtime, Runtime, 1, "runtime");
handle!(trunkline_cq_t, Queue, Queue, 2, "completion queue");
handle!(trunkline_op_t, Op, dyn Operation, 3, "operation");
handle!(trunkline_stream_t, Stream, StreamObject, 4, "stream");
handle!(trunkline_listener_t, Listener, ListenerObject, 5, "listener");
handle!(trunkline_tcp_manager_t, TcpManager, TcpManagerObject, 6, "TCP manager");
handle!(trunkline_keyed_pool_t, KeyedPool, KeyedPoolObject, 7, "keyed pool");
handle!(trunkline_pool_t, Pool, PoolObject, 8, "pool");
handle!(trunkline_job_t, Job, Job, 9, "job");
handle!(trunkline_datagram_t, Datagram, DatagramObject, 10, "datagram socket");
handle!(trunkline_udp_manager_t, UdpManager, UdpManagerObject, 11, "UDP manager");
handle!(trunkline_tls_t, Tls, TlsObject, 12, "TLS configuration");
handle!(trunkline_channel_t, Channel, ChannelObject, 13, "channel");
handle!(trunkline_call_t, Call, CallObject, 14, "call");
handle!(trunkline_agent_t, Agent, AgentObject, 15, "agent");
handle!(trunkline_hub_t, Hub, HubObject, 16, "hub");
handle!(trunkline_memory_proxy_t, MemoryProxy, MemoryProxyObject, 17, "memory proxy");

/// ```text
///  63      56 55          32 31            0
/// ┌──────────┬──────────────┬───────────────┐
/// │ type tag │  generation  │     index     │
/// └──────────┴──────────────┴───────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    tag: u8,
    generation: u32,
    index: u32,
}

/// A slot whose generation reaches this is retired: a number that wrapped would name another object.
const LAST_GENERATION: u32 = (1 << 24) - 1;
const SHARDS: u32 = 16;

impl Parts {
    fn of(raw: u64) -> Self {
        Self {
            tag: (raw >> 56) as u8,
            generation: (raw >> 32) as u32 & LAST_GENERATION,
            index: raw as u32,
        }
    }

    fn raw(self) -> u64 {
        u64::from(self.tag) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// All objects of a process that have a handle.
pub(crate) struct Table {
    /// Indices below this belong to the process that forked us.
    inherited: u32,
    shards: [RwLock<Shard>; SHARDS as usize],
    /// One above the highest index in use; what a forked child inherits.
    end: AtomicU32,
    next_shard: AtomicU32,
}

#[derive(Default)]
struct Shard {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    /// The object, and its place under the runtime's limit of handles.
    entry: Option<(Object, Option<Permit>)>,
}

impl Table {
    /// A table whose handles never coincide with those below `inherited`.
    pub(crate) fn new(inherited: u32) -> Self {
        let inherited = inherited.next_multiple_of(SHARDS);
        Self {
            inherited,
            shards: Default::default(),
            end: AtomicU32::new(inherited),
            next_shard: AtomicU32::new(0),
        }
    }

    /// One above the highest index that was ever given out.
    pub(crate) fn end(&self) -> u32 {
        self.end.load(Ordering::Relaxed)
    }

    pub(crate) fn insert<H: Handle>(&self, object: Arc<H::Object>, permit: Option<Permit>) -> H {
        let shard_number = self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = self.shards[shard_number as usize].write();
        let place = shard.free.pop().unwrap_or(shard.slots.len() as u32);
        if place as usize == shard.slots.len() {
            shard.slots.push(Slot { generation: 1, entry: None });
        }
        let slot = &mut shard.slots[place as usize];
        slot.entry = Some((H::wrap(object), permit));
        let generation = slot.generation;
        let index = self.inherited + place * SHARDS + shard_number;
        self.end.fetch_max(index + 1, Ordering::Relaxed);
        H::new(Parts { tag: H::TAG, generation, index }.raw())
    }

    pub(crate) fn get<H: Handle>(&self, handle: H) -> Result<Arc<H::Object>, Failure> {
        let (shard, place, generation) = self.locate(handle)?;
        let shard = self.shards[shard].read();
        let slot = shard.slots.get(place).filter(|slot| slot.generation == generation);
        let entry = slot.and_then(|slot| slot.entry.as_ref());
        entry.and_then(|(object, _)| H::unwrap(object)).cloned().ok_or_else(invalid::<H>)
    }

    /// Takes the object out; the number is stale from then on.
    pub(crate) fn remove<H: Handle>(&self, handle: H) -> Result<Arc<H::Object>, Failure> {
        let (shard_number, place, generation) = self.locate(handle)?;
        let entry = {
            let mut shard = self.shards[shard_number].write();
            let slot = shard.slots.get_mut(place).filter(|slot| slot.generation == generation);
            let entry = slot.and_then(|slot| {
                // A number with a forged type must not take out what it does not name.
                let entry = slot.entry.take_if(|(object, _)| H::unwrap(object).is_some());
                slot.generation += u32::from(entry.is_some());
                entry
            });
            if entry.is_some() && generation + 1 < LAST_GENERATION {
                shard.free.push(place as u32);
            }
            entry
        };
        let (object, permit) = entry.ok_or_else(invalid::<H>)?;
        drop(permit);
        H::unwrap(&object).cloned().ok_or_else(invalid::<H>)
    }

    /// Every live object of one type.
    pub(crate) fn all<H: Handle>(&self) -> Vec<Arc<H::Object>> {
        let of_type =
            |slot: &Slot| slot.entry.as_ref().and_then(|(object, _)| H::unwrap(object)).cloned();
        let each = |shard: &RwLock<Shard>| -> Vec<_> {
            shard.read().slots.iter().filter_map(of_type).collect()
        };
        self.shards.iter().flat_map(each).collect()
    }

    /// How many objects of one type are alive.
    pub(crate) fn count(&self, tag: u8) -> usize {
        let is_counted =
            |slot: &&Slot| slot.entry.as_ref().is_some_and(|(object, _)| object.tag() == tag);
        self.shards.iter().map(|shard| shard.read().slots.iter().filter(is_counted).count()).sum()
    }

    fn locate<H: Handle>(&self, handle: H) -> Result<(usize, usize, u32), Failure> {
        let parts = Parts::of(handle.raw());
        if parts.tag != H::TAG {
            return Err(invalid::<H>());
        }
        let Some(own) = parts.index.checked_sub(self.inherited) else {
            return Err(Failure::new(
                TRUNKLINE_E_FORKED,
                format!("the {} was inherited over a fork; make a new one in the child", H::NAME),
            ));
        };
        Ok(((own % SHARDS) as usize, (own / SHARDS) as usize, parts.generation))
    }
}

impl Object {
    fn tag(&self) -> u8 {
        match self {
            Self::Runtime(_) => trunkline_runtime_t::TAG,
            Self::Queue(_) => trunkline_cq_t::TAG,
            Self::Op(_) => trunkline_op_t::TAG,
            Self::Stream(_) => trunkline_stream_t::TAG,
            Self::Listener(_) => trunkline_listener_t::TAG,
            Self::TcpManager(_) => trunkline_tcp_manager_t::TAG,
            Self::Datagram(_) => trunkline_datagram_t::TAG,
            Self::UdpManager(_) => trunkline_udp_manager_t::TAG,
            Self::KeyedPool(_) => trunkline_keyed_pool_t::TAG,
            Self::Pool(_) => trunkline_pool_t::TAG,
            Self::Job(_) => trunkline_job_t::TAG,
            Self::Tls(_) => trunkline_tls_t::TAG,
            Self::Channel(_) => trunkline_channel_t::TAG,
            Self::Call(_) => trunkline_call_t::TAG,
            Self::Agent(_) => trunkline_agent_t::TAG,
            Self::Hub(_) => trunkline_hub_t::TAG,
            Self::MemoryProxy(_) => trunkline_memory_proxy_t::TAG,
        }
    }
}

fn invalid<H: Handle>() -> Failure {
    Failure::new(
        TRUNKLINE_E_INVALID_HANDLE,
        format!(
            "not a handle of a live {}: freed already, never made, or of another type",
            H::NAME
        ),
    )
}

/// Removes a handle the way every `_free` does: nothing of an inherited object is touched.
pub(crate) fn free<H: Handle>(handle: H) -> trunkline_status_t {
    end_and_free(handle, |_| {})
}

/// As [`free`], for objects that other threads may hold in a wait: `end` makes them see the end now, and not
/// when they are done.
pub(crate) fn end_and_free<H: Handle>(
    handle: H,
    end: impl FnOnce(&H::Object),
) -> trunkline_status_t {
    crate::call::enter_plain(|| match Process::current().table().remove(handle) {
        Ok(object) => {
            end(&object);
            Ok(())
        }
        Err(failure) if failure.status() == TRUNKLINE_E_FORKED => Ok(()),
        Err(failure) => Err(failure),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::sync::CancellationToken;

    fn op() -> Arc<dyn Operation> {
        Arc::new(CancellationToken::new())
    }

    #[test]
    fn a_handle_is_good_until_it_is_removed_and_never_again() {
        let table = Table::new(0);
        let handle: trunkline_op_t = table.insert(op(), None);
        assert!(table.get(handle).is_ok());
        assert!(table.remove(handle).is_ok());
        for answer in [table.get(handle), table.remove(handle)] {
            assert_eq!(answer.err().unwrap().status(), TRUNKLINE_E_INVALID_HANDLE);
        }
        for _ in 0..100 {
            assert_ne!(table.insert::<trunkline_op_t>(op(), None), handle);
        }
    }

    #[test]
    fn a_handle_of_another_type_or_from_nowhere_is_refused() {
        let table = Table::new(0);
        let handle: trunkline_op_t = table.insert(op(), None);
        let foreign = trunkline_stream_t { h: handle.h };
        assert_eq!(table.get(foreign).err().unwrap().status(), TRUNKLINE_E_INVALID_HANDLE);
        let forged = trunkline_stream_t::new(Parts { tag: 4, ..Parts::of(handle.h) }.raw());
        assert_eq!(table.remove(forged).err().unwrap().status(), TRUNKLINE_E_INVALID_HANDLE);
        assert!(table.get(handle).is_ok());
        for h in [0, u64::MAX, 3 << 56 | 0xffff] {
            let status = table.get(trunkline_op_t { h }).err().unwrap().status();
            assert_eq!(status, TRUNKLINE_E_INVALID_HANDLE);
        }
    }

    #[test]
    fn what_was_inherited_over_a_fork_is_told_from_what_is_stale() {
        let parent = Table::new(0);
        let inherited: trunkline_op_t = parent.insert(op(), None);
        let child = Table::new(parent.end());
        assert_eq!(child.get(inherited).err().unwrap().status(), TRUNKLINE_E_FORKED);
        let own: trunkline_op_t = child.insert(op(), None);
        assert!(child.get(own).is_ok());
        assert_ne!(own, inherited);
    }

    #[test]
    fn a_slot_is_retired_before_its_generation_wraps() {
        let table = Table::new(0);
        let first: trunkline_op_t = table.insert(op(), None);
        let place = Parts::of(first.h);
        table.shards[(place.index % SHARDS) as usize].write().slots[0].generation =
            LAST_GENERATION - 1;
        let last = trunkline_op_t::new(Parts { generation: LAST_GENERATION - 1, ..place }.raw());
        assert!(table.remove(last).is_ok());
        for _ in 0..3 * SHARDS {
            let next: trunkline_op_t = table.insert(op(), None);
            assert_ne!(Parts::of(next.h).index, place.index);
        }
    }
}
