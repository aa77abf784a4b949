//! Claims about documents: what is read, what is refused, and under which path.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn refused(document: &Value) -> String {
    match ServiceDocument::from_value(document) {
        Err(ConnectionError::InvalidConfig { field, .. }) => field.into_owned(),
        other => panic!("{document} gave {other:?}"),
    }
}

fn balanced(policy: &str, config: Value) -> Value {
    json!({"loadBalancingConfig": [{policy: config}]})
}

fn retrying() -> Value {
    json!({
        "maxAttempts": 4,
        "initialBackoff": "1s",
        "maxBackoff": "15s",
        "backoffMultiplier": 1.8,
        "retryableStatusCodes": ["UNAVAILABLE"],
    })
}

#[test]
fn the_most_special_name_decides() {
    let document = ServiceDocument::from_value(&json!({"methodConfig": [
        {"name": [{}], "timeout": "1s"},
        {"name": [{"service": "a.B"}, {"service": "a.C", "method": "D"}], "timeout": "0.25s"},
    ]}));
    let document = document.unwrap();
    let timeout = |path| document.method(path).and_then(|method| method.timeout);
    assert_eq!(timeout("/a.B/X"), Some(Duration::from_millis(250)));
    assert_eq!(timeout("/a.C/D"), Some(Duration::from_millis(250)));
    assert_eq!(timeout("/a.C/E"), Some(Duration::from_secs(1)));
    assert_eq!(timeout("nonsense"), Some(Duration::from_secs(1)));
}

#[test]
fn without_a_default_a_method_that_is_not_named_has_no_config() {
    let document = json!({"methodConfig": [{"name": [{"service": "a.B", "method": "C"}]}]});
    let document = ServiceDocument::from_value(&document).unwrap();
    assert!(document.method("/a.B/C").is_some() && document.method("/a.B/D").is_none());
}

#[test]
fn what_the_seed_writes_is_read_as_it_means() {
    let document =
        json!({"methodConfig": [{"name": [{"service": ""}], "retryPolicy": retrying()}]});
    let document = ServiceDocument::from_value(&document).unwrap();
    let method = document.method("/any.Service/Method").unwrap();
    let Some(CallPolicy::Retry(policy)) = &method.policy else { panic!("{method:?}") };
    assert_eq!(
        (policy.max_attempts, policy.max_backoff, policy.backoff_multiplier),
        (4, Duration::from_secs(15), 1.8)
    );
    assert_eq!(policy.retryable_status_codes, [StatusCode::Unavailable]);
}

#[test]
fn unknown_fields_and_nulls_are_ignored() {
    let document = json!({"x": 1, "methodConfig": null, "retryThrottling": null});
    assert_eq!(ServiceDocument::from_value(&document).unwrap(), ServiceDocument::default());
}

#[test]
fn a_bad_known_field_refuses_the_whole_and_is_named() {
    let with = |field: &str, value: Value| {
        let mut policy = retrying();
        policy[field] = value;
        json!({"methodConfig": [{"name": [{}]}, {"retryPolicy": policy}]})
    };
    let path = |field: &str| format!("methodConfig[1].retryPolicy.{field}");
    for (field, value) in [
        ("maxAttempts", json!(1)),
        ("maxAttempts", json!(2.5)),
        ("maxAttempts", json!(null)),
        ("initialBackoff", json!("0s")),
        ("initialBackoff", json!("1")),
        ("initialBackoff", json!("-1s")),
        ("maxBackoff", json!("1.0000000001s")),
        ("maxBackoff", json!(1)),
        ("backoffMultiplier", json!(0)),
        ("retryableStatusCodes", json!([])),
    ] {
        assert_eq!(refused(&with(field, value)), path(field));
    }
    assert_eq!(
        refused(&with("retryableStatusCodes", json!(["UNAVAILABLE", "BUSY"]))),
        path("retryableStatusCodes[1]")
    );
    for (document, path) in [
        (json!([]), "json"),
        (json!({"methodConfig": {}}), "methodConfig"),
        (json!({"methodConfig": [{"name": [{"method": "M"}]}]}), "methodConfig[0].name[0].method"),
        (json!({"methodConfig": [{"name": [{}, {}]}]}), "methodConfig[0].name[1]"),
        (json!({"methodConfig": [{"waitForReady": "yes"}]}), "methodConfig[0].waitForReady"),
        (
            json!({"retryThrottling": {"maxTokens": 1001, "tokenRatio": 1}}),
            "retryThrottling.maxTokens",
        ),
        (
            json!({"retryThrottling": {"maxTokens": 0, "tokenRatio": 1}}),
            "retryThrottling.maxTokens",
        ),
        (
            json!({"retryThrottling": {"maxTokens": 9, "tokenRatio": 0}}),
            "retryThrottling.tokenRatio",
        ),
        (json!({"loadBalancingConfig": [{"unheard_of": {}}]}), "loadBalancingConfig"),
        (json!({"loadBalancingConfig": [{"a": {}, "b": {}}]}), "loadBalancingConfig[0]"),
        (json!({"healthCheckConfig": {"serviceName": 3}}), "healthCheckConfig.serviceName"),
        (
            balanced("least_request", json!({"choiceCount": 1})),
            "loadBalancingConfig[0].least_request.choiceCount",
        ),
        (
            balanced("ring_hash", json!({"minRingSize": 0})),
            "loadBalancingConfig[0].ring_hash.minRingSize",
        ),
        (
            balanced("ring_hash", json!({"minRingSize": 9, "maxRingSize": 8})),
            "loadBalancingConfig[0].ring_hash.minRingSize",
        ),
        (
            balanced("weighted_round_robin", json!({"errorUtilizationPenalty": -0.1})),
            "loadBalancingConfig[0].weighted_round_robin.errorUtilizationPenalty",
        ),
        (
            balanced(
                "outlier_detection",
                json!({"childPolicy": [{"round_robin": {}}], "interval": "0s"}),
            ),
            "loadBalancingConfig[0].outlier_detection.interval",
        ),
        (
            balanced("outlier_detection", json!({"maxEjectionPercent": 101})),
            "loadBalancingConfig[0].outlier_detection.maxEjectionPercent",
        ),
        (
            balanced("outlier_detection", json!({"failurePercentageEjection": {"threshold": 101}})),
            "loadBalancingConfig[0].outlier_detection.failurePercentageEjection.threshold",
        ),
        (
            balanced("outlier_detection", json!({})),
            "loadBalancingConfig[0].outlier_detection.childPolicy",
        ),
        (
            balanced("outlier_detection", json!({"childPolicy": [{"unheard_of": {}}]})),
            "loadBalancingConfig[0].outlier_detection.childPolicy",
        ),
        (
            balanced("random_subsetting", json!({"subsetSize": 0})),
            "loadBalancingConfig[0].random_subsetting.subsetSize",
        ),
    ] {
        assert_eq!(refused(&document), path);
    }
}

#[test]
fn a_method_retries_or_hedges_and_never_both() {
    let hedging = json!({"maxAttempts": 9, "hedgingDelay": "0.5s", "nonFatalStatusCodes": [14]});
    let both = json!({"methodConfig": [{"retryPolicy": retrying(), "hedgingPolicy": hedging}]});
    assert_eq!(refused(&both), "methodConfig[0].hedgingPolicy");

    let one = json!({"methodConfig": [{"name": [{}], "hedgingPolicy": hedging}]});
    let document = ServiceDocument::from_value(&one).unwrap();
    let expected = HedgingPolicy {
        max_attempts: 5,
        hedging_delay: Duration::from_millis(500),
        non_fatal_status_codes: vec![StatusCode::Unavailable],
    };
    assert_eq!(document.method("/a/b").unwrap().policy, Some(CallPolicy::Hedging(expected)));
}

#[test]
fn the_first_policy_that_is_known_balances() {
    let balanced = |document: Value| ServiceDocument::from_value(&document).unwrap().load_balancing;
    assert_eq!(
        balanced(
            json!({"loadBalancingConfig": [{"xds": {}}, {"round_robin": {}}, {"pick_first": {}}]})
        ),
        Some(LoadBalancing::RoundRobin)
    );
    assert_eq!(
        balanced(json!({"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}],
                        "loadBalancingPolicy": "round_robin"})),
        Some(LoadBalancing::PickFirst { shuffle: true })
    );
    assert_eq!(
        balanced(json!({"loadBalancingPolicy": "round_robin"})),
        Some(LoadBalancing::RoundRobin)
    );
}

#[test]
fn policies_have_the_defaults_of_grpc_and_their_sizes_are_capped() {
    let read = |policy: &str, config: Value| {
        let document = ServiceDocument::from_value(&balanced(policy, config)).unwrap();
        document.load_balancing.unwrap()
    };
    let ring = |header: Option<&str>, min_size, max_size| LoadBalancing::RingHash {
        header: header.map(Into::into),
        min_size,
        max_size,
    };
    assert_eq!(read("ring_hash_experimental", json!({})), ring(None, 1024, 4096));
    let config =
        json!({"requestHashHeader": "Key", "minRingSize": 8_388_608, "maxRingSize": 8_388_608});
    assert_eq!(read("ring_hash", config), ring(Some("key"), 4096, 4096));
    assert_eq!(read("ring_hash", json!({"maxRingSize": 10})), ring(None, 10, 10));
    for (count, choices) in [(json!({}), 2), (json!({"choiceCount": 11}), 10)] {
        let policy = read("least_request_experimental", count);
        assert_eq!(policy, LoadBalancing::LeastRequest { choices });
    }
    let plain = LoadBalancing::WeightedRoundRobin(WeightedRoundRobin::default());
    assert_eq!(read("weighted_round_robin", json!({})), plain);
    let all = json!({
        "enableOobLoadReport": true, "oobReportingPeriod": "5s", "blackoutPeriod": "0s",
        "weightExpirationPeriod": "9s", "weightUpdatePeriod": "0.01s", "errorUtilizationPenalty": 0.5,
    });
    assert_eq!(
        read("weighted_round_robin", all),
        LoadBalancing::WeightedRoundRobin(WeightedRoundRobin {
            report_period: Some(Duration::from_secs(5)),
            blackout: Duration::ZERO,
            expiration: Duration::from_secs(9),
            update: Duration::from_millis(100),
            error_penalty: 0.5,
        })
    );
}

#[test]
fn outlier_detection_and_subsetting_stand_around_a_policy() {
    let document = balanced(
        "outlier_detection_experimental",
        json!({
            "interval": "1s",
            "maxEjectionPercent": 50,
            "failurePercentageEjection": {"threshold": 10, "requestVolume": 0},
            "childPolicy": [{"random_subsetting_experimental": {
                "subsetSize": 3, "childPolicy": [{"xds": {}}, {"round_robin": {}}],
            }}],
        }),
    );
    let document = ServiceDocument::from_value(&document).unwrap();
    assert_eq!(document.load_balancing, Some(LoadBalancing::RoundRobin));
    assert_eq!(document.subset_size, Some(3));
    let outliers = document.outlier_detection.unwrap();
    assert_eq!((outliers.interval, outliers.max_ejection_percent), (Duration::from_secs(1), 50));
    assert_eq!(outliers.success_rate.enforcement, 0, "a rule that is not there is off");
    let rule = outliers.failure_percentage;
    assert_eq!((rule.threshold, rule.enforcement, rule.request_volume), (10, 100, 1));
    assert!(crate::config::Config::validate(&outliers).is_ok());
}

#[test]
fn tokens_are_counted_to_the_third_decimal() {
    let document = json!({"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.5679}});
    assert_eq!(
        ServiceDocument::from_value(&document).unwrap().retry_throttling,
        Some(RetryThrottling { max_milli_tokens: 10_000, milli_token_ratio: 567 })
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "methodConfig",
        "name",
        "service",
        "method",
        "timeout",
        "retryPolicy",
        "maxAttempts",
        "hedgingPolicy",
        "retryThrottling",
        "maxTokens",
        "tokenRatio",
        "loadBalancingConfig",
        "round_robin",
        "initialBackoff",
        "retryableStatusCodes",
        "connectionScaling",
        "weighted_round_robin",
        "blackoutPeriod",
        "ring_hash",
        "maxRingSize",
        "outlier_detection",
        "childPolicy",
        "failurePercentageEjection",
        "threshold",
        "random_subsetting",
        "subsetSize",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[0-9]{0,12}(\\.[0-9]{0,12})?s?".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|fields| {
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused_and_nothing_panics(document in any_json(), path in ".{0,40}") {
        if let Ok(read) = ServiceDocument::from_value(&document) {
            let _ = read.method(&path);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = ServiceDocument::from_json(&text);
    }
}
