//! The messages of health checks (`grpc.health.v1`) and load reports (`xds.data.orca.v3`, `xds.service.orca.v3`), as far
//! as they are used here.

use prost::Message;
use std::{collections::BTreeMap, time::Duration};

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct HealthCheckResponse {
    /// One of `ServingStatus`, or a number that is not known here.
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct HealthListResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) statuses: BTreeMap<String, HealthCheckResponse>,
}

/// The figures of a server as a whole.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OrcaLoadReport {
    #[prost(double, tag = "1")]
    pub(super) cpu_utilization: f64,
    #[prost(double, tag = "6")]
    pub(super) rps_fractional: f64,
    #[prost(double, tag = "7")]
    pub(super) eps: f64,
    #[prost(double, tag = "9")]
    pub(super) application_utilization: f64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct OrcaLoadReportRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) report_interval: Option<Interval>,
}

/// A `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Interval {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl From<Duration> for Interval {
    fn from(time: Duration) -> Self {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        // Below a thousand million.
        Self { seconds, nanos: time.subsec_nanos() as i32 }
    }
}
