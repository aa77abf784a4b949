//! Owned buffers: immutable bytes that travel without a copy, freed by the library that made them.
#![allow(unsafe_code, reason = "memory that C gave is wrapped and released by its own function")]

use crate::{completion::UserData, input};
use bytes::Bytes;
use std::{ffi::c_void, ptr};

/// Bytes that several owners may share. Owned by one thread at a time; trunkline_buf_ref makes another owner.
#[derive(Debug)]
pub struct trunkline_buf_t {
    pub(crate) bytes: Bytes,
}

/// A function that gives memory back to the host that lent it.
pub type trunkline_release_fn = Option<unsafe extern "C-unwind" fn(owner: *mut c_void)>;

/// Memory of the host, given back with its last owner.
struct Lent {
    ptr: *const u8,
    len: usize,
    owner: UserData,
    release: trunkline_release_fn,
}

// SAFETY: the host promised that the bytes stay readable and unchanged until the release.
unsafe impl Send for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: checked when it was wrapped, and lent until the release.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the host promised a function that may be called once with its pointer.
            crate::call::in_callback(|| unsafe { release(self.owner.0) });
        }
    }
}

impl trunkline_buf_t {
    pub(crate) fn owned(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into() }
    }
}

/// Makes a buffer that shares the bytes at `ptr` without a copy. `release(owner)` runs exactly once, after the
/// last owner is gone, on whatever thread that is; also when this call fails.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free; the bytes stay the host's and
/// must not change until the release. Blocks: no. Threads: any. Errors: NULL if `ptr` is NULL and `len` is not 0.
/// Since 0.1.
///
/// # Safety
///
/// `ptr` is good for `len` bytes until the release; `release` may be called from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_buf_wrap(
    ptr: *const u8,
    len: usize,
    owner: *mut c_void,
    release: trunkline_release_fn,
) -> Option<Box<trunkline_buf_t>> {
    // SAFETY: the caller's promise is the same.
    let is_good = unsafe { input::bytes(ptr, len, "ptr") }.is_ok();
    let start = if ptr.is_null() { ptr::NonNull::dangling().as_ptr() } else { ptr };
    let len = if is_good { len } else { 0 };
    let lent = Lent { ptr: start, len, owner: UserData(owner), release };
    is_good.then(|| Box::new(trunkline_buf_t::owned(Bytes::from_owner(lent))))
}

/// The bytes of a buffer and, in `*len`, how many; NULL and 0 for NULL.
///
/// Ownership: borrowed until trunkline_buf_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_buf_data(
    buf: Option<&trunkline_buf_t>,
    len: Option<&mut usize>,
) -> *const u8 {
    if let Some(len) = len {
        *len = buf.map_or(0, |buf| buf.bytes.len());
    }
    buf.map_or(ptr::null(), |buf| buf.bytes.as_ptr())
}

/// Makes another owner of the same bytes, for another thread; NULL for NULL.
///
/// Ownership: the new one is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: the owner's.
/// Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_buf_ref(buf: Option<&trunkline_buf_t>) -> Option<Box<trunkline_buf_t>> {
    buf.map(|buf| Box::new(trunkline_buf_t::owned(buf.bytes.clone())))
}

/// Frees a buffer; NULL does nothing.
///
/// Ownership: takes it. Blocks: no. Threads: any, also finalisers. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_buf_free(buf: Option<Box<trunkline_buf_t>>) {
    drop(buf);
}
