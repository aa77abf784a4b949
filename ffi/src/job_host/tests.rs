use super::{resource::Resource, *};
use crate::{
    call::enter_unit,
    handle::{free, trunkline_runtime_t},
    queue::{trunkline_cq_free, trunkline_cq_new, trunkline_cq_wait, trunkline_event_t},
    runtime::{trunkline_runtime_free, trunkline_runtime_new, trunkline_runtime_shutdown},
};
use std::{future::poll_fn, mem::MaybeUninit, pin::pin, ptr, sync::mpsc, task::Poll};
use trunkline_core::PoolCloseReason;

fn new_runtime() -> trunkline_runtime_t {
    let mut made = MaybeUninit::uninit();
    // SAFETY: NULL means the defaults, and a success writes the handle.
    unsafe {
        assert_eq!(trunkline_runtime_new(ptr::null(), Some(&mut made), None), TRUNKLINE_OK);
        made.assume_init()
    }
}

fn new_queue(runtime: trunkline_runtime_t, places: u32) -> trunkline_cq_t {
    let mut made = MaybeUninit::uninit();
    assert_eq!(trunkline_cq_new(runtime, places, Some(&mut made), None), TRUNKLINE_OK);
    // SAFETY: a success writes the handle.
    unsafe { made.assume_init() }
}

fn register(runtime: trunkline_runtime_t, given: &trunkline_job_host_t) -> Result<JobHost, i32> {
    let mut host = None;
    let registration = Registration::of(given);
    let status = enter_unit(None, |call| {
        host = Some(registration.on(call, &call.runtime(runtime)?)?);
        Ok(())
    });
    host.ok_or(status)
}

/// A host with a queue, and what it finds there.
struct World {
    runtime: trunkline_runtime_t,
    queue: trunkline_cq_t,
    host: Option<JobHost>,
}

impl World {
    fn new(places: u32) -> Self {
        let runtime = new_runtime();
        let queue = new_queue(runtime, places);
        let (user_data, release) = (ptr::null_mut(), None);
        let given = trunkline_job_host_t { queue, tag: 7, r#fn: None, user_data, release };
        Self { runtime, queue, host: Some(register(runtime, &given).unwrap()) }
    }

    fn host(&self) -> &JobHost {
        self.host.as_ref().unwrap()
    }

    fn next(&self) -> Option<trunkline_event_t> {
        let (mut event, mut n) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: room for one event, which a success writes.
        unsafe {
            match trunkline_cq_wait(self.queue, event.as_mut_ptr(), 1, 0, Some(&mut n)) {
                TRUNKLINE_OK => Some(event.assume_init()),
                _ => None,
            }
        }
    }

    /// The job that came, which must be of that kind.
    fn job(&self, value: u64) -> trunkline_job_t {
        let event = self.next().expect("a job has come");
        assert_eq!((event.tag, event.kind, event.value), (7, TRUNKLINE_EV_JOB, value));
        trunkline_job_t { h: event.handle }
    }

    async fn connected(&self, number: u64) -> Resource {
        let mut asking = pin!(self.host().connect(0));
        pending(&mut asking).await;
        assert_eq!(done(self.job(u64::from(TRUNKLINE_JOB_CONNECT)), number), TRUNKLINE_OK);
        asking.await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        trunkline_cq_free(self.queue);
        trunkline_runtime_free(self.runtime);
    }
}

fn done(job: trunkline_job_t, value: u64) -> trunkline_status_t {
    trunkline_job_done(job, value, None)
}

fn host_error(status: trunkline_status_t) -> Option<Box<trunkline_error_t>> {
    Some(Box::new(trunkline_error_t::plain(status, "the host's words")))
}

/// Polls once: the future waits.
async fn pending<F: Future>(future: &mut std::pin::Pin<&mut F>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

const fn closes(reason: PoolCloseReason) -> u64 {
    (reason as u64) << 32 | TRUNKLINE_JOB_CLOSE as u64
}

#[tokio::test]
async fn a_job_comes_to_the_queue_and_its_answer_to_whoever_asked() {
    let world = World::new(0);
    let mut asking = pin!(world.host().ask(JobKind::Check, 42));
    pending(&mut asking).await;
    let event = world.next().unwrap();
    assert_eq!((event.tag, event.kind, event.status), (7, TRUNKLINE_EV_JOB, TRUNKLINE_OK));
    assert_eq!((event.value, event.about), (u64::from(TRUNKLINE_JOB_CHECK), 42));
    let job = trunkline_job_t { h: event.handle };
    assert_eq!(done(job, 5), TRUNKLINE_OK);
    assert_eq!(asking.await.unwrap(), 5);
    assert_eq!(done(job, 5), TRUNKLINE_E_INVALID_HANDLE, "once");
}

#[tokio::test]
async fn a_failure_of_the_host_is_told_with_its_words() {
    let world = World::new(0);
    let statuses = [
        (TRUNKLINE_E_TIMEOUT, TRUNKLINE_E_TIMEOUT, TRUNKLINE_E_TIMEOUT),
        (TRUNKLINE_E_BIND_FAILED, TRUNKLINE_E_BIND_FAILED, TRUNKLINE_E_BIND_FAILED),
        (TRUNKLINE_E_BROKEN, TRUNKLINE_E_BROKEN, TRUNKLINE_E_BROKEN),
        (TRUNKLINE_E_PROTOCOL, TRUNKLINE_E_PROTOCOL, TRUNKLINE_E_PROTOCOL),
        (TRUNKLINE_E_INVALID_ARGUMENT, TRUNKLINE_E_INVALID_ARGUMENT, TRUNKLINE_E_INVALID_ARGUMENT),
        (TRUNKLINE_E_CONNECTION_FAILED, TRUNKLINE_E_CONNECTION_FAILED, TRUNKLINE_E_BROKEN),
        (TRUNKLINE_E_CALLBACK, TRUNKLINE_E_CONNECTION_FAILED, TRUNKLINE_E_BROKEN),
        (TRUNKLINE_E_TLS, TRUNKLINE_E_CONNECTION_FAILED, TRUNKLINE_E_BROKEN),
        // A limit or an end of the host's is none of the pool's.
        (TRUNKLINE_E_LIMIT_EXCEEDED, TRUNKLINE_E_CONNECTION_FAILED, TRUNKLINE_E_BROKEN),
        (TRUNKLINE_E_CLOSED, TRUNKLINE_E_CONNECTION_FAILED, TRUNKLINE_E_BROKEN),
    ];
    for (status, of_connect, of_check) in statuses {
        let mut connecting = pin!(world.host().connect(0));
        pending(&mut connecting).await;
        let job = world.job(u64::from(TRUNKLINE_JOB_CONNECT));
        assert_eq!(trunkline_job_done(job, 0, host_error(status)), TRUNKLINE_OK);
        let error = connecting.await.unwrap_err();
        let mut checking = pin!(world.host().ask(JobKind::Check, 1));
        pending(&mut checking).await;
        let job = world.job(u64::from(TRUNKLINE_JOB_CHECK));
        assert_eq!(trunkline_job_done(job, 0, host_error(status)), TRUNKLINE_OK);
        let errors = [(error, of_connect), (checking.await.unwrap_err(), of_check)];
        for (error, expected) in errors {
            let told = trunkline_error_t::from(&Failure::Core(error));
            assert_eq!(told.status(), expected, "for {status}");
            let cause = std::error::Error::source(&told).expect("the host's error lies behind");
            let cause = cause.downcast_ref::<trunkline_error_t>().unwrap();
            assert_eq!((cause.status(), &*cause.to_string()), (status, "the host's words"));
        }
    }
}

#[tokio::test]
async fn a_full_queue_refuses_to_ask_and_loses_nothing() {
    let world = World::new(2);
    let mut first = pin!(world.host().connect(0));
    pending(&mut first).await;
    let refused = world.host().ask(JobKind::Check, 1).await.unwrap_err();
    assert!(matches!(refused, ConnectionError::LimitExceeded { limit: 2, .. }), "{refused:?}");
    let refused = world.host().connect(0).await.unwrap_err();
    assert!(matches!(refused, ConnectionError::LimitExceeded { limit: 2, .. }), "{refused:?}");
    assert_eq!(done(world.job(u64::from(TRUNKLINE_JOB_CONNECT)), 3), TRUNKLINE_OK);
    assert_eq!(first.await.unwrap().number(), 3);
}

#[tokio::test]
async fn a_connection_is_closed_although_the_queue_is_full() {
    let world = World::new(2);
    let resource = world.connected(9).await;
    let mut other = pin!(world.host().ask(JobKind::Check, 1));
    pending(&mut other).await;
    assert!(world.host().ask(JobKind::Check, 1).await.is_err(), "the queue is full");
    let mut closed = pin!(resource.close(PoolCloseReason::Lifetime as u32));
    pending(&mut closed).await;
    world.job(u64::from(TRUNKLINE_JOB_CHECK));
    let close = world.job(closes(PoolCloseReason::Lifetime));
    assert_eq!(done(close, 0), TRUNKLINE_OK);
    closed.await;
    assert!(world.next().is_none(), "closed once");
}

#[tokio::test]
async fn a_dropped_question_makes_its_job_stale() {
    let world = World::new(0);
    let mut asking = Box::pin(world.host().ask(JobKind::Reset, 1));
    pending(&mut asking.as_mut()).await;
    let job = world.job(u64::from(TRUNKLINE_JOB_RESET));
    drop(asking);
    assert_eq!(done(job, 0), TRUNKLINE_E_INVALID_HANDLE);
}

#[tokio::test]
async fn a_connection_that_comes_too_late_is_closed_once() {
    let world = World::new(0);
    let mut asking = Box::pin(world.host().connect(0));
    pending(&mut asking.as_mut()).await;
    let job = world.job(u64::from(TRUNKLINE_JOB_CONNECT));
    drop(asking);
    assert_eq!(done(job, 11), TRUNKLINE_OK, "the pool takes it");
    let event = world.next().unwrap();
    assert_eq!((event.value, event.about), (closes(PoolCloseReason::Unwanted), 11));
    assert_eq!(done(trunkline_job_t { h: event.handle }, 0), TRUNKLINE_OK);
    assert!(world.next().is_none());
    assert_eq!(world.host().0.outstanding.lock().len(), 0);
}

#[tokio::test]
async fn a_connection_that_came_and_was_not_picked_up_is_closed() {
    let world = World::new(0);
    let mut asking = Box::pin(world.host().connect(0));
    pending(&mut asking.as_mut()).await;
    assert_eq!(done(world.job(u64::from(TRUNKLINE_JOB_CONNECT)), 11), TRUNKLINE_OK);
    drop(asking);
    world.job(closes(PoolCloseReason::Unwanted));
}

#[tokio::test]
async fn a_job_that_is_thrown_away_fails_at_once() {
    let world = World::new(0);
    for frees_queue in [false, true] {
        let mut asking = pin!(world.host().connect(0));
        pending(&mut asking).await;
        if frees_queue {
            trunkline_cq_free(world.queue);
        } else {
            let mut event = world.next().unwrap();
            // SAFETY: an event from the library of which nothing was freed.
            unsafe { crate::queue::trunkline_event_dispose(Some(&mut event)) };
        }
        let error = asking.await.unwrap_err();
        assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_jobs_of_a_pool_that_is_gone_are_stale() {
    let mut world = World::new(0);
    let host = world.host.take().unwrap();
    let mut asking = Box::pin(host.connect(0));
    pending(&mut asking.as_mut()).await;
    let job = world.job(u64::from(TRUNKLINE_JOB_CONNECT));
    drop(asking);
    drop(host);
    assert_eq!(done(job, 11), TRUNKLINE_E_INVALID_HANDLE, "what it made stays the host's");
    assert!(world.next().is_none());
}

/// What a callback saw, and the end of it.
type Seen = Option<(u64, u32, u32, u64)>;
type Calls = mpsc::Sender<Seen>;

unsafe extern "C-unwind" fn take_job(
    user_data: *mut c_void,
    job: trunkline_job_t,
    what: u32,
    reason: u32,
    about: u64,
) {
    assert!(crate::call::is_library_thread());
    // SAFETY: it was registered with this pointer, which lives until the release.
    let calls = unsafe { &*user_data.cast::<Calls>() };
    let _ = calls.send(Some((job.h, what, reason, about)));
}

unsafe extern "C-unwind" fn release(user_data: *mut c_void) {
    // SAFETY: it was registered with this pointer, and this runs once.
    let calls = unsafe { Box::from_raw(user_data.cast::<Calls>()) };
    let _ = calls.send(None);
}

fn with_callback(queue: trunkline_cq_t) -> (trunkline_job_host_t, mpsc::Receiver<Seen>) {
    let (sender, receiver) = mpsc::channel();
    let user_data = Box::into_raw(Box::new(sender)).cast();
    (
        trunkline_job_host_t {
            queue,
            tag: 0,
            r#fn: Some(take_job),
            user_data,
            release: Some(release),
        },
        receiver,
    )
}

#[test]
fn a_callback_takes_jobs_on_a_thread_of_the_library_and_is_released_after_the_last() {
    let runtime = new_runtime();
    let (given, calls) = with_callback(trunkline_cq_t { h: 0 });
    let host = register(runtime, &given).unwrap();
    let waiting = host.clone();
    let asker = std::thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio.block_on(waiting.connect(3)).unwrap()
    });
    let (job, what, reason, about) = calls.recv().unwrap().unwrap();
    assert_eq!((what, reason, about), (TRUNKLINE_JOB_CONNECT, 0, 3));
    assert_eq!(done(trunkline_job_t { h: job }, 8), TRUNKLINE_OK);
    let resource = asker.join().unwrap();
    drop(host);
    assert_eq!(trunkline_runtime_shutdown(runtime, i64::MAX, None), TRUNKLINE_OK);
    drop(resource);
    let (_, what, reason, about) = calls.recv().unwrap().unwrap();
    assert_eq!((what, reason, about), (TRUNKLINE_JOB_CLOSE, PoolCloseReason::Unwanted as u32, 8));
    assert_eq!(calls.recv().unwrap(), None, "released");
    assert!(calls.recv().is_err(), "once");
    assert_eq!(free(runtime), TRUNKLINE_OK);
}

#[test]
fn a_registration_that_fails_releases_too() {
    let runtime = new_runtime();
    let queue = new_queue(runtime, 0);
    for queue in [queue, trunkline_cq_t { h: 12_345 }] {
        let (given, calls) = with_callback(queue);
        assert_eq!(register(runtime, &given).err(), Some(TRUNKLINE_E_INVALID_ARGUMENT));
        assert_eq!(calls.recv().unwrap(), None);
    }
    let (user_data, release) = (ptr::null_mut(), None);
    let nowhere = trunkline_job_host_t {
        queue: trunkline_cq_t { h: 0 },
        tag: 0,
        r#fn: None,
        user_data,
        release,
    };
    assert_eq!(register(runtime, &nowhere).err(), Some(TRUNKLINE_E_INVALID_ARGUMENT));
    trunkline_cq_free(queue);
    assert_eq!(free(runtime), TRUNKLINE_OK);
}
