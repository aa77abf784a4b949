//! The log callback: what the library says goes to one function of the host, or nowhere.
//!
//! ```text
//!  tracing event ──▶ Forward (a dispatcher of our own, set on each thread) ──▶ Sink ──▶ the host's function
//! ```
//!
//! The host's own `log` and `tracing` are never touched. Without a callback the dispatcher is at level OFF,
//! where an event costs one comparison.
#![allow(unsafe_code, reason = "a callback of the host is called through its pointer")]

use crate::{
    buf::trunkline_release_fn,
    call::{enter_unit, in_callback},
    completion::UserData,
    error::{Failure, trunkline_error_t},
    input::trunkline_str_t,
    output::ns,
    process::Process,
    status::*,
};
use once_cell::sync::OnceCell;
use parking_lot::RwLock;
use std::{
    cell::Cell,
    ffi::c_void,
    fmt::{self, Write},
    mem::{ManuallyDrop, MaybeUninit},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    dispatcher::{self, DefaultGuard},
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::NoSubscriber,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// Nothing is logged.
pub const TRUNKLINE_LOG_OFF: i32 = 0;
/// Something failed that should not.
pub const TRUNKLINE_LOG_ERROR: i32 = 1;
/// Something that somebody should look at.
pub const TRUNKLINE_LOG_WARN: i32 = 2;
/// What an operator wants to know.
pub const TRUNKLINE_LOG_INFO: i32 = 3;
/// The life of each connection.
pub const TRUNKLINE_LOG_DEBUG: i32 = 4;
/// Everything.
pub const TRUNKLINE_LOG_TRACE: i32 = 5;

/// One record. All texts are borrowed for the length of the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_log_record_t {
    /// Bytes that this library filled: a newer one appends fields.
    pub size: usize,
    /// One of TRUNKLINE_LOG_*.
    pub level: i32,
    /// Line of the source file; 0 where it is not known.
    pub line: u32,
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// The part of the library that speaks.
    pub target: trunkline_str_t,
    /// What happened.
    pub message: trunkline_str_t,
    /// Source file; empty where it is not known.
    pub file: trunkline_str_t,
    /// Details as name=value, separated by blanks; values with blanks are quoted. Those of the operation that the
    /// record belongs to follow those of the record.
    pub fields: trunkline_str_t,
}

/// A callback that takes one record. It may run on any thread that is in the library, on several at once.
///
/// It must not block, throw, longjmp or unwind. What it makes the library say itself is not logged.
pub type trunkline_log_fn = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, record: *const trunkline_log_record_t),
>;

/// The log of one process. A forked child begins without a callback.
#[derive(Default)]
pub(crate) struct Log {
    level: AtomicI32,
    sink: RwLock<Option<Arc<Sink>>>,
}

impl Log {
    fn set(&self, max_level: i32, sink: Option<Sink>) {
        let level = if sink.is_some() { max_level } else { TRUNKLINE_LOG_OFF };
        let replaced = std::mem::replace(&mut *self.sink.write(), sink.map(Arc::new));
        self.level.store(level, Ordering::Release);
        // Its release may call into the library.
        drop(replaced);
        tracing::callsite::rebuild_interest_cache();
    }

    fn level(&self) -> i32 {
        self.level.load(Ordering::Acquire)
    }

    fn sink(&self) -> Option<Arc<Sink>> {
        self.sink.read().clone()
    }
}

/// A registration of the host: its pointer is released once, after the last call.
struct Sink {
    function: trunkline_log_fn,
    user_data: UserData,
    release: trunkline_release_fn,
}

impl Sink {
    fn take(&self, record: &trunkline_log_record_t) {
        let Some(function) = self.function else { return };
        // SAFETY: the host promised a function that may be called with its pointer until the release.
        in_callback(|| unsafe { function(self.user_data.0, record) });
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the host promised a function that may be called once with its pointer.
            in_callback(|| unsafe { release(self.user_data.0) });
        }
    }
}

/// Where events go. Beside it stands one that wants nothing: while `tracing` knows a single dispatcher, it asks
/// the one of the calling thread instead of ours whether anybody listens, and remembers the answer for all.
fn dispatch() -> &'static Dispatch {
    static DISPATCH: OnceCell<(Dispatch, Dispatch)> = OnceCell::new();
    let make = || {
        let ours = Dispatch::new(Registry::default().with(Forward));
        (ours, Dispatch::new(NoSubscriber::new()))
    };
    &DISPATCH.get_or_init(make).0
}

/// Makes a thread of the library speak to the host for as long as it runs.
pub(crate) fn follow_thread() {
    thread_local! {
        /// Never dropped: the end of the thread takes the dispatcher along.
        static GUARD: Cell<Option<ManuallyDrop<DefaultGuard>>> = const { Cell::new(None) };
    }
    GUARD.set(Some(ManuallyDrop::new(dispatcher::set_default(dispatch()))));
}

/// Makes a thread of the host speak to it while it is in the library; nothing if nobody listens, or within
/// the host's log function, where nothing is logged.
pub(crate) fn follow_call(process: &Process) -> Option<DefaultGuard> {
    let is_heard = process.log().level() > TRUNKLINE_LOG_OFF && !IS_LOGGING.get();
    is_heard.then(|| dispatcher::set_default(dispatch()))
}

/// The layer that turns events into records.
struct Forward;

/// The fields of a span, kept for the records within it.
struct SpanFields(Vec<(&'static str, String)>);

thread_local! {
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        number_of(*metadata.level()) <= Process::current().log().level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(filter_of(Process::current().log().level()))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanFields(fields.list));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(SpanFields(list)) = span.extensions_mut().get_mut() {
            list.extend(fields.list);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if IS_LOGGING.replace(true) {
            return;
        }
        if let Some(sink) = Process::current().log().sink() {
            let mut fields = Fields::default();
            event.record(&mut fields);
            for span in context.event_scope(event).into_iter().flatten() {
                if let Some(SpanFields(list)) = span.extensions().get() {
                    fields.add_missing(list);
                }
            }
            tell(&sink, event.metadata(), &fields);
        }
        IS_LOGGING.set(false);
    }
}

fn tell(sink: &Sink, metadata: &Metadata<'_>, fields: &Fields) {
    let list = fields.to_string();
    sink.take(&trunkline_log_record_t {
        size: size_of::<trunkline_log_record_t>(),
        level: number_of(*metadata.level()),
        line: metadata.line().unwrap_or(0),
        unix_ns: unix_ns(),
        target: metadata.target().into(),
        message: fields.message.as_str().into(),
        file: metadata.file().unwrap_or_default().into(),
        fields: list.as_str().into(),
    });
}

#[expect(clippy::disallowed_methods, reason = "a record carries the time of day")]
fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ns(since)
}

fn number_of(level: Level) -> i32 {
    match level {
        Level::ERROR => TRUNKLINE_LOG_ERROR,
        Level::WARN => TRUNKLINE_LOG_WARN,
        Level::INFO => TRUNKLINE_LOG_INFO,
        Level::DEBUG => TRUNKLINE_LOG_DEBUG,
        _ => TRUNKLINE_LOG_TRACE,
    }
}

fn filter_of(level: i32) -> LevelFilter {
    match level {
        TRUNKLINE_LOG_ERROR => LevelFilter::ERROR,
        TRUNKLINE_LOG_WARN => LevelFilter::WARN,
        TRUNKLINE_LOG_INFO => LevelFilter::INFO,
        TRUNKLINE_LOG_DEBUG => LevelFilter::DEBUG,
        TRUNKLINE_LOG_TRACE => LevelFilter::TRACE,
        _ => LevelFilter::OFF,
    }
}

/// The message and the other fields of a record, in order.
#[derive(Default)]
struct Fields {
    message: String,
    list: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.list.push((name, value)),
        }
    }

    /// What is nearer to the record was said first and holds.
    fn add_missing(&mut self, outer: &[(&'static str, String)]) {
        for (name, value) in outer {
            if !self.list.iter().any(|(known, _)| known == name) {
                self.list.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.list.iter().enumerate() {
            let separator = if i == 0 { "" } else { " " };
            let is_plain = !value.is_empty() && !value.contains([' ', '"', '=', '\n', '\t']);
            if is_plain {
                write!(f, "{separator}{name}={value}")?;
            } else {
                write!(f, "{separator}{name}={value:?}")?;
            }
        }
        Ok(())
    }
}

/// Sends what the library says, up to `max_level` (TRUNKLINE_LOG_*), to `fn`; replaces what was set before. NULL
/// for `fn` removes it. One callback per process, which all runtimes share.
///
/// Ownership: `release(user_data)` runs exactly once, after the last call of `fn`, also when this call fails. Calls
/// that other threads have begun may end after this returns. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT.
/// Since 0.1.
///
/// # Safety
///
/// `fn` and `release` may be called from any thread until the release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_log_set(
    max_level: i32,
    r#fn: trunkline_log_fn,
    user_data: *mut c_void,
    release: trunkline_release_fn,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let sink = Sink { function: r#fn, user_data: UserData(user_data), release };
    enter_unit(err, |call| {
        if !(TRUNKLINE_LOG_OFF..=TRUNKLINE_LOG_TRACE).contains(&max_level) {
            return Err(Failure::argument("max_level: must be within 0 and 5"));
        }
        dispatch();
        let sink = sink.function.is_some().then_some(sink);
        call.process().log().set(max_level, sink);
        Ok(())
    })
}
