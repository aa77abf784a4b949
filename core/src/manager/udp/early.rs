//! What a client sends before its upstream is there waits in order, up to a limit.

use crate::{config::UdpManagerConfig, transport::udp::Train};
use std::collections::VecDeque;

/// The first datagrams of a session.
#[derive(Debug)]
pub(super) struct Early {
    waiting: VecDeque<Box<[u8]>>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Early {
    pub(super) fn new(config: &UdpManagerConfig) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            most: config.early_datagrams as usize,
            most_bytes: config.early_bytes as usize,
        }
    }

    /// Keeps copies of the datagrams from the first on; says how many did not fit. What came before one that does
    /// not fit is never overtaken by one that would.
    pub(super) fn push(&mut self, train: Train<'_>) -> usize {
        let mut left = train.len();
        for datagram in train.datagrams() {
            let bytes = self.bytes + datagram.len();
            if self.waiting.len() == self.most || bytes > self.most_bytes {
                break;
            }
            self.bytes = bytes;
            self.waiting.push_back(datagram.into());
            left -= 1;
        }
        left
    }

    /// Takes out all that waits; empty if nothing does.
    pub(super) fn take(&mut self) -> VecDeque<Box<[u8]>> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_waits_is_the_beginning_of_what_came_within_both_limits(
            most in 1u32..8,
            trains in proptest::collection::vec((0usize..900, 1usize..400), 1..12),
        ) {
            let config = UdpManagerConfig { early_datagrams: most, early_bytes: 1024, ..Default::default() };
            let mut early = Early::new(&config);
            let (mut came, mut kept) = (Vec::new(), 0);
            for (length, stride) in trains {
                let bytes = vec![came.len() as u8; length];
                let train = Train::new(&bytes, stride);
                let refused = early.push(train);
                came.extend(train.datagrams().map(<[u8]>::to_vec).take(train.len() - refused));
                kept += train.len() - refused;
                prop_assert!(early.len() <= most as usize);
            }
            let waiting = early.take();
            prop_assert_eq!(waiting.len(), kept);
            prop_assert!(waiting.iter().map(|one| one.len()).sum::<usize>() <= 1024);
            prop_assert!(waiting.iter().map(|one| one.to_vec()).eq(came));
            prop_assert_eq!(early.len(), 0);
        }
    }
}
