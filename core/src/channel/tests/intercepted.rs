//! Interceptors: what they add, what they deny, what they hear.

use super::*;
use crate::config::{CallerConfig, InterceptorsConfig};
use parking_lot::Mutex;
use std::future::pending;

/// Writes down what it sees, and adds its name to every call.
#[derive(Debug)]
struct Scribe {
    name: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Interceptor for Scribe {
    fn on_call<'a>(&'a self, call: &'a mut Beginning<'_>) -> OnCall<'a> {
        Box::pin(async move {
            let before: Vec<_> = call.metadata().iter().map(|(name, _)| name.to_string()).collect();
            self.seen.lock().push(format!("{} {} {}", self.name, call.method(), before.join(",")));
            // Later, as one that asks somebody for a token.
            tokio::time::sleep(MILLI).await;
            let name = format!("echo-{}", self.name);
            call.add(&name, message("yes")).map_err(|error| Status::internal(error.to_string()))
        })
    }

    fn on_end(&self, end: &Ending<'_>) {
        self.seen.lock().push(format!("{} {:?} {}", self.name, end.code, end.message));
    }
}

/// Lets nothing pass.
#[derive(Debug)]
struct Denial;

impl Interceptor for Denial {
    fn on_call<'a>(&'a self, _: &'a mut Beginning<'_>) -> OnCall<'a> {
        Box::pin(std::future::ready(Err(Status::permission_denied("not today"))))
    }
}

/// Never decides.
#[derive(Debug)]
struct Doubt;

impl Interceptor for Doubt {
    fn on_call<'a>(&'a self, _: &'a mut Beginning<'_>) -> OnCall<'a> {
        Box::pin(pending())
    }
}

fn scribe(name: &'static str, seen: &Arc<Mutex<Vec<String>>>) -> Arc<Scribe> {
    Arc::new(Scribe { name, seen: Arc::clone(seen) })
}

#[tokio::test(start_paused = true)]
async fn each_sees_what_those_before_it_added_and_hears_the_end_in_the_other_order() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", plain());
    let seen = Arc::default();
    channel.intercept(scribe("one", &seen));
    channel.intercept(scribe("two", &seen));
    let options = CallOptions { metadata: vec![("own".into(), message("x"))], ..within(SECOND) };
    let reply = channel.unary(ECHO, message("hello"), options).await.unwrap();
    assert!(reply.initial.iter().any(|(name, _)| &**name == "echo-two"), "what was added was sent");
    let lines = std::mem::take(&mut *seen.lock());
    assert_eq!(
        lines,
        [
            "one /test.Service/Echo own".to_owned(),
            "two /test.Service/Echo own,echo-one".to_owned(),
            "two Ok ".to_owned(),
            "one Ok ".to_owned(),
        ]
    );
    let error = channel.unary("/test.Service/None", Bytes::new(), within(SECOND)).await;
    assert_eq!(code(&error.unwrap_err()), StatusCode::Unimplemented);
    assert_eq!(seen.lock().last().unwrap(), "one Unimplemented there is no such method");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_denied_is_not_sent_and_those_before_hear_of_it() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", plain());
    let seen = Arc::default();
    channel.intercept(scribe("one", &seen));
    channel.intercept(Arc::new(Denial));
    channel.intercept(scribe("never", &seen));
    let error = channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!((code(&error), error.is_nothing_sent()), (StatusCode::PermissionDenied, true));
    assert_eq!(seen.lock()[1..], ["one PermissionDenied not today".to_owned()]);
    assert_eq!(count(&network, "trunkline_channel_attempts_total", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn an_interceptor_has_as_long_as_the_call_and_hears_of_one_that_is_given_up() {
    let network = network();
    let methods = Methods::new().unary("/test.Service/Hang", |_| pending());
    let _server = serve(&network, "mem:a", methods).await;
    let hesitant = channel(&network, "mem:a", plain());
    hesitant.intercept(Arc::new(Doubt));
    let started = wire::now();
    let error = hesitant.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!((code(&error), wire::now() - started), (StatusCode::DeadlineExceeded, SECOND));

    let channel = channel(&network, "mem:a", plain());
    let seen = Arc::default();
    channel.intercept(scribe("one", &seen));
    let hanging = channel.unary("/test.Service/Hang", Bytes::new(), CallOptions::default());
    assert!(tokio::time::timeout(SECOND, hanging).await.is_err());
    assert_eq!(seen.lock().last().unwrap(), "one Cancelled the call was given up");
}

#[tokio::test(start_paused = true)]
async fn calls_say_who_makes_them_and_on_whose_behalf() {
    let network = network();
    let seen: Arc<Mutex<Vec<Metadata>>> = Arc::default();
    let told = Arc::clone(&seen);
    let methods = Methods::new().unary(ECHO, move |request| {
        told.lock().push(metadata::own(request.metadata()));
        async { Ok(tonic::Response::new(Bytes::new())) }
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = |name: &str| {
        let caller = CallerConfig {
            name: name.to_owned(),
            prefix: "x-".to_owned(),
            max_depth: 2,
            trust_domain: (name == "shop").then(|| "example.org".to_owned()),
        };
        let interceptors = InterceptorsConfig { caller: Some(caller), ..Default::default() };
        channel(&network, "mem:a", ConnectionConfig { interceptors, ..plain() })
    };
    channel("shop").unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
    let first = seen.lock().pop().unwrap();
    let on_behalf =
        |metadata: &Metadata| CallOptions { metadata: metadata.clone(), ..within(SECOND) };
    channel("orders").unary(ECHO, Bytes::new(), on_behalf(&first)).await.unwrap();
    let second = seen.lock().pop().unwrap();
    let value = |metadata: &Metadata, name: &str| {
        let mut values = metadata.iter().filter(|(key, _)| **key == *name);
        let value = values.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        assert_eq!(values.next(), None, "{name} is said once");
        value
    };
    for (metadata, service, chain, domain) in [
        (&first, "shop", "shop", Some("example.org".to_owned())),
        (&second, "orders", "shop -> orders", None),
    ] {
        assert_eq!(value(metadata, "x-original-caller").unwrap(), "shop");
        assert_eq!(value(metadata, "x-call-chain").unwrap(), chain);
        assert_eq!(value(metadata, "x-service-name").unwrap(), service);
        assert_eq!(value(metadata, "x-trust-domain"), domain);
        assert!(value(metadata, "x-timestamp").unwrap().parse::<u128>().unwrap() > 0);
    }
    let id = value(&first, "x-request-id").unwrap();
    assert!(id.starts_with("req-"));
    assert_eq!(value(&second, "x-request-id").unwrap(), id);
    for name in ["shop", "billing"] {
        let refused = channel(name).unary(ECHO, Bytes::new(), on_behalf(&second)).await;
        let error = refused.unwrap_err();
        assert_eq!((code(&error), error.is_nothing_sent()), (StatusCode::FailedPrecondition, true));
    }
    assert!(seen.lock().is_empty(), "neither was sent");
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_by_method_and_status_and_those_of_too_many_methods_together() {
    let network = network();
    let methods = echo().unary("/test.Service/Hang", |_| pending());
    let _server = serve(&network, "mem:a", methods).await;
    let interceptors = InterceptorsConfig { metrics: true, ..Default::default() };
    let channel = channel(&network, "mem:a", ConnectionConfig { interceptors, ..plain() });
    channel.intercept(Arc::new(Whim));
    let ended = |method, status| {
        let labels = [("method", method), ("status", status)];
        count(&network, "trunkline_channel_method_calls_total", &labels)
    };
    channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
    channel.unary("/test.Service/Denied", Bytes::new(), within(SECOND)).await.unwrap_err();
    let hanging = channel.unary("/test.Service/Hang", Bytes::new(), CallOptions::default());
    let mut hanging = Box::pin(hanging);
    assert!(tokio::time::timeout(SECOND, &mut hanging).await.is_err());
    let active = || count(&network, "trunkline_channel_method_calls_active", &[]);
    assert_eq!(active(), 1);
    drop(hanging);
    assert_eq!(active(), 0);
    assert_eq!(
        [
            ended(ECHO, "OK"),
            ended("/test.Service/Denied", "PERMISSION_DENIED"),
            ended("/test.Service/Hang", "CANCELLED"),
        ],
        [1, 1, 1]
    );
    for nth in 0..200 {
        let method = format!("/test.Service/{nth}");
        channel.unary(&method, Bytes::new(), within(SECOND)).await.unwrap_err();
    }
    assert_eq!(ended("/test.Service/124", "UNIMPLEMENTED"), 1, "the last of 128");
    assert_eq!(ended("/test.Service/125", "UNIMPLEMENTED"), 0);
    assert_eq!(ended("_other", "UNIMPLEMENTED"), 75);
    assert_eq!(active(), 0);
}

/// Denies one method.
#[derive(Debug)]
struct Whim;

impl Interceptor for Whim {
    fn on_call<'a>(&'a self, call: &'a mut Beginning<'_>) -> OnCall<'a> {
        let decided = match call.method() {
            "/test.Service/Denied" => Err(Status::permission_denied("not today")),
            _ => Ok(()),
        };
        Box::pin(std::future::ready(decided))
    }
}
