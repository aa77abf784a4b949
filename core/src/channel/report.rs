//! What a server reports of its load, with a call or beside it.

use super::messages::OrcaLoadReport;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use prost::{DecodeError, Message as _};

/// The trailer that a report comes in.
const TRAILER: &str = "endpoint-load-metrics-bin";

/// With or without padding, as metadata comes.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The figures of a report that are used. What it does not say is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LoadReport {
    /// Calls in a second.
    pub(super) calls: f64,
    /// Of these, those that fail.
    pub(super) errors: f64,
    /// How much of what limits the application is used; 1 is all. The processor's where it says nothing of its own.
    pub(super) utilization: f64,
}

impl LoadReport {
    /// Reads a message. A figure that is no number, or below zero, counts as not said.
    pub(super) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let said = OrcaLoadReport::decode(message)?;
        let figure = |said: f64| if said.is_finite() && said > 0.0 { said } else { 0.0 };
        let application = figure(said.application_utilization);
        let utilization =
            if application > 0.0 { application } else { figure(said.cpu_utilization) };
        Ok(Self { calls: figure(said.rps_fractional), errors: figure(said.eps), utilization })
    }

    /// The report among trailers, if there is one that can be read.
    pub(super) fn of(trailers: &HeaderMap) -> Option<Self> {
        let value = trailers.get(TRAILER)?;
        let message = BASE64.decode(value.as_bytes()).ok()?;
        Self::read(&message).ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A report as a server writes it.
    pub(in crate::channel) fn written(figures: &[(u32, f64)]) -> Vec<u8> {
        let mut message = Vec::new();
        for (number, figure) in figures {
            message.push((number << 3 | 1) as u8);
            message.extend(figure.to_le_bytes());
        }
        message
    }

    #[test]
    fn the_applications_own_utilization_goes_before_the_processors() {
        let read = |figures: &[(u32, f64)]| LoadReport::read(&written(figures)).unwrap();
        let report = read(&[(1, 0.25), (6, 100.0), (7, 5.0), (9, 0.75)]);
        assert_eq!(report, LoadReport { calls: 100.0, errors: 5.0, utilization: 0.75 });
        assert_eq!(read(&[(1, 0.25), (9, 0.0)]).utilization, 0.25);
    }

    #[test]
    fn figures_that_are_none_count_as_not_said() {
        let figures = [(1, f64::NAN), (6, f64::INFINITY), (7, -1.0)];
        assert_eq!(LoadReport::read(&written(&figures)), Ok(LoadReport::default()));
    }

    proptest! {
        #[test]
        fn any_trailer_is_read_or_left(value in prop::collection::vec(32u8..127, 0..64), message in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut trailers = HeaderMap::new();
            trailers.insert(TRAILER, http::HeaderValue::from_bytes(&value).unwrap());
            let _ = LoadReport::of(&trailers);
            if let Ok(report) = LoadReport::read(&message) {
                prop_assert!(report.calls.is_finite() && report.errors.is_finite() && report.utilization >= 0.0);
            }
        }
    }
}
