//! What comes in from C: pointers with lengths, sized option structs, deadlines.
#![allow(unsafe_code, reason = "the only place that reads memory by a caller's pointer")]

use crate::error::Failure;
use rustix::time::{ClockId, clock_gettime};
use std::{
    ffi::c_char,
    slice,
    time::{Duration, Instant},
};
use trunkline_core::Address;

/// An absolute deadline that never comes. A deadline of 0 tries once and says WOULD_BLOCK, one in the past TIMEOUT.
pub const TRUNKLINE_DEADLINE_NONE: i64 = i64::MAX;
/// A duration in an options struct that never ends; 0 there means the documented default.
pub const TRUNKLINE_NEVER: i64 = i64::MAX;

/// Borrowed bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_bytes_t {
    /// May be NULL only if `len` is 0.
    pub ptr: *const u8,
    /// In bytes.
    pub len: usize,
}

/// Borrowed UTF-8 text, not NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_str_t {
    /// May be NULL only if `len` is 0.
    pub ptr: *const c_char,
    /// In bytes.
    pub len: usize,
}

impl From<&str> for trunkline_str_t {
    fn from(text: &str) -> Self {
        Self { ptr: text.as_ptr().cast(), len: text.len() }
    }
}

/// The bytes at `ptr`.
///
/// # Safety
///
/// `ptr` is NULL or `len` readable bytes that nobody changes during `'a`.
pub(crate) unsafe fn bytes<'a>(
    ptr: *const u8,
    len: usize,
    name: &str,
) -> Result<&'a [u8], Failure> {
    if ptr.is_null() {
        return if len == 0 { Ok(&[]) } else { Err(Failure::null(name)) };
    }
    check_length(len, name)?;
    // SAFETY: not NULL and no longer than an object can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(ptr, len) })
}

/// The writable bytes at `ptr`.
///
/// # Safety
///
/// `ptr` is NULL or `len` writable bytes that nobody else touches during `'a`.
pub(crate) unsafe fn bytes_mut<'a>(
    ptr: *mut u8,
    len: usize,
    name: &str,
) -> Result<&'a mut [u8], Failure> {
    if ptr.is_null() {
        return if len == 0 { Ok(&mut []) } else { Err(Failure::null(name)) };
    }
    check_length(len, name)?;
    // SAFETY: not NULL and no longer than an object can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(ptr, len) })
}

fn check_length(len: usize, name: &str) -> Result<(), Failure> {
    if isize::try_from(len).is_err() {
        return Err(Failure::argument(format!("{name} is longer than any object can be")));
    }
    Ok(())
}

/// The UTF-8 text at `ptr`.
///
/// # Safety
///
/// As for [`bytes`].
pub(crate) unsafe fn text<'a>(
    ptr: *const c_char,
    len: usize,
    name: &str,
) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise is the same.
    let bytes = unsafe { bytes(ptr.cast(), len, name)? };
    std::str::from_utf8(bytes).map_err(|_| Failure::argument(format!("{name} is not UTF-8")))
}

/// The address at `ptr`.
///
/// # Safety
///
/// As for [`bytes`].
pub(crate) unsafe fn address(ptr: *const c_char, len: usize) -> Result<Address, Failure> {
    // SAFETY: the caller's promise is the same.
    let text = unsafe { text(ptr, len, "address")? };
    text.parse().map_err(|error: trunkline_core::AddressError| Failure::Core(error.into()))
}

/// A list of buffers, as for writev.
///
/// # Safety
///
/// `ptr` is NULL or `count` elements, each good for [`bytes`] during `'a`.
pub(crate) unsafe fn buffers<'a>(
    ptr: *const trunkline_bytes_t,
    count: usize,
    name: &str,
) -> Result<Vec<&'a [u8]>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if ptr.is_null() {
        return Err(Failure::null(name));
    }
    check_length(count.saturating_mul(size_of::<trunkline_bytes_t>()), name)?;
    // SAFETY: not NULL and of a possible length; the rest is the caller's promise.
    let list = unsafe { slice::from_raw_parts(ptr, count) };
    // SAFETY: the caller promises it for each element.
    list.iter().map(|item| unsafe { bytes(item.ptr, item.len, name) }).collect()
}

/// When a call has to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// Try once, and say that it would have to wait.
    Now,
    /// Try once, and say that time is up.
    Past,
    At(Instant),
    Never,
}

impl Deadline {
    /// Nanoseconds of `CLOCK_MONOTONIC`, as C passes them.
    pub(crate) fn from_ns(deadline_ns: i64) -> Self {
        if deadline_ns == TRUNKLINE_DEADLINE_NONE {
            return Self::Never;
        }
        if deadline_ns <= 0 {
            return Self::Now;
        }
        let left = deadline_ns.saturating_sub(monotonic_ns());
        match u64::try_from(left) {
            Ok(left) if left > 0 => Self::At(now() + Duration::from_nanos(left)),
            _ => Self::Past,
        }
    }

    /// Whether there is no time to wait.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Now | Self::Past)
    }

    /// For core, where no deadline is `None`; a past one stays past.
    pub(crate) fn instant(self) -> Option<Instant> {
        match self {
            Self::Now | Self::Past => Some(now()),
            Self::At(instant) => Some(instant),
            Self::Never => None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the caller's deadline is told by the same clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn monotonic_ns() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// A struct of options that may grow: its first field is the size that the caller's header gave it.
///
/// # Safety
///
/// Implemented by `repr(C)` structs of plain old data for which all zeroes are valid, and whose
/// first field is `size: usize`.
pub(crate) unsafe trait Sized_: Copy {}

/// Copies an options struct of any age: what the caller's header did not know is zero, which means
/// the default; what this library does not know must be zero.
///
/// # Safety
///
/// `ptr` is NULL, or points to a `size` followed by the rest of `size` readable bytes.
pub(crate) unsafe fn options<T: Sized_>(ptr: *const T) -> Result<Option<T>, Failure> {
    if ptr.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller promises that the first field is there.
    let size = unsafe { ptr.cast::<usize>().read_unaligned() };
    if size < size_of::<usize>() || size > 4096 {
        return Err(Failure::new(
            crate::status::TRUNKLINE_E_VERSION,
            format!("an options struct has size {size}: use its INIT macro"),
        ));
    }
    // SAFETY: the caller promises `size` readable bytes.
    let given = unsafe { slice::from_raw_parts(ptr.cast::<u8>(), size) };
    let known = size_of::<T>();
    if given.iter().skip(known).any(|byte| *byte != 0) {
        return Err(Failure::new(
            crate::status::TRUNKLINE_E_VERSION,
            "an options struct sets a field that this library does not know",
        ));
    }
    // SAFETY: all zeroes are a valid T, as the trait promises; the copy stays within both.
    let value = unsafe {
        let mut value = std::mem::zeroed::<T>();
        let length = size.min(known);
        std::ptr::copy_nonoverlapping(given.as_ptr(), (&raw mut value).cast::<u8>(), length);
        value
    };
    Ok(Some(value))
}

/// Fills a caller's struct of results of any age, and says in its first field how much was filled.
///
/// # Safety
///
/// `ptr` is NULL, or points to a `size` followed by the rest of `size` writable bytes.
pub(crate) unsafe fn fill<T: Sized_>(ptr: *mut T, value: &T) -> Result<(), Failure> {
    if ptr.is_null() {
        return Err(Failure::null("stats"));
    }
    // SAFETY: the caller promises that the first field is there.
    let size = unsafe { ptr.cast::<usize>().read_unaligned() };
    if size < size_of::<usize>() || size > 4096 {
        return Err(Failure::new(
            crate::status::TRUNKLINE_E_VERSION,
            format!("a struct for results has size {size}: use its INIT macro"),
        ));
    }
    let filled = size.min(size_of::<T>());
    // SAFETY: the caller promises `size` writable bytes, and the copy stays within both.
    unsafe {
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast::<u8>(), ptr.cast(), filled);
        ptr.cast::<usize>().write_unaligned(filled);
    }
    Ok(())
}

/// Writes text into a caller's buffer with a NUL, and says its length without it.
///
/// # Safety
///
/// `out` is NULL or `capacity` writable bytes.
pub(crate) unsafe fn write_text(
    text: &str,
    out: *mut c_char,
    capacity: usize,
) -> Result<usize, Failure> {
    // SAFETY: the caller's promise is the same.
    let out = unsafe { bytes_mut(out.cast(), capacity, "text")? };
    if out.len() <= text.len() {
        if let Some(first) = out.first_mut() {
            *first = 0;
        }
        return Err(Failure::argument(format!(
            "the buffer has {capacity} bytes, the text needs {}",
            text.len() + 1
        )));
    }
    out[..text.len()].copy_from_slice(text.as_bytes());
    out[text.len()] = 0;
    Ok(text.len())
}
