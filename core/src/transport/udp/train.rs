//! Datagrams of one size that lie back to back, as the kernel takes and gives them in one call.

/// One or more datagrams back to back: all have `stride` bytes but the last, which may be shorter.
///
/// A single datagram may be empty; a train of several holds none that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Train<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> Train<'a> {
    /// A single datagram.
    pub(crate) fn one(datagram: &'a [u8]) -> Self {
        Self { bytes: datagram, stride: datagram.len() }
    }

    /// What the kernel has put together; a `stride` of zero means that it is one datagram.
    pub(crate) fn new(bytes: &'a [u8], stride: usize) -> Self {
        let stride = if stride == 0 { bytes.len() } else { stride.min(bytes.len()) };
        Self { bytes, stride }
    }

    /// How many datagrams there are; at least one.
    pub(crate) fn len(self) -> usize {
        self.bytes.len().div_ceil(self.stride.max(1)).max(1)
    }

    /// The bytes of all of them.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of each but the last.
    pub(crate) fn stride(self) -> usize {
        self.stride
    }

    /// The first datagram, and the others if there are any.
    pub(crate) fn split_first(self) -> (&'a [u8], Option<Self>) {
        let (first, rest) = self.bytes.split_at(self.stride);
        (first, (!rest.is_empty()).then(|| Self::new(rest, self.stride)))
    }

    /// All but the first `count` datagrams, if that leaves any.
    pub(crate) fn skip(self, count: usize) -> Option<Self> {
        let rest = self.bytes.get(count.checked_mul(self.stride)?..)?;
        (count < self.len()).then(|| Self::new(rest, self.stride))
    }

    /// Each datagram by itself.
    pub(crate) fn datagrams(self) -> impl Iterator<Item = &'a [u8]> {
        let mut left = Some(self);
        std::iter::from_fn(move || {
            let (first, rest) = left?.split_first();
            left = rest;
            Some(first)
        })
    }

    /// The same datagrams in trains of at most `datagrams` each and about `bytes` bytes; never fewer than
    /// one datagram.
    pub(crate) fn chunks(self, datagrams: usize, bytes: usize) -> impl Iterator<Item = Self> {
        let per_chunk = datagrams.min(bytes / self.stride.max(1)).max(1) * self.stride;
        let mut left = Some(self);
        std::iter::from_fn(move || {
            let train = left?;
            let (first, rest) = train.bytes.split_at(per_chunk.min(train.bytes.len()));
            left = (!rest.is_empty()).then(|| Self::new(rest, train.stride));
            Some(Self::new(first, train.stride))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_datagram_is_one_datagram() {
        let empty = Train::new(&[], 0);
        assert_eq!(empty, Train::one(&[]));
        assert_eq!(empty.len(), 1);
        assert_eq!(empty.datagrams().collect::<Vec<_>>(), [&[] as &[u8]]);
        assert_eq!(empty.chunks(64, 1000).collect::<Vec<_>>(), [empty]);
    }

    proptest! {
        #[test]
        fn however_a_train_is_cut_its_datagrams_stay_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            stride in 0usize..40,
            datagrams in 0usize..9,
            limit in 0usize..120,
        ) {
            let train = Train::new(&bytes, stride);
            let whole: Vec<_> = train.datagrams().collect();
            prop_assert_eq!(whole.len(), train.len());
            prop_assert_eq!(whole.concat(), bytes.clone());
            prop_assert!(whole.iter().rev().skip(1).all(|one| one.len() == train.stride()));

            for count in 0..=whole.len() {
                let left: Vec<_> = train.skip(count).into_iter().flat_map(Train::datagrams).collect();
                prop_assert_eq!(&left[..], &whole[count..]);
            }

            let chunks: Vec<_> = train.chunks(datagrams, limit).collect();
            let cut: Vec<_> = chunks.iter().flat_map(|chunk| chunk.datagrams()).collect();
            prop_assert_eq!(cut, whole);
            for chunk in chunks.iter().filter(|chunk| chunk.len() > 1) {
                prop_assert!(chunk.len() <= datagrams && chunk.bytes().len() <= limit);
            }
        }
    }
}
