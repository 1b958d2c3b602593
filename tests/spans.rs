//! The names of spans and log lines are a contract. In a binary of its own: other tests' threads, which listen to nothing,
//! would race for what tracing remembers of each place.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use seawall::{
    Failure, Runtime, Service,
    downstream::{Blame, Symptom},
};
use seawall_testkit::{Ask, Behaviour, Reaction, Scripted, virtual_time};

/// Opens a breaker, closes it again, saturates a bulkhead, restarts a shard, ejects endpoints and lets them return, overrides what is injected, and drains.
async fn busy() {
    let down = || Failure::new(Blame::Downstream, "the connection broke").symptom(Symptom::Reset);
    let behaviour = Behaviour::new(move |_| Reaction::Fail(down()).after(Duration::from_millis(1)));
    let settings = "[runtime]\nallow_faults = true\n[services.users]\nkind = \"scripted\"\nretry = false\n\
                    bulkhead = { max_in_flight = 1, max_queue = 1 }\nbreaker = { reset_timeout = \"1s\" }\n\
                    calls.Other.faults = { hang = \"1%\" }\n\
                    [services.replicas]\nkind = \"scripted\"\nendpoints = [\"a\", \"b\"]\nretry = false\n\
                    breaker = false\noutlier = { eject = \"1s\", max_ejected = \"100%\" }";
    let runtime = Runtime::builder()
        .kind::<Scripted>()
        .extension("users", behaviour.clone())
        .extension("replicas", behaviour.clone())
        .parse(settings)
        .expect("TOML")
        .current_thread()
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let users = runtime.service::<Scripted>("users").expect("there");
    futures_util::future::join_all((0..3).map(|id| users.send(Ask(id)))).await;
    for id in 0..5 {
        let _ = users.send(Ask(id)).await;
    }
    let replicas = runtime.service::<Scripted>("replicas").expect("there");
    for id in 0..20 {
        let _ = replicas.send(Ask(id)).await;
    }
    behaviour.react(|_| Reaction::Reply);
    tokio::time::sleep(Duration::from_secs(2)).await;
    users.send(Ask(1)).await.expect("the probe is well");
    replicas.send(Ask(1)).await.expect("so is this one");
    let off = runtime.set("users.calls.Other.faults", false).lasting(Duration::from_secs(1));
    off.because("a test").expect("it is right");
    users.reopen();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(runtime.drain().await.cut_off, 0);
}

/// A runtime with a service `users` of this behaviour, and the service.
async fn scripted(behaviour: Behaviour, settings: &str) -> (Runtime, Service<Scripted>) {
    let runtime = Runtime::builder()
        .kind::<Scripted>()
        .extension("users", behaviour)
        .parse(format!("[services.users]\nkind = \"scripted\"\n{settings}"))
        .expect("TOML")
        .current_thread()
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let users = runtime.service::<Scripted>("users").expect("there");
    (runtime, users)
}

/// A subscriber that remembers spans with their fields, and the texts of events.
#[derive(Clone, Default)]
struct Listener {
    spans: Arc<Mutex<Vec<String>>>,
    closed: Arc<Mutex<Vec<u64>>>,
    events: Arc<Mutex<Vec<String>>>,
}

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.push_str(&format!("{value:?}:"));
        }
        self.0.push_str(&format!(" {}", field.name()));
    }
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("seawall")
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let fields: Vec<_> = span.fields().iter().map(|field| field.name()).collect();
        let mut spans = self.spans.lock();
        spans.push(format!("{}: {}", span.metadata().name(), fields.join(" ")));
        tracing::span::Id::from_u64(spans.len() as u64)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.events.lock().push(text.0);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}

    fn try_close(&self, span: tracing::span::Id) -> bool {
        self.closed.lock().push(span.into_u64());
        true
    }
}

#[test]
fn the_names_of_spans_and_log_lines_are_pinned() {
    let listener = Listener::default();
    let told = listener.clone();
    virtual_time(async move || {
        let _listening = tracing::subscriber::set_default(listener);
        busy().await;
    });
    let sorted = |lines: &Mutex<Vec<String>>| {
        let mut lines = lines.lock().clone();
        lines.sort();
        lines.dedup();
        lines.join("\n")
    };
    insta::assert_snapshot!(sorted(&told.spans), @r"
    seawall.attempt: otel.kind seawall.service seawall.call http.request.resend_count error.type
    seawall.call: otel.name otel.kind seawall.service seawall.call seawall.origin seawall.outcome seawall.attempts seawall.queue_ms
    ");
    insta::assert_snapshot!(sorted(&told.events), @r"
    breaker closed: message service scope shadow cause open_for rejected generation
    breaker half-opened: message service scope shadow open_for generation
    breaker opened: message service scope shadow cause error_ratio failures calls threshold slow last_error retry_after open_count generation
    bulkhead relieved: message service
    bulkhead saturated: message service
    drain ended: message
    drain started: message
    endpoint ejected: message service endpoint shadow cause consecutive_failures failures calls ejected_for row
    endpoint returned: message service endpoint shadow ejected_for
    faults are injected no more: message service scope
    faults are injected on purpose: message service scope faults
    override ended: message service key by cause
    pool opened: message service thread
    setting overridden: message service key value by because lasting
    shard restarted: message service thread cause
    so many endpoints are ejected that all are used: message service ejected endpoints
    ");
}

/// Of unanswered calls one a second has a line, and none is left out of the count.
#[test]
fn the_last_unanswered_calls_are_told_too() {
    let listener = Listener::default();
    let told = listener.clone();
    virtual_time(async move || {
        let _listening = tracing::subscriber::set_default(listener);
        let down = Failure::new(Blame::Downstream, "the connection broke");
        let behaviour = Behaviour::new(move |_| Reaction::Fail(down.clone()));
        let (runtime, users) = scripted(behaviour, "retry = false\nbreaker = false").await;
        let rest =
            || told.events.lock().iter().filter(|line| line.starts_with("unanswered calls failed")).count();
        (0..3).for_each(|id| users.do_send(Ask(id)));
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(rest(), 0);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(rest(), 1, "once its second is over, though nothing else fails");
        (0..3).for_each(|id| users.do_send(Ask(id)));
        tokio::time::sleep(Duration::from_millis(100)).await;
        runtime.drain().await;
        assert_eq!(rest(), 2, "or when the runtime ends before");
        tokio::time::sleep(Duration::from_millis(2000)).await;
        assert_eq!(rest(), 2, "each once");
    });
}

/// What is exported of an attempt is as long as the attempt was, and not as the backoff and the retry after it.
#[test]
fn an_attempts_span_ends_with_it() {
    let listener = Listener::default();
    let told = listener.clone();
    virtual_time(async move || {
        let _listening = tracing::subscriber::set_default(listener);
        let down = Failure::new(Blame::Downstream, "the connection broke").symptom(Symptom::Reset);
        let first = down.clone();
        let behaviour = Behaviour::new(move |_| Reaction::Fail(first.clone()));
        let retrying = behaviour.clone();
        let (runtime, users) = scripted(behaviour, "retry = { backoff = \"1s\", jitter = \"none\" }").await;
        let (closed, call) = (
            told.closed.clone(),
            tokio::task::spawn_local(async move { users.send(Ask(1)).await.map(drop) }),
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(*closed.lock(), [2], "the first attempt's, while its retry is waited for");
        retrying.react(|_| Reaction::Reply);
        call.await.expect("it does not panic").expect("the second is well");
        assert_eq!(*closed.lock(), [2, 3, 1], "the call's comes last");
        runtime.drain().await;
    });
}
