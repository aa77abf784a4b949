//! One direction of a link, as claims.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

type Ends = (Producer, Consumer);

/// The writing and the reading end of one direction.
fn direction(capacity: u32) -> Ends {
    let (_, [(producer, _), (_, consumer)]) = connected(capacity);
    (producer, consumer)
}

fn pull_owned(consumer: &mut Consumer, max: usize) -> Option<Bytes> {
    consumer.pull_owned(max).map(|pulled| pulled.what)
}

fn push(producer: &mut Producer, bytes: &[u8]) -> usize {
    producer.push(&[IoSlice::new(bytes)])
}

fn pull(consumer: &mut Consumer, size: usize) -> Vec<u8> {
    let mut into = vec![0; size];
    let pulled = consumer.pull(&mut into);
    into.truncate(pulled.map_or(0, |pulled| pulled.what));
    into
}

/// The size of the segment into which is written, and of the storage that it has.
fn memory(producer: &Producer) -> (usize, usize) {
    producer.segment.as_ref().map_or((0, 0), |(segment, _)| {
        // SAFETY: one thread, and nothing else runs meanwhile.
        (segment.size, segment.storage.with(|storage| unsafe { (&*storage).len() }))
    })
}

#[test]
fn nothing_is_allocated_before_the_first_byte() {
    let (mut producer, mut consumer) = direction(65536);
    assert_eq!((memory(&producer), pull(&mut consumer, 4)), ((0, 0), vec![]));
    push(&mut producer, b"x");
    assert_eq!(memory(&producer), (1024, 1024));
}

#[test]
fn memory_grows_with_the_content_and_stops_at_the_capacity() {
    let (mut producer, mut consumer) = direction(10_000);
    let mut sizes = Vec::new();
    let mut begun = u64::MAX;
    while producer.has_room() {
        push(&mut producer, &[1; 500]);
        let &(ref segment, begin) = producer.segment.as_ref().unwrap();
        if begin != begun {
            sizes.push(segment.size);
            begun = begin;
        }
    }
    assert_eq!(sizes, [1024, 4096, 4096, 4096]);
    assert_eq!(push(&mut producer, b"more"), 0);
    assert_eq!(pull(&mut consumer, 99_999), vec![1; 10_000]);
}

#[test]
fn a_large_write_lies_in_segments_that_stay_in_the_nearest_cache() {
    let (mut producer, mut consumer) = direction(65536);
    assert_eq!(push(&mut producer, &[7; 50_000]), 50_000);
    assert_eq!(producer.link.line(Side::A).parts.lock().len(), 4);
    assert_eq!(memory(&producer), (4096, 4096), "the last 848 bytes");
    assert_eq!(pull(&mut consumer, 99_999), vec![7; 50_000]);
}

#[test]
fn memory_does_not_grow_while_the_reader_keeps_up() {
    let (mut producer, mut consumer) = direction(65536);
    for round in 0..1000 {
        assert_eq!(push(&mut producer, &[round as u8; 700]), 700);
        assert_eq!(pull(&mut consumer, 700), vec![round as u8; 700]);
    }
    assert_eq!(memory(&producer), (1024, 1024));
}

#[test]
fn a_reader_that_waits_holds_no_large_memory() {
    let (mut producer, mut consumer) = direction(65536);
    for _ in 0..3 {
        push(&mut producer, &[7; 12_000]);
        consumer.rest();
        assert_eq!(memory(&producer), (16384, 16384), "bytes are there to be read");
        assert_eq!(pull(&mut consumer, 99_999).len(), 12_000);
        consumer.rest();
        assert_eq!(memory(&producer).1, 0);
        push(&mut producer, b"small");
        assert_eq!(memory(&producer), (1024, 1024), "as large as is needed now");
        assert_eq!(pull(&mut consumer, 99), b"small");
        consumer.rest();
        assert_eq!(memory(&producer), (1024, 1024), "small memory is kept");
    }
}

#[test]
fn parts_are_appended_in_order_until_it_is_full() {
    let (mut producer, mut consumer) = direction(5);
    let parts = [&b"ab"[..], b"", b"cd", b"ef"].map(IoSlice::new);
    assert_eq!(producer.push(&parts), 5);
    assert_eq!(pull(&mut consumer, 8), b"abcde");
}

#[test]
fn a_large_buffer_arrives_as_it_is_and_in_its_place() {
    let (mut producer, mut consumer) = direction(65536);
    let large = Bytes::from(vec![3; 20_000]);
    push(&mut producer, b"before");
    assert_eq!(producer.push_owned(&mut large.clone()), 20_000);
    push(&mut producer, b"after");
    assert_eq!(pull_owned(&mut consumer, 99).unwrap(), "before");
    let arrived = pull_owned(&mut consumer, 99_999).unwrap();
    assert_eq!((arrived.as_ptr(), arrived.len()), (large.as_ptr(), 20_000), "no copy");
    assert_eq!(pull_owned(&mut consumer, 99).unwrap(), "after");
    assert!(pull_owned(&mut consumer, 99).is_none());
}

#[test]
fn a_buffer_is_handed_over_up_to_the_capacity_and_the_rest_stays() {
    let (mut producer, mut consumer) = direction(10_000);
    let mut large = Bytes::from(vec![3; 16_000]);
    assert_eq!(producer.push_owned(&mut large), 10_000);
    assert_eq!((large.len(), producer.push_owned(&mut large)), (6000, 0));
    assert_eq!(pull_owned(&mut consumer, 2500).unwrap().len(), 2500);
    assert_eq!(producer.push_owned(&mut large), 2500, "copied, being small");
    assert_eq!(large.len(), 3500);
}

#[test]
fn a_used_up_buffer_comes_back_to_be_dropped() {
    let (mut producer, mut consumer) = direction(65536);
    producer.push_owned(&mut Bytes::from(vec![3; 5000]));
    push(&mut producer, b"after");
    let mut into = [0; 4000];
    assert!(consumer.pull(&mut into).unwrap().spent.is_none());
    let last = consumer.pull(&mut into).unwrap();
    assert_eq!((last.what, last.spent.is_some()), (1000, true), "a read ends with it");
    assert_eq!(pull(&mut consumer, 99), b"after");
}

#[test]
fn who_refuses_lets_go_of_all_and_takes_nothing_more() {
    let (mut producer, mut consumer) = direction(65536);
    let large = Bytes::from(vec![3; 5000]);
    push(&mut producer, b"before");
    producer.push_owned(&mut large.clone());
    assert!(!large.is_unique());
    drop(consumer.refuse());
    assert!(large.is_unique());
    push(&mut producer, b"after");
    assert_eq!((pull(&mut consumer, 99), pull_owned(&mut consumer, 99)), (vec![], None));
}

#[test]
fn the_writer_is_looked_after_when_it_may_wait_and_else_once_per_half_of_the_capacity() {
    let (mut producer, mut consumer) = direction(100);
    let mut into = [0; 10];
    let mut takes_ten = |consumer: &mut Consumer| consumer.pull(&mut into).unwrap().wakes;
    push(&mut producer, &[1; 100]);
    assert!(takes_ten(&mut consumer), "the writer was at the limit");
    let often = (0..9).filter(|_| takes_ten(&mut consumer)).count();
    assert_eq!(often, 1);
    push(&mut producer, &[1; 10]);
    assert!(!takes_ten(&mut consumer));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    Hand(usize),
    Pull(usize),
    Take(usize),
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..40_000).prop_map(Step::Push),
        2 => (0usize..9000).prop_map(Step::Hand),
        4 => (0usize..40_000).prop_map(Step::Pull),
        2 => (1usize..9000).prop_map(Step::Take),
        1 => Just(Step::Rest),
    ]
}

proptest! {
    #[test]
    fn it_behaves_like_a_deque_with_a_limit(
        capacity in prop_oneof![1u32..20, 4000u32..40_000],
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let (mut producer, mut consumer) = direction(capacity);
        let capacity = capacity as usize;
        let mut model = VecDeque::new();
        let mut next = 0u8;
        for step in steps {
            let room = capacity - model.len();
            match step {
                Step::Push(size) | Step::Hand(size) => {
                    let bytes: Vec<u8> = (0..size).map(|i| next.wrapping_add(i as u8)).collect();
                    let n = if matches!(step, Step::Push(_)) {
                        let (first, second) = bytes.split_at(size / 3);
                        producer.push(&[IoSlice::new(first), IoSlice::new(second)])
                    } else {
                        let mut handed = Bytes::from(bytes.clone());
                        let n = producer.push_owned(&mut handed);
                        prop_assert_eq!(&handed, &bytes[n..]);
                        n
                    };
                    prop_assert_eq!(n, size.min(room));
                    model.extend(&bytes[..n]);
                    next = next.wrapping_add(n as u8);
                }
                Step::Pull(size) => {
                    let out = pull(&mut consumer, size);
                    prop_assert!(!out.is_empty() || size == 0 || model.is_empty());
                    let expected: Vec<u8> = model.drain(..out.len()).collect();
                    prop_assert_eq!(out, expected);
                }
                Step::Take(max) => {
                    let out = pull_owned(&mut consumer, max).unwrap_or_default();
                    prop_assert!(out.len() <= max && (!out.is_empty() || model.is_empty()));
                    let expected: Vec<u8> = model.drain(..out.len()).collect();
                    prop_assert_eq!(out, expected);
                }
                Step::Rest => consumer.rest(),
            }
            prop_assert_eq!(consumer.has_some(), !model.is_empty());
            prop_assert_eq!(producer.has_room(), model.len() < capacity);
            prop_assert!(memory(&producer).0 <= capacity.next_power_of_two());
        }
    }
}
