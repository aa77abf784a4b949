//! Memory that the relays of a thread pass on to each other, so that none keeps any while it has nothing to hold.

use std::cell::RefCell;

/// Pieces that a thread keeps for the next read, at most: the sizes through which a buffer grows to its default limit,
/// some of them twice.
const KEPT: usize = 8;

thread_local! {
    /// The one given back last is at the end.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Memory of `size` bytes, in which anything may be: only what was read into it since is to be looked at.
pub(super) fn take(size: usize) -> Vec<u8> {
    let found = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        let place = spare.iter().rposition(|memory| memory.len() == size)?;
        Some(spare.remove(place))
    });
    found.ok().flatten().unwrap_or_else(|| vec![0; size])
}

/// Keeps `memory` for the next who [takes](take) as much; the one that nobody took for longest makes room.
pub(super) fn give_back(memory: Vec<u8>) {
    // A thread that ends keeps nothing.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() == KEPT {
            spare.remove(0);
        }
        spare.push(memory);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_is_taken_again_by_its_size_and_only_so_much_is_kept() {
        let first = vec![1; 100];
        let place = first.as_ptr();
        give_back(first);
        assert_eq!(take(99), [0; 99]);
        let again = take(100);
        assert_eq!((again.as_ptr(), again.len()), (place, 100));
        give_back(again);
        for size in 1..=KEPT {
            give_back(vec![1; size]);
        }
        assert_eq!(take(100), [0; 100], "the oldest one was dropped");
        SPARE.with(|spare| assert_eq!(spare.borrow().len(), KEPT));
    }
}
