//! gRPC's header `grpc-timeout`: at most eight digits and a unit.

use std::time::Duration;

/// Units and their nanoseconds, the finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];
const MOST: u128 = 99_999_999;

/// Writes what is left, rounded up so that the server does not give up before the client.
pub(super) fn write(left: Duration) -> String {
    let nanos = left.as_nanos();
    let fitting = UNITS.iter().find(|(_, unit)| nanos.div_ceil(*unit) <= MOST);
    let (name, unit) = fitting.copied().unwrap_or((b'H', UNITS[5].1));
    format!("{}{}", nanos.div_ceil(unit).min(MOST), name as char)
}

/// Reads the header; `None` for what is no timeout.
pub(super) fn read(text: &[u8]) -> Option<Duration> {
    let (name, digits) = text.split_last()?;
    let (_, unit) = UNITS.iter().find(|(unit, _)| unit == name)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u128, |value, digit| 10 * value + u128::from(digit - b'0'));
    let nanos = value * unit;
    Some(Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_finest_unit_that_fits_is_used() {
        assert_eq!(write(Duration::ZERO), "0n");
        assert_eq!(write(Duration::from_millis(99)), "99000000n");
        assert_eq!(write(Duration::from_secs(1)), "1000000u");
        assert_eq!(write(Duration::from_secs(1 << 40)), "99999999H");
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for text in ["", "1", "S", "123456789n", "-1S", "1 S", "1s", "1.5S"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_no_less_and_hardly_more(secs in 0u64..1 << 35, nanos in 0u32..1_000_000_000) {
            let left = Duration::new(secs, nanos);
            let read = read(write(left).as_bytes()).unwrap();
            prop_assert!(read >= left && read <= left.mul_f64(1.001) + Duration::from_nanos(1));
        }

        #[test]
        fn any_bytes_are_read_or_not(text in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = read(&text);
        }
    }
}
