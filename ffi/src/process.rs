//! What exists once per process: the handle table and the default runtime. A forked child gets new ones.
#![allow(unsafe_code, reason = "a pointer that is replaced once after a fork, and never freed")]

use crate::{
    error::Failure,
    handle::Table,
    log::Log,
    runtime::{Runtime, Settings},
};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
};
use trunkline_core::{Names, fork};

/// The state of this process. The parent's is left alone in a forked child: its locks may be held
/// by threads that the child does not have, so it is neither read nor freed there.
pub(crate) struct Process {
    generation: u32,
    table: Table,
    /// In-memory names are the process's: every runtime and every language sees the same ones.
    names: Names,
    default_runtime: Mutex<DefaultRuntime>,
    log: Log,
}

/// The runtime behind `{0}`, and how it is made when it is first used.
#[derive(Default)]
struct DefaultRuntime {
    settings: Settings,
    cell: Arc<OnceCell<Arc<Runtime>>>,
}

static CURRENT: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());

impl Process {
    /// The state of the process that calls.
    pub(crate) fn current() -> &'static Self {
        let generation = fork::generation();
        loop {
            let current = CURRENT.load(Ordering::Acquire);
            // SAFETY: what is stored comes from `Box::into_raw` below and is never freed.
            let known = unsafe { current.as_ref() };
            if let Some(process) = known.filter(|process| process.generation == generation) {
                return process;
            }
            let inherited = known.map_or(0, |parent| parent.table.end());
            Self::replace(current, Self::new(generation, inherited));
        }
    }

    fn new(generation: u32, inherited: u32) -> Self {
        Self {
            generation,
            table: Table::new(inherited),
            names: Names::default(),
            default_runtime: Mutex::default(),
            log: Log::default(),
        }
    }

    /// Puts `fresh` in the place of `old`, unless another thread was faster.
    fn replace(old: *mut Self, fresh: Self) {
        let fresh = Box::into_raw(Box::new(fresh));
        if CURRENT.compare_exchange(old, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: `fresh` was just made and was not published.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The default runtime, made now if it was not there. A failure leaves it to be tried again.
    pub(crate) fn default_runtime(&self) -> Result<Arc<Runtime>, Failure> {
        let (cell, settings) = {
            let default = self.default_runtime.lock();
            (Arc::clone(&default.cell), default.settings.clone())
        };
        cell.get_or_try_init(|| Runtime::start(settings).map(Arc::new)).cloned()
    }

    /// Says how the default runtime will be made.
    pub(crate) fn configure_default(&self, settings: Settings) -> Result<(), Failure> {
        let mut default = self.default_runtime.lock();
        if default.cell.get().is_some() {
            return Err(Failure::argument(
                "the default runtime runs already: configure it before its first use",
            ));
        }
        default.settings = settings;
        Ok(())
    }

    /// Forgets the default runtime; the next use makes a new one.
    pub(crate) fn forget_default(&self) -> Option<Arc<Runtime>> {
        let mut default = self.default_runtime.lock();
        let cell = std::mem::take(&mut default.cell);
        cell.get().cloned()
    }
}
