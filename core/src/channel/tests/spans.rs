//! What who traces sees of calls and their attempts.

use super::{
    repeats::{FLAKY, flaky},
    *,
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// A method that there is not.
const NONE: &str = "/test.Service/None";

/// A span: its name, the place in the list of the one around it, what is known of it, and whether it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    name: &'static str,
    parent: Option<usize>,
    fields: BTreeMap<&'static str, String>,
    is_over: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Lists the spans of channels in the order in which they begin.
#[derive(Clone, Default)]
struct Scribe(Arc<Mutex<Vec<Seen>>>);

/// The place of a span in the list.
#[derive(Clone, Copy)]
struct Nth(usize);

impl Scribe {
    fn change<S>(&self, id: &Id, context: &Context<'_, S>, change: impl FnOnce(&mut Seen))
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let span = context.span(id).unwrap();
        if let Some(Nth(nth)) = span.extensions().get() {
            change(&mut self.0.lock()[*nth]);
        }
    }
}

impl<S> Layer<S> for Scribe
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        if !span.metadata().target().starts_with("trunkline_core::channel") {
            return;
        }
        let nth_of_parent = span.parent().and_then(|parent| parent.extensions().get().copied());
        let parent = nth_of_parent.map(|Nth(nth)| nth);
        let mut seen = Seen { name: span.name(), parent, fields: BTreeMap::new(), is_over: false };
        attributes.record(&mut seen);
        let mut all = self.0.lock();
        span.extensions_mut().insert(Nth(all.len()));
        all.push(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.change(id, &context, |seen| values.record(seen));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.change(&id, &context, |seen| seen.is_over = true);
    }
}

/// A span that has ended, beside its fields in the order of their names.
fn ended(name: &'static str, parent: Option<usize>, fields: &[(&'static str, &str)]) -> Seen {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Seen { name, parent, fields, is_over: true }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_a_span_with_one_for_each_attempt_and_each_says_how_it_ended() {
    let scribe = Scribe::default();
    let subscriber = Registry::default().with(scribe.clone());
    let listening = tracing::subscriber::set_default(subscriber);
    let network = network();
    let (_, methods) = flaky(1, None);
    let _server = serve(&network, "mem:a", methods).await;
    let retrying = json!({"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 2, "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }}]});
    let channel = channel(&network, "mem:a", config(retrying));
    let ours = tracing::debug_span!("ours");
    let call = ours.in_scope(|| channel.call(FLAKY, within(60 * SECOND)).unwrap());
    call.send(Bytes::new()).await.unwrap();
    call.finish_sending();
    call.receive().await.unwrap().unwrap();
    assert_eq!(call.receive().await.unwrap(), None);
    let error = channel.unary(NONE, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::Unimplemented);
    drop((call, ours));
    channel.close(None).await;
    drop(listening);

    let call = |status, method| [("method", method), ("status", status), ("target", "mem:a")];
    let attempt = |number, status| [("address", "mem:a"), ("number", number), ("status", status)];
    let expected = [
        ended("ours", None, &[]),
        ended("call", Some(0), &call("OK", FLAKY)),
        ended("attempt", Some(1), &attempt("1", "UNAVAILABLE")),
        ended("attempt", Some(1), &attempt("2", "OK")),
        ended("call", None, &call("UNIMPLEMENTED", NONE)),
        ended("attempt", Some(4), &attempt("1", "UNIMPLEMENTED")),
    ];
    assert_eq!(*scribe.0.lock(), expected);
}
