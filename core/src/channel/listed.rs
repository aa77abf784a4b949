//! What a file of addresses says, and when it is read.

use super::target::stream_address;
use crate::{address::Address, error::ConnectionError};
use std::{
    error::Error,
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often a file is read while somebody calls.
const EVERY: Duration = Duration::from_secs(1);

/// A file that names the addresses of a channel.
#[derive(Debug)]
pub(super) struct ListFile {
    pub(super) path: Arc<Path>,
    reading: Reading,
    /// What the last good reading brought.
    known: Vec<Address>,
    why: Option<ConnectionError>,
}

#[derive(Debug)]
enum Reading {
    Resting,
    Due(Option<Instant>),
    UnderWay,
}

/// Why a file says no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadList {
    line: usize,
    reason: &'static str,
}

impl fmt::Display for BadList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}

impl Error for BadList {}

impl ListFile {
    pub(super) fn new(path: Arc<Path>) -> Self {
        Self { path, reading: Reading::Resting, known: Vec::new(), why: None }
    }

    /// Somebody calls, or what is known does not work.
    pub(super) fn need(&mut self) {
        if let Reading::Resting = self.reading {
            self.reading = Reading::Due(None);
            // Whoever needs it anew knows no address.
            self.known.clear();
        }
    }

    /// Nobody calls any more.
    pub(super) fn rest(&mut self) {
        self.reading = Reading::Resting;
    }

    /// Whether it is to be read at `now`.
    pub(super) fn is_wanted(&mut self, now: Instant) -> bool {
        match self.reading {
            Reading::Due(at) if at.is_none_or(|at| at <= now) => {
                self.reading = Reading::UnderWay;
                true
            }
            Reading::Due(_) | Reading::UnderWay | Reading::Resting => false,
        }
    }

    /// When it is to be read again.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match self.reading {
            Reading::Due(at) => Some(at.unwrap_or(now)),
            Reading::UnderWay | Reading::Resting => None,
        }
    }

    /// It was read. Returns the addresses if they are others than before.
    pub(super) fn on_read(
        &mut self,
        found: Result<Vec<Address>, ConnectionError>,
        now: Instant,
    ) -> Option<Vec<Address>> {
        let Reading::UnderWay = self.reading else { return None };
        self.reading = Reading::Due(Some(now + EVERY));
        match found {
            Ok(addresses) => {
                self.why = None;
                let is_new = addresses != self.known;
                self.known.clone_from(&addresses);
                is_new.then_some(addresses)
            }
            Err(error) => {
                self.why = Some(error);
                None
            }
        }
    }

    /// Why the last reading brought nothing.
    pub(super) fn why(&self) -> Option<&ConnectionError> {
        self.why.as_ref()
    }
}

/// Reads one address in each line; what is behind `#`, and lines of nothing else, are left.
///
/// # Errors
///
/// [`BadList`] names the line that is wrong, or says that there is no address.
pub(super) fn read_list(text: &str) -> Result<Vec<Address>, BadList> {
    let mut addresses = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let said = line.split('#').next().unwrap_or_default().trim();
        if said.is_empty() {
            continue;
        }
        let bad = |reason| BadList { line: nth + 1, reason };
        match stream_address(said) {
            None => return Err(bad("is no address of a stream, such as tcp://host:port")),
            Some(Address::Tls(_) | Address::TlsName { .. }) => {
                return Err(bad("says tls://: the channel is what is secured, or not"));
            }
            Some(address) => addresses.push(address),
        }
    }
    match addresses.is_empty() {
        true => Err(BadList { line: 0, reason: "there is no address in it" }),
        false => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Step;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn addresses(text: &str) -> Vec<Address> {
        text.split(' ').map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn one_address_stands_in_each_line_beside_words_for_people() {
        let text = "# ours\n\n tcp://a:1 \r\nunix:/run/b.sock # the old one\nmem:c";
        assert_eq!(read_list(text), Ok(addresses("tcp://a:1 unix:/run/b.sock mem:c")));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("tcp://a:1\ntcp://a", "line 2: is no address"),
            ("udp://127.0.0.1:1", "line 1: is no address"),
            ("tls://a:1", "line 1: says tls://"),
            ("# nobody\n", "there is no address"),
            ("", "there is no address"),
        ] {
            let error = read_list(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_is_read_when_it_is_needed_and_each_second_from_then_on() {
        let (mut file, now) = (ListFile::new(Path::new("x").into()), start());
        assert!(!file.is_wanted(now) && file.wake_at(now).is_none());
        file.need();
        assert_eq!(file.wake_at(now), Some(now));
        assert!(file.is_wanted(now) && !file.is_wanted(now));
        assert_eq!(file.on_read(Ok(addresses("mem:a")), now), Some(addresses("mem:a")));
        assert_eq!(file.wake_at(now), Some(now + EVERY));
        let later = now + EVERY;
        assert!(!file.is_wanted(now) && file.is_wanted(later));
        assert_eq!(file.on_read(Ok(addresses("mem:a")), later), None);
        file.rest();
        assert!(file.wake_at(later).is_none());
    }

    #[test]
    fn a_bad_reading_changes_nothing_and_says_why_until_a_good_one() {
        let (mut file, now) = (ListFile::new(Path::new("x").into()), start());
        file.need();
        assert!(file.is_wanted(now));
        assert!(file.on_read(Ok(addresses("mem:a")), now).is_some());
        assert!(file.is_wanted(now + EVERY));
        let bad = ConnectionError::closed(Step::Resolve);
        assert!(file.on_read(Err(bad), now + EVERY).is_none() && file.why().is_some());
        assert!(file.is_wanted(now + 2 * EVERY));
        assert!(file.on_read(Ok(addresses("mem:a")), now + 2 * EVERY).is_none());
        assert!(file.why().is_none());
    }

    #[test]
    fn who_comes_back_after_a_rest_gets_the_addresses_again() {
        let (mut file, now) = (ListFile::new(Path::new("x").into()), start());
        for _ in 0..2 {
            file.need();
            assert!(file.is_wanted(now));
            assert!(file.on_read(Ok(addresses("mem:a")), now).is_some());
            file.rest();
        }
        file.need();
        assert!(file.is_wanted(now));
        file.rest();
        assert!(file.on_read(Ok(addresses("mem:a")), now).is_none(), "nobody waits for it");
    }

    proptest! {
        #[test]
        fn reading_is_total(text in "(.{0,30}\n){0,5}") {
            let _ = read_list(&text);
        }
    }
}
