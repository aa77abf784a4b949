//! How large the parts of a ring are.

/// The first segment, where no more is needed.
const FIRST: usize = if cfg!(trunkline_loom) { 1 } else { 1 << 10 };
/// Segments up to this size stay while the reader waits; larger ones are given up. Small writes grow no larger ones.
pub(super) const KEPT: usize = if cfg!(trunkline_loom) { 1 } else { 4 << 10 };
/// The largest segment, for large writes: writer and reader are never so far apart in one that it leaves the nearest
/// caches.
pub(super) const LARGEST: usize = if cfg!(trunkline_loom) { 2 } else { 16 << 10 };
/// Buffers from this length on are handed over as they are; shorter ones are cheaper to copy.
pub(super) const HANDED_OVER: usize = if cfg!(trunkline_loom) { 3 } else { 4 << 10 };
/// A segment that follows one which was too small is so many times larger.
const GROWTH: usize = 4;

/// The size of the next segment: a power of two for at least `needed` bytes, which are no more than
/// [`LARGEST`] and than the capacity, after one of the size `before` that did not do (0 if there was none).
pub(super) fn next(before: usize, needed: usize, capacity: usize) -> usize {
    debug_assert!(needed <= capacity.min(LARGEST));
    let grown = (before * GROWTH).clamp(FIRST, KEPT);
    needed.max(grown).min(capacity).next_power_of_two()
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;

    #[test]
    fn segments_of_small_writes_grow_to_what_is_kept() {
        let capacity = 64 << 10;
        assert_eq!(next(0, 1, capacity), 1 << 10);
        assert_eq!(next(1 << 10, 1, capacity), KEPT);
        assert_eq!(next(KEPT, 1, capacity), KEPT);
        assert_eq!(next(LARGEST, 1, capacity), KEPT);
    }

    #[test]
    fn a_segment_holds_what_is_needed_and_no_more_than_the_capacity_asks() {
        for (needed, capacity, size) in [
            (1, 1, 1),
            (3, 7, 8),
            (5000, 65536, 8192),
            (9, 10_000, 1024),
            (LARGEST, 65536, LARGEST),
        ] {
            assert_eq!(next(0, needed, capacity), size);
        }
        assert_eq!(next(1 << 10, 1, 3000), 4096);
    }
}
