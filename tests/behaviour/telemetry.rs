//! What is seen of a runtime: names are a contract, so they are held here.

use std::sync::Arc;

use parking_lot::Mutex;
use seawall::{Runtime, telemetry::names};
use seawall_testkit::{Ask, Behaviour, Change, Lookup, Reaction, Scripted, virtual_time};

use crate::support::{down, end, ms, replies, start};

/// A runtime that has seen everything that is counted.
async fn busy() -> seawall::Runtime {
    let behaviour = Behaviour::new(|asked| match asked.call {
        "Lookup" => Reaction::Reply,
        "Change" => Reaction::Panic,
        _ => Reaction::Fail(down()).after(ms(1)),
    });
    let settings = "endpoints = [\"a\", \"b\"]\noutlier = false\nbulkhead = { max_in_flight = 1, max_queue = 1 }\n\
                    breaker = { scope = \"call\" }";
    let (runtime, users) = start(settings, &behaviour).await;
    for _ in 0..2 {
        users.send(Lookup(1)).await.expect("it answers");
    }
    let calls = (0..3)
        .map(|id| users.send(Ask(id)).fallback(|_| seawall_testkit::Echo { id: 0, serial: 0, number: 0 }));
    futures_util::future::join_all(calls).await;
    for _ in 0..6 {
        let _ = users.send(Ask(1)).await;
        let _ = users.send(Change(1)).await;
    }
    let _ = users.send(Lookup(1)).tenant("a").await;
    runtime
}

#[test]
fn the_names_of_metrics_are_pinned() {
    virtual_time(async || {
        let runtime = busy().await;
        let text = runtime.metrics();
        let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        insta::assert_snapshot!(families.join("\n"), @r"
        seawall_attempt_duration_seconds histogram
        seawall_breaker_error_ratio gauge
        seawall_breaker_state gauge
        seawall_breaker_transitions_total counter
        seawall_cache_bytes gauge
        seawall_cache_evictions_total counter
        seawall_cache_loads_total counter
        seawall_cache_lookups_total counter
        seawall_call_duration_seconds histogram
        seawall_call_fallbacks_total counter
        seawall_config_generation gauge
        seawall_config_overrides gauge
        seawall_config_reload_failed_total counter
        seawall_context_missing_total counter
        seawall_endpoint_ejected gauge
        seawall_events_dropped_total counter
        seawall_faults_on gauge
        seawall_in_flight gauge
        seawall_limit gauge
        seawall_queue_length gauge
        seawall_queue_wait_seconds histogram
        seawall_rejections_total counter
        seawall_restarts_total counter
        seawall_retry_budget gauge
        seawall_service_up gauge
        seawall_thread_stalled_total counter
        ");
        end(runtime).await;
    });
}

#[test]
fn the_exposition_is_well_formed() {
    virtual_time(async || {
        let runtime = busy().await;
        for line in runtime.metrics().lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(name.starts_with("seawall_") && !name.contains(".."), "{line}");
        }
        end(runtime).await;
    });
}

#[test]
fn all_metrics_carry_the_labels_that_settings_name_and_the_buckets_within_their_bounds() {
    virtual_time(async || {
        let settings =
            "[telemetry]\nlabels = { region = \"eu\" }\nhistogram = { lowest = \"5ms\", highest = \"1s\" }
            [services.users]\nkind = \"scripted\"";
        let builder = Runtime::builder().kind::<Scripted>().extension("users", replies());
        let runtime = builder.parse(settings).expect("TOML").current_thread().start().await.expect("right");
        let users = runtime.service::<Scripted>("users").expect("there");
        users.send(Ask(1)).await.expect("it replies");
        let metrics = runtime.metrics();
        let samples: Vec<_> = metrics.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(samples.iter().all(|line| line.contains("region=\"eu\"")), "{metrics}");
        let buckets = samples.iter().filter(|line| line.starts_with("seawall_call_duration_seconds_bucket"));
        let bounds: Vec<_> =
            buckets.filter_map(|line| line.split_once("le=\"")?.1.split('"').next()).collect();
        assert_eq!(bounds, ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "+Inf"]);
        end(runtime).await;
    });
}

#[test]
fn calls_are_the_sum_of_their_ends_and_attempts_what_the_downstream_saw() {
    virtual_time(async || {
        let runtime = busy().await;
        let snapshot = runtime.snapshot();
        let users = snapshot.service("users").expect("there");
        let total: u64 = users.calls.iter().map(|call| call.total()).sum();
        assert_eq!(total, 2 + 3 + 12 + 1);
        serde_json::to_string(&snapshot).expect("a snapshot serialises");
        end(runtime).await;
    });
}

/// A recorder that remembers the names it was given.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<std::collections::BTreeSet<String>>>);

impl metrics::Recorder for Names {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        self.0.lock().insert(key.name().to_owned());
        metrics::Counter::noop()
    }

    fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        self.0.lock().insert(key.name().to_owned());
        metrics::Gauge::noop()
    }

    fn register_histogram(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        self.0.lock().insert(key.name().to_owned());
        metrics::Histogram::noop()
    }
}

#[test]
fn the_metrics_crates_recorder_is_fed_from_the_same_counts() {
    virtual_time(async || {
        let runtime = busy().await;
        let names = Names::default();
        metrics::with_local_recorder(&names, || runtime.publish_metrics());
        let seen = names.0.lock().clone();
        for name in
            [names::CALL_DURATION, names::ATTEMPT_DURATION, names::REJECTIONS, names::BREAKER_TRANSITIONS]
        {
            assert!(seen.contains(name), "{name} is missing in {seen:?}");
        }
        end(runtime).await;
    });
}
