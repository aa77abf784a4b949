use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{process::Command, time::Duration};

/// The field and the reason that `from_json` complains about.
fn complaint<C: Config + std::fmt::Debug>(text: &str) -> (String, String) {
    match C::from_json(text).unwrap_err() {
        ConnectionError::InvalidConfig { field, reason, .. } => (field.into(), reason.into()),
        other => panic!("{other}"),
    }
}

fn round_trips<C: Config + std::fmt::Debug + PartialEq>(config: &C) {
    config.validate().unwrap();
    assert_eq!(&C::from_json(&config.to_json()).unwrap(), config);
}

#[test]
fn every_default_and_preset_is_valid_and_survives_json() {
    for preset in [Preset::Production, Preset::Development, Preset::HighThroughput] {
        round_trips(&preset.config());
        assert_eq!(preset.name().parse::<Preset>().unwrap(), preset);
    }
    round_trips(&CallerConfig { name: "orders".to_owned(), ..CallerConfig::default() });
    round_trips(&CallLogConfig::default());
    round_trips(&TcpConfig::default());
    round_trips(&TcpManagerConfig::default());
    round_trips(&UdpManagerConfig::default());
    round_trips(&PoolConfig::default());
    round_trips(&PipeConfig::default());
    round_trips(&BreakerConfig::default());
    round_trips(&ChannelServerConfig::default());
    round_trips(&BalanceConfig::default());
    round_trips(&HealthConfig::default());
    round_trips(&OutlierConfig::default());
    round_trips(&ResolveConfig::default());
    round_trips(&SlowStartConfig::gradual());
    round_trips(&TunerConfig::default());
}

/// A document of a server with this certificate.
fn tls_server(more: &str) -> String {
    let certificate = r#"{"chain": {"file": "chain.pem"}, "key": {"file": "key.pem"}}"#;
    format!(r#"{{"server": {{"certificate": {certificate}{more}}}}}"#)
}

#[test]
fn a_tls_document_of_a_server_alone_has_no_client_and_the_documented_figures() {
    round_trips(&TlsConfig::default());
    let config =
        TlsConfig::from_json(&tls_server(r#", "alpn": null, "client_roots": null"#)).unwrap();
    round_trips(&config);
    assert_eq!(config.client, None);
    let certificate = TlsCertificate::from_files("chain.pem", "key.pem");
    assert_eq!(config.server, Some(TlsServerConfig::new(certificate)));
    let written: Value = serde_json::from_str(&config.to_json()).unwrap();
    let expected = json!({
        "client": null,
        "server": {
            "certificate": {"chain": {"file": "chain.pem"}, "key": {"file": "key.pem"}},
            "client_auth": "off", "client_roots": null, "alpn": [],
            "handshake_timeout": "10s", "max_handshakes": 128,
        },
        "min_version": "1.2", "reload_interval": "1m", "close_timeout": "5s",
    });
    assert_eq!(written, expected);
    let both =
        TlsConfig::from_json(r#"{"client": {"roots": {"pem": "x"}, "alpn": ["h2"]}}"#).unwrap();
    assert_eq!(both.client.unwrap().roots, TlsRoots::Pem("x".to_owned()));
}

#[test]
fn what_is_wrong_with_a_tls_document_is_named() {
    for (text, field) in [
        (r#"{"client": {"server_name": "no name"}}"#.to_owned(), "client.server_name"),
        (r#"{"client": {"alpn": [""]}}"#.to_owned(), "client.alpn"),
        (r#"{"client": {"verify": false}}"#.to_owned(), "client.verify"),
        (r#"{"min_version": "1.1"}"#.to_owned(), "min_version"),
        (r#"{"server": {}}"#.to_owned(), "server"),
        (tls_server(r#", "client_auth": "required""#), "server.client_roots"),
        (tls_server(r#", "max_handshakes": 0"#), "server.max_handshakes"),
        (tls_server(r#", "handshake_timeout": "0s""#), "server.handshake_timeout"),
        (r#"{"reload_interval": "0s"}"#.to_owned(), "reload_interval"),
    ] {
        let (named, reason) = complaint::<TlsConfig>(&text);
        assert_eq!(named, field, "{text}: {reason}");
    }
}

#[test]
fn production_has_the_documented_figures() {
    let written: Value = serde_json::from_str(&ConnectionConfig::default().to_json()).unwrap();
    let expected = json!({
        "connect_timeout": "30s",
        "backoff": {"base_delay": "1s", "multiplier": 1.6, "jitter": 0.2, "max_delay": "2m"},
        "keepalive": {"time": "10s", "timeout": "5s", "permit_without_stream": true},
        "idle_timeout": "30m",
        "max_message_size": 4_194_304,
        "max_queued_calls": 10_000,
        "retry_buffer_size": 262_144,
        "lookup_interval": "never",
        "resolver": {"timeout": "30s", "min_interval": "1s", "max_addresses": 1000},
        "state_history": 64,
        "pooling": {"enabled": false, "size": 5},
        "opentelemetry": false,
        "circuit": {},
        "interceptors": {"metrics": false},
        "service_config": {"retry_policy": {
            "max_attempts": 5, "initial_backoff": "1s", "max_backoff": "30s", "backoff_multiplier": 2.0,
            "retryable_status_codes": ["UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"],
        }},
    });
    assert_eq!(written, expected);
}

#[test]
fn development_has_the_documented_figures() {
    let expected = ConnectionConfig::from_json(
        r#"{
            "connect_timeout": "5s", "idle_timeout": "5m",
            "backoff": {"base_delay": "500ms", "max_delay": "10s"},
            "service_config": {"retry_policy": {
                "max_attempts": 3, "initial_backoff": "500ms", "max_backoff": "5s",
                "backoff_multiplier": 1.5, "retryable_status_codes": ["UNAVAILABLE"]}}
        }"#,
    );
    assert_eq!(expected.unwrap(), ConnectionConfig::development());
}

#[test]
fn high_throughput_has_the_documented_figures() {
    let expected = ConnectionConfig::from_json(
        r#"{
            "connect_timeout": "10s", "idle_timeout": "never", "max_message_size": 16777216,
            "keepalive": {"time": "30s", "timeout": "10s"},
            "pooling": {"enabled": true, "size": 10},
            "service_config": {"retry_policy": {
                "max_attempts": 3, "initial_backoff": "2s", "max_backoff": "60s",
                "retryable_status_codes": ["UNAVAILABLE", "DEADLINE_EXCEEDED"]}}
        }"#,
    );
    assert_eq!(expected.unwrap(), ConnectionConfig::high_throughput());
}

#[test]
fn unset_zero_and_never_are_three_values() {
    let idle = |text| ConnectionConfig::from_json(text).unwrap().idle_timeout;
    assert_eq!(idle("{}"), TimeLimit::secs(1800));
    assert_eq!(idle(r#"{"idle_timeout": null}"#), TimeLimit::secs(1800));
    assert_eq!(idle(r#"{"idle_timeout": "0s"}"#), TimeLimit::After(Duration::ZERO));
    assert_eq!(idle(r#"{"idle_timeout": "never"}"#), TimeLimit::Never);
}

#[test]
fn an_unset_key_means_the_default_of_the_preset_that_the_document_names() {
    let config = ConnectionConfig::from_json(
        r#"{"preset": "high-throughput", "keepalive": {"time": "5m", "timeout": null}, "pooling": null}"#,
    );
    let keepalive = KeepaliveParams {
        time: TimeLimit::secs(300),
        ..ConnectionConfig::high_throughput().keepalive
    };
    assert_eq!(
        config.unwrap(),
        ConnectionConfig { keepalive, ..ConnectionConfig::high_throughput() }
    );
}

#[test]
fn a_key_that_is_unknown_or_of_another_type_is_named_with_its_path() {
    for (text, field, reason) in [
        (r#"{"idle_timeuot": "1s"}"#, "idle_timeuot", "unknown field `idle_timeuot`"),
        (r#"{"keepalive": {"tmie": "1s"}}"#, "keepalive.tmie", "unknown field `tmie`"),
        (r#"{"idle_timeout": 5}"#, "idle_timeout", "expected a duration such as"),
        (r#"{"backoff": {"base_delay": "never"}}"#, "backoff.base_delay", "is no duration"),
        (r#"{"keepalive": []}"#, "keepalive", "must be an object"),
        (r#"{"max_message_size": -1}"#, "max_message_size", "expected u32"),
        (
            r#"{"service_config": {"retry_policy": {"retryable_status_codes": ["MAYBE"]}}}"#,
            "service_config.retry_policy.retryable_status_codes[0]",
            "unknown variant `MAYBE`",
        ),
        (
            r#"{"preset": "staging"}"#,
            "preset",
            "must be production, development or high_throughput",
        ),
        (r#"{"preset": 1}"#, "preset", "must be a string"),
        (r#"{"idle_timeuot": null}"#, "idle_timeuot", "unknown field `idle_timeuot`"),
        ("[]", "json", "expected a map"),
        ("{", "json", "EOF while parsing"),
    ] {
        let (found, why) = complaint::<ConnectionConfig>(text);
        assert_eq!(found, field, "{text}: {why}");
        assert!(why.contains(reason), "{text}: {why}");
    }
}

#[test]
fn a_value_out_of_range_is_named_with_its_path_and_the_range() {
    for (text, field, reason) in [
        (
            r#"{"keepalive": {"time": "1s"}}"#,
            "keepalive.time",
            "must be within 10s and 8760h, or never; is 1s",
        ),
        (r#"{"connect_timeout": "0s"}"#, "connect_timeout", "must be within 1ms and 8760h, is 0s"),
        (r#"{"max_message_size": 0}"#, "max_message_size", "must be within 1 and 2147483647, is 0"),
        (r#"{"backoff": {"jitter": 1.5}}"#, "backoff.jitter", "must be within 0 and 1, is 1.5"),
        (
            r#"{"backoff": {"base_delay": "3m"}}"#,
            "backoff.base_delay",
            "must be within 1ms and 2m, is 3m",
        ),
        (r#"{"pooling": {"size": 0}}"#, "pooling.size", "must be within 1 and 100, is 0"),
        (
            r#"{"service_config": {"retry_policy": {"max_attempts": 6}}}"#,
            "service_config.retry_policy.max_attempts",
            "must be within 1 and 5, is 6",
        ),
        (
            r#"{"service_config": {"retry_policy": {"retryable_status_codes": []}}}"#,
            "service_config.retry_policy.retryable_status_codes",
            "must name at least one",
        ),
    ] {
        assert_eq!(complaint::<ConnectionConfig>(text), (field.into(), reason.into()), "{text}");
    }
    assert_eq!(
        complaint::<TcpManagerConfig>(r#"{"tcp": {"keepalive": {"count": 0}}}"#),
        ("tcp.keepalive.count".into(), "must be within 1 and 127, is 0".into()),
    );
    assert_eq!(
        complaint::<UdpManagerConfig>(r#"{"amplification_limit": 0}"#),
        ("amplification_limit".into(), "must be within 1 and 65535, is 0".into()),
    );
    assert_eq!(
        complaint::<BalanceConfig>(r#"{"maglev_size": 65535}"#),
        ("maglev_size".into(), "must be a prime number, is 65535".into()),
    );
}

#[test]
fn bytes_are_zero_never_or_unset_as_times_are() {
    let after = |text: &str| TcpManagerConfig::from_json(text).unwrap().splice.after;
    assert_eq!(after("{}"), ByteLimit::After(1 << 20));
    assert_eq!(after(r#"{"splice": null}"#), ByteLimit::After(1 << 20));
    assert_eq!(after(r#"{"splice": {"after": null}}"#), ByteLimit::After(1 << 20));
    assert_eq!(after(r#"{"splice": {"after": 0}}"#), ByteLimit::After(0));
    assert_eq!(after(r#"{"splice": {"after": "never"}}"#), ByteLimit::Never);
    for (text, field) in [
        (r#"{"splice": {"after": "soon"}}"#, "splice.after"),
        (r#"{"splice": {"after": -1}}"#, "splice.after"),
        (r#"{"splice": {"after": 18446744073709551615}}"#, "splice.after"),
        (r#"{"splice": {"max_pipes": 0}}"#, "splice.max_pipes"),
        (r#"{"splice": {"pipe_size": 1048577}}"#, "splice.pipe_size"),
        (r#"{"splice": {"size": 1}}"#, "splice.size"),
        (r#"{"splice": false}"#, "splice"),
        (r#"{"bandwidth": {"to_server": 0}}"#, "bandwidth.to_server"),
        (r#"{"bandwidth": {"to_client": "0"}}"#, "bandwidth.to_client"),
        (r#"{"bandwidth": {"burst": 0}}"#, "bandwidth.burst"),
        (r#"{"max_duration": "0s"}"#, "max_duration"),
        (r#"{"per_source": {"max_connections": 0}}"#, "per_source.max_connections"),
        (r#"{"route_callback": {"timeout": "0s"}}"#, "route_callback.timeout"),
        (r#"{"route_callback": {"max_pending": 0}}"#, "route_callback.max_pending"),
        (r#"{"per_source": {"ipv4_prefix": 33}}"#, "per_source.ipv4_prefix"),
        (r#"{"per_source": {"ipv6_prefix": 129}}"#, "per_source.ipv6_prefix"),
        (r#"{"per_source": {"max_networks": 0}}"#, "per_source.max_networks"),
        (r#"{"per_source": {"when_full": "evict"}}"#, "per_source.when_full"),
    ] {
        assert_eq!(complaint::<TcpManagerConfig>(text).0, field, "{text}");
    }
    let splice = SpliceConfig { after: ByteLimit::Never, ..SpliceConfig::default() };
    let bandwidth =
        BandwidthConfig { to_client: ByteLimit::After(1), ..BandwidthConfig::default() };
    let max_duration = TimeLimit::Never;
    round_trips(&TcpManagerConfig {
        splice,
        bandwidth,
        max_duration,
        ..TcpManagerConfig::default()
    });
}

#[test]
fn a_mistake_in_a_listener_a_route_or_a_backend_is_named_with_its_path() {
    let all = r#""listeners": {"in": {"address": "mem:in"}}, "backends": {"a": {"endpoints": [{"address": "mem:a"}]}}"#;
    for (text, field, reason) in [
        (r#"{"listeners": {"in": {"addres": "mem:a"}}}"#, "listeners.in.addres", "unknown field"),
        (r#"{"listeners": {"in": {}}}"#, "listeners.in.address", "must be set"),
        (r#"{"listeners": {"in": {"address": "a"}}}"#, "listeners.in.address", "invalid address"),
        (
            r#"{"listeners": {"in": {"address": "mem:a", "proxy_protocol": {"trusted": ["x"]}}}}"#,
            "listeners.in.proxy_protocol.trusted[0]",
            "no network",
        ),
        (
            r#"{"listeners": {"in": {"address": "mem:a", "probe": {"max_bytes": 1}}}}"#,
            "listeners.in.probe.max_bytes",
            "must be within 64",
        ),
        (
            r#"{"listeners": {"in": {"address": "mem:a", "max_connections": 0}}}"#,
            "listeners.in.max_connections",
            "must be within 1",
        ),
        (r#"{"backends": {"a": {}}}"#, "backends.a.endpoints.length", "must be within 1"),
        (
            r#"{"backends": {"a": {"endpoints": [{"address": "mem:a"}], "max_connections": 1000001}}}"#,
            "backends.a.max_connections",
            "must be within 1",
        ),
        (
            r#"{"backends": {"a": {"endpoints": [{"address": "mem:a"}], "queue": {"timeout": "0s"}}}}"#,
            "backends.a.queue.timeout",
            "or never",
        ),
        (
            r#"{"backends": {"a": {"endpoints": [{"address": "mem:a"}, {"address": "mem:a"}]}}}"#,
            "backends.a.endpoints[1].address",
            "listed twice",
        ),
        (
            r#"{"backends": {"a": {"endpoints": [{"address": "tcp://a:0"}]}}}"#,
            "backends.a.endpoints[0].address",
            "1 to 65535",
        ),
        (
            r#"{"backends": {"a": {"endpoints": [{"address": "udp://127.0.0.1:1"}]}}}"#,
            "backends.a.endpoints[0].address",
            "no stream",
        ),
        (
            r#"{"backends": {"a": {"endpoints": [{"address": "tls://a:1"}], "send_proxy_protocol": "v1"}}}"#,
            "backends.a.endpoints[0].address",
            "after the handshake",
        ),
        (
            r#"{"listeners": {"in": {"address": "tls://127.0.0.1:0", "proxy_protocol": {"mode": "optional"}}}}"#,
            "listeners.in.proxy_protocol.mode",
            "before a handshake",
        ),
        (
            r#"{"backends": {"a": {"endpoints": [{"address": "mem:a"}], "health": {"rise": 0}}}}"#,
            "backends.a.health.rise",
            "must be within 1",
        ),
        (r#"{"default_backend": "b"}"#, "default_backend", "no backend"),
        (r#"{"routes": [{"backend": "b"}]}"#, "routes[0].backend", "no backend"),
        (
            &format!(r#"{{{all}, "routes": [{{"backend": "a", "listener": "out"}}]}}"#),
            "routes[0].listener",
            "no listener",
        ),
        (
            &format!(
                r#"{{{all}, "routes": [{{"backend": "a"}}, {{"backend": "a", "protocol": "smtp"}}]}}"#
            ),
            "routes[1].protocol",
            "must be one of tls",
        ),
        (
            &format!(r#"{{{all}, "routes": [{{"backend": "a", "host": "A.example"}}]}}"#),
            "routes[0].host",
            "lower case",
        ),
        (
            &format!(r#"{{{all}, "routes": [{{"backend": "a", "hosts": "a"}}]}}"#),
            "routes[0].hosts",
            "unknown field",
        ),
    ] {
        let (found, why) = complaint::<TcpManagerConfig>(text);
        assert_eq!(found, field, "{text}: {why}");
        assert!(why.contains(reason), "{text}: {why}");
    }
}

#[test]
fn null_means_unset_also_within_named_things() {
    let text = r#"{
        "per_source": {"max_connections": null},
        "listeners": {"in": {"address": "mem:in", "probe": null, "default_backend": null, "max_connections": null}},
        "backends": {"a": {"endpoints": [{"address": "mem:a", "weight": null}], "health": null,
            "max_connections": null, "queue": {"timeout": null}}}
    }"#;
    let config = TcpManagerConfig::from_json(text).unwrap();
    assert_eq!(config.backends["a"].endpoints[0].weight, 1);
    assert_eq!(TcpManagerConfig::from_json(&config.to_json()).unwrap(), config);
}

#[test]
fn a_figure_that_is_no_number_is_out_of_range() {
    let backoff = BackoffConfig { jitter: f64::NAN, ..BackoffConfig::default() };
    let config = ConnectionConfig { backoff, ..ConnectionConfig::default() };
    assert!(config.validate().unwrap_err().to_string().starts_with("backoff.jitter:"));
}

#[test]
fn the_environment_chooses_the_preset() {
    const CHILD: &str = "config::tests::the_child_prints_its_config";
    let test_binary = std::env::current_exe().unwrap();
    for (value, expected) in [
        (None, ConnectionConfig::production()),
        (Some("development"), ConnectionConfig::development()),
        (Some("production"), ConnectionConfig::production()),
        (Some("high-throughput"), ConnectionConfig::high_throughput()),
        (Some("Development"), ConnectionConfig::production()),
        (Some(""), ConnectionConfig::production()),
    ] {
        let mut child = Command::new(&test_binary);
        child.args(["--exact", CHILD, "--nocapture"]).env_remove("ENVIRONMENT");
        child.envs(value.map(|value| ("ENVIRONMENT", value)));
        let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
        assert!(output.contains(&expected.to_json()), "{value:?}: {output}");
    }
}

/// Run by the test above in processes of its own: a process has one environment.
#[test]
fn the_child_prints_its_config() {
    println!("{}", ConnectionConfig::from_env().to_json());
}

proptest! {
    #[test]
    fn any_valid_backoff_survives_json(
        base in 1u64..100_000, more in 0u64..100_000, multiplier in 1.0f64..=10.0, jitter in 0.0f64..=1.0,
    ) {
        let base_delay = Duration::from_millis(base);
        let max_delay = base_delay + Duration::from_millis(more);
        let backoff = BackoffConfig { base_delay, multiplier, jitter, max_delay };
        prop_assert_eq!(BackoffConfig::from_json(&backoff.to_json()).unwrap(), backoff);
    }

    #[test]
    fn reading_json_never_panics(text in r#"[{}\[\]":,a-z_0-9 .-]{0,80}"#) {
        let _ = ConnectionConfig::from_json(&text);
        let _ = TlsConfig::from_json(&text);
    }
}

#[test]
fn what_is_wrong_with_ready_made_interceptors_is_named() {
    for (fields, field) in [
        (r#""caller": {}"#, "caller.name"),
        (r#""caller": {"name": "a -> b"}"#, "caller.name"),
        (r#""caller": {"name": "a", "trust_domain": "\u00e9"}"#, "caller.trust_domain"),
        (r#""caller": {"name": "a", "prefix": "X-"}"#, "caller.prefix"),
        (r#""caller": {"name": "a", "prefix": "grpc-"}"#, "caller.prefix"),
        (r#""caller": {"name": "a", "max_depth": 0}"#, "caller.max_depth"),
        (r#""logging": {"slow": "0s"}"#, "logging.slow"),
        (r#""logging": {"skip": ["a.B/C"]}"#, "logging.skip"),
        (r#""logging": {"show_metadata": ["Tenant"]}"#, "logging.show_metadata"),
    ] {
        let text = format!(r#"{{"interceptors": {{{fields}}}}}"#);
        let (named, reason) = complaint::<ConnectionConfig>(&text);
        assert_eq!(named, format!("interceptors.{field}"), "{reason}");
    }
}
