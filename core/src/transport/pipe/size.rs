//! How large the parts of a ring are.

/// The first segment, where no more is needed.
const FIRST: usize = if cfg!(trunkline_loom) { 1 } else { 1 << 10 };
/// Segments up to this size stay while the reader waits; larger ones are given up.
pub(super) const KEPT: usize = if cfg!(trunkline_loom) { 1 } else { 4 << 10 };
/// Buffers from this length on are handed over as they are; shorter ones are cheaper to copy.
pub(super) const HANDED_OVER: usize = if cfg!(trunkline_loom) { 3 } else { 4 << 10 };
/// A segment that outgrows another is so many times larger.
const GROWTH: usize = 4;

/// The size of the next segment: a power of two for at least `needed` bytes, which the capacity allows, after
/// one of the size `before` that did not do (0 if there was none).
pub(super) fn next(before: usize, needed: usize, capacity: usize) -> usize {
    debug_assert!(needed <= capacity);
    let size = needed.max(before * GROWTH).max(FIRST);
    size.min(capacity).next_power_of_two()
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;

    #[test]
    fn segments_grow_to_the_capacity_in_few_steps() {
        let mut sizes = vec![next(0, 1, 64 << 10)];
        while sizes[sizes.len() - 1] < 64 << 10 {
            sizes.push(next(sizes[sizes.len() - 1], 1, 64 << 10));
        }
        assert_eq!(sizes, [1 << 10, 4 << 10, 16 << 10, 64 << 10]);
    }

    #[test]
    fn a_segment_holds_what_is_needed_and_no_more_than_the_capacity_asks() {
        for (needed, capacity, size) in
            [(1, 1, 1), (3, 7, 8), (5000, 65536, 8192), (9, 10_000, 1024)]
        {
            assert_eq!(next(0, needed, capacity), size);
        }
        assert_eq!(next(4096, 1, 10_000), 16384);
    }
}
