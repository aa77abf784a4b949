//! What the log says of calls where the configuration asks for it.

use super::*;
use crate::{
    config::{CallLogConfig, InterceptorsConfig},
    secret::Secret,
};
use parking_lot::Mutex;
use std::fmt;
use tracing::{
    Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

#[tokio::test(start_paused = true)]
async fn calls_are_logged_as_they_begin_and_end_with_what_may_be_shown() {
    let lines = Lines::default();
    let listening = tracing::subscriber::set_default(Registry::default().with(lines.clone()));
    let network = network();
    let slow = Methods::new().unary(ECHO, |request| async move {
        if request.get_ref() == "slow" {
            tokio::time::sleep(SECOND).await;
        }
        Ok(tonic::Response::new(Bytes::new()))
    });
    let _server = serve(&network, "mem:a", slow).await;
    let logging = CallLogConfig {
        show_metadata: vec!["tenant".to_owned()],
        skip: vec!["/test.Service/Quiet".to_owned()],
        ..CallLogConfig::default()
    };
    let interceptors = InterceptorsConfig { logging: Some(logging), ..Default::default() };
    let channel = channel(&network, "mem:a", ConnectionConfig { interceptors, ..plain() });
    let options = CallOptions {
        metadata: vec![("tenant".into(), message("t1")), ("other".into(), message("o"))],
        credentials: vec![("token".into(), Secret::from("s3cret".to_owned()))],
        plaintext_credentials: true,
        ..within(10 * SECOND)
    };
    channel.unary(ECHO, message("payload"), options).await.unwrap();
    channel.unary(ECHO, message("slow"), within(10 * SECOND)).await.unwrap();
    channel.unary("/test.Service/None", Bytes::new(), within(SECOND)).await.unwrap_err();
    channel.unary("/test.Service/Quiet", Bytes::new(), within(SECOND)).await.unwrap_err();
    drop(listening);

    let lines = lines.0.lock();
    let begun = "DEBUG call begins target=mem:a method=/test.Service/Echo metadata=";
    assert_eq!(lines[0], format!("{begun}tenant=\"t1\" other=redacted token=redacted"));
    assert!(lines[1].starts_with("INFO call ended target=mem:a method=/test.Service/Echo took="));
    assert_eq!(lines[2], begun);
    assert!(lines[3].starts_with("WARN call was slow target=mem:a"), "{}", lines[3]);
    assert!(lines[5].starts_with("WARN call failed"), "{}", lines[5]);
    assert!(lines[5].contains("status=UNIMPLEMENTED why=\""), "{}", lines[5]);
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("payload") || line.contains("s3cret")));
}

/// What the interceptor for logging says, a line for each record.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target().ends_with("::ready_made::logging") {
            let mut line = Line { message: String::new(), fields: String::new() };
            event.record(&mut line);
            let Line { message, fields } = line;
            self.0.lock().push(format!("{} {message}{fields}", event.metadata().level()));
        }
    }
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields += &format!(" {}={value}", field.name());
    }
}
