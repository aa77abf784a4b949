//! Which connections go by memory where a share of them does.

use super::Path;

/// Shares connections out: of any number in a row, those that go by memory differ from the share by less than one.
#[derive(Debug)]
pub(super) struct Split {
    /// Connections by memory in a million.
    share: u32,
    /// What memory has not got yet of its share, in millionths of a connection.
    owed: u32,
}

const WHOLE: u32 = 1_000_000;

impl Split {
    pub(super) fn new(share: f64) -> Self {
        Self { share: parts(share), owed: 0 }
    }

    /// From here on. `share` is within 0 and 1.
    pub(super) fn set(&mut self, share: f64) {
        *self = Self::new(share);
    }

    pub(super) fn share(&self) -> f64 {
        f64::from(self.share) / f64::from(WHOLE)
    }

    /// The way of the next connection.
    pub(super) fn next(&mut self) -> Path {
        self.owed += self.share;
        if self.owed < WHOLE {
            return Path::Socket;
        }
        self.owed -= WHOLE;
        Path::Memory
    }
}

fn parts(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_run_of_connections_has_its_share(
            share in 0.0..=1.0_f64,
            skipped in 0..100_usize,
            length in 0..2000_usize,
        ) {
            let mut split = Split::new(share);
            let ways = std::iter::repeat_with(|| split.next());
            let by_memory = ways.skip(skipped).take(length).filter(|way| *way == Path::Memory).count();
            let exact = length as f64 * Split::new(share).share();
            prop_assert!((by_memory as f64 - exact).abs() < 1.0, "{} of {}", by_memory, exact);
        }
    }

    #[test]
    fn all_or_none_holds_from_the_next_connection_on() {
        let mut split = Split::new(0.5);
        split.next();
        for (share, way) in [(1.0, Path::Memory), (0.0, Path::Socket), (1.0, Path::Memory)] {
            split.set(share);
            assert!((0..1000).all(|_| split.next() == way), "{share}");
        }
    }
}
