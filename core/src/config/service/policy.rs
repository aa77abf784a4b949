//! The policies of a service config: which of those that it lists counts, and what it is told.

use super::{
    LoadBalancing, WeightedRoundRobin,
    read::{At, Object},
};
use crate::{
    config::{FailurePercentageConfig, OutlierConfig, SuccessRateConfig},
    error::ConnectionError,
};
use std::time::Duration;

/// The least time between two looks at weights; less means this.
const LEAST_UPDATE: Duration = Duration::from_millis(100);
/// The times that [`OutlierConfig`] allows; others mean the nearest.
const TIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// More points on a ring than this count as this.
const MAX_RING: u32 = 4096;
/// More than this is no size of a ring.
const ABSOLUTE_RING: u32 = 8_388_608;

type Read<T> = Result<T, ConnectionError>;

/// A policy, and what stands around it.
#[derive(Clone, Debug, Default)]
pub(super) struct Balancing {
    pub(super) policy: LoadBalancing,
    pub(super) outliers: Option<OutlierConfig>,
    pub(super) subset: Option<u32>,
}

impl From<LoadBalancing> for Balancing {
    fn from(policy: LoadBalancing) -> Self {
        Self { policy, outliers: None, subset: None }
    }
}

/// The list goes before the name that older documents give.
pub(super) fn balancing(whole: &Object<'_>) -> Read<Option<Balancing>> {
    if let Some(list) = whole.field("loadBalancingConfig") {
        return first_supported(&list).map(Some);
    }
    whole.optional("loadBalancingPolicy", |at| {
        let name = at.text()?;
        match policy(&name.to_ascii_lowercase(), None)? {
            Some(policy) => Ok(policy),
            None => at.refuse("is no policy that is known here"),
        }
    })
}

fn first_supported(list: &At<'_>) -> Read<Balancing> {
    for entry in list.list()? {
        let Some((name, config)) = entry.object()?.only() else {
            return entry.refuse("must have exactly one field");
        };
        if let Some(policy) = policy(name, Some(&config.object()?))? {
            return Ok(policy);
        }
    }
    list.refuse("names no policy that is known here")
}

/// `None` for a policy that is not known here; without `config` as one that says nothing.
fn policy(name: &str, config: Option<&Object<'_>>) -> Read<Option<Balancing>> {
    let policy = match (name.strip_suffix("_experimental").unwrap_or(name), config) {
        ("pick_first", None) => LoadBalancing::default(),
        ("pick_first", Some(config)) => pick_first(config)?,
        ("round_robin", _) => LoadBalancing::RoundRobin,
        ("weighted_round_robin", None) => LoadBalancing::WeightedRoundRobin(Default::default()),
        ("weighted_round_robin", Some(config)) => weighted(config)?,
        ("least_request", None) => LoadBalancing::LeastRequest { choices: 2 },
        ("least_request", Some(config)) => least_request(config)?,
        ("ring_hash", None) => {
            let (min_size, max_size) = LoadBalancing::RING;
            LoadBalancing::RingHash { header: None, min_size, max_size }
        }
        ("ring_hash", Some(config)) => ring_hash(config)?,
        ("outlier_detection", Some(config)) => return outlier_detection(config).map(Some),
        ("random_subsetting", Some(config)) => return random_subsetting(config).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(policy.into()))
}

fn pick_first(config: &Object<'_>) -> Read<LoadBalancing> {
    let shuffle = config.optional("shuffleAddressList", |at| at.boolean())?;
    Ok(LoadBalancing::PickFirst { shuffle: shuffle.unwrap_or(false) })
}

fn weighted(config: &Object<'_>) -> Read<LoadBalancing> {
    let default = WeightedRoundRobin::default();
    let time = |field, default| {
        let time = config.optional(field, |at| at.duration())?;
        Ok::<_, ConnectionError>(time.unwrap_or(default))
    };
    let asks = config.optional("enableOobLoadReport", |at| at.boolean())?.unwrap_or(false);
    let period = time("oobReportingPeriod", Duration::from_secs(10))?;
    let error_penalty = config.optional("errorUtilizationPenalty", |at| match at.number()? {
        penalty if penalty < 0.0 => at.refuse("must be at least 0"),
        penalty => Ok(penalty),
    })?;
    Ok(LoadBalancing::WeightedRoundRobin(WeightedRoundRobin {
        report_period: asks.then_some(period),
        blackout: time("blackoutPeriod", default.blackout)?,
        expiration: time("weightExpirationPeriod", default.expiration)?,
        update: time("weightUpdatePeriod", default.update)?.max(LEAST_UPDATE),
        error_penalty: error_penalty.unwrap_or(default.error_penalty),
    }))
}

fn least_request(config: &Object<'_>) -> Read<LoadBalancing> {
    let choices = config.optional("choiceCount", |at| match at.whole()? {
        0 | 1 => at.refuse("must be at least 2"),
        choices => Ok(choices.min(10)),
    })?;
    Ok(LoadBalancing::LeastRequest { choices: choices.unwrap_or(2) })
}

fn ring_hash(config: &Object<'_>) -> Read<LoadBalancing> {
    let (least, most) = LoadBalancing::RING;
    let size = |field, default| {
        let size = config.optional(field, |at| match at.whole()? {
            size if (1..=ABSOLUTE_RING).contains(&size) => Ok(size.min(MAX_RING)),
            _ => at.refuse(format!("must be within 1 and {ABSOLUTE_RING}")),
        })?;
        Ok::<_, ConnectionError>(size.unwrap_or(default))
    };
    let max_size = size("maxRingSize", most)?;
    let min_size = size("minRingSize", least.min(max_size))?;
    if min_size > max_size {
        return config.refuse("minRingSize", "must not be above maxRingSize");
    }
    let header = config.optional("requestHashHeader", |at| at.text())?;
    let header = header.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase);
    Ok(LoadBalancing::RingHash { header: header.map(Into::into), min_size, max_size })
}

fn outlier_detection(config: &Object<'_>) -> Read<Balancing> {
    let default = OutlierConfig::default();
    let time = |field, default: Duration| {
        let time = config.optional(field, |at| at.positive_duration())?;
        Ok::<_, ConnectionError>(time.unwrap_or(default).clamp(*TIMES.start(), *TIMES.end()))
    };
    let max_ejection_percent = percent(config, "maxEjectionPercent", default.max_ejection_percent)?;
    // A rule that is not there is off.
    let success_rate = config.optional("successRateEjection", success_rate)?;
    let failure_percentage = config.optional("failurePercentageEjection", failure_percentage)?;
    let outliers = OutlierConfig {
        interval: time("interval", default.interval)?,
        base_ejection: time("baseEjectionTime", default.base_ejection)?,
        max_ejection: time("maxEjectionTime", default.max_ejection)?,
        max_ejection_percent,
        allow_one: max_ejection_percent > 0,
        success_rate: success_rate
            .unwrap_or(SuccessRateConfig { enforcement: 0, ..default.success_rate }),
        failure_percentage: failure_percentage
            .unwrap_or(FailurePercentageConfig { enforcement: 0, ..default.failure_percentage }),
    };
    let child = first_supported(&config.required("childPolicy")?)?;
    Ok(Balancing { outliers: Some(outliers), ..child })
}

fn success_rate(at: At<'_>) -> Read<SuccessRateConfig> {
    let (config, default) = (at.object()?, SuccessRateConfig::default());
    let factor = config.optional("stdevFactor", |at| at.whole())?;
    Ok(SuccessRateConfig {
        stdev_factor: factor.unwrap_or(default.stdev_factor).min(100_000),
        enforcement: percent(&config, "enforcementPercentage", default.enforcement)?,
        minimum_hosts: count(&config, "minimumHosts", default.minimum_hosts)?.min(1_000_000),
        request_volume: count(&config, "requestVolume", default.request_volume)?,
    })
}

fn failure_percentage(at: At<'_>) -> Read<FailurePercentageConfig> {
    let (config, default) = (at.object()?, FailurePercentageConfig::default());
    Ok(FailurePercentageConfig {
        threshold: percent(&config, "threshold", default.threshold)?,
        enforcement: percent(&config, "enforcementPercentage", default.enforcement)?,
        minimum_hosts: count(&config, "minimumHosts", default.minimum_hosts)?.min(1_000_000),
        request_volume: count(&config, "requestVolume", default.request_volume)?,
    })
}

fn percent(config: &Object<'_>, field: &str, default: u32) -> Read<u32> {
    let percent = config.optional(field, |at| match at.whole()? {
        percent if percent <= 100 => Ok(percent),
        _ => at.refuse("must be within 0 and 100"),
    })?;
    Ok(percent.unwrap_or(default))
}

/// A count; none counts as one, for the rules look at no endpoint without a call.
fn count(config: &Object<'_>, field: &str, default: u32) -> Read<u32> {
    let count = config.optional(field, |at| at.whole())?;
    Ok(count.unwrap_or(default).clamp(1, 1_000_000_000))
}

fn random_subsetting(config: &Object<'_>) -> Read<Balancing> {
    let at = config.required("subsetSize")?;
    let size = match at.whole()? {
        0 => return at.refuse("must be at least 1"),
        size => size,
    };
    let child = first_supported(&config.required("childPolicy")?)?;
    Ok(Balancing { subset: Some(child.subset.map_or(size, |inner| inner.min(size))), ..child })
}
