//! All metrics, read from our own atomics: as Prometheus' text, and into the `metrics` crate's recorder.
//!
//! Counts are ours, so that they are right with no recorder installed, or with one that is installed late. An exporter
//! is somebody who walks over them.

mod facade;
mod prometheus;

use super::{Inner, kind::Owning};
use crate::{
    call::Priority,
    downstream::PoolFigures,
    policy::{breaker::State, latency::Histogram},
    service::{CallState, Endpoints},
    telemetry::{
        AttemptResult, Cause, FALLBACK_REASONS, FALLBACK_SOURCES, Injected, Lookup, Outcome, REFUSING, Try,
        names,
    },
    units::Tick,
};

pub(super) use facade::Published;
pub(super) use prometheus::write;

type Labels<'a> = &'a [(&'static str, &'a str)];

/// Who takes the metrics.
trait Sink {
    fn counter(&mut self, name: &'static str, labels: Labels<'_>, value: u64);
    fn gauge(&mut self, name: &'static str, labels: Labels<'_>, value: f64);
    fn histogram(&mut self, name: &'static str, labels: Labels<'_>, durations: &Histogram);

    /// A counter of which most never count: left out until it does.
    fn rare(&mut self, name: &'static str, labels: Labels<'_>, value: u64) {
        if value > 0 {
            self.counter(name, labels, value);
        }
    }
}

/// Gives all metrics of a runtime to `sink`.
fn walk(inner: &Inner, sink: &mut impl Sink) {
    let environment = &inner.environment;
    sink.gauge(names::CACHE_BYTES, &[], environment.memory.bytes() as f64);
    sink.counter(names::CACHE_EVICTIONS, &[], environment.memory.evictions());
    sink.counter(names::THREAD_STALLED, &[], environment.stalls.get());
    sink.counter(names::EVENTS_DROPPED, &[], environment.events.dropped());
    sink.gauge(names::CONFIG_GENERATION, &[], environment.generation.get() as f64);
    sink.gauge(names::CONFIG_OVERRIDES, &[], inner.in_force.lock().count() as f64);
    sink.counter(names::CONFIG_RELOAD_FAILED, &[], environment.refused_reloads.get());
    for owned in inner.services.read().values() {
        service(&**owned, sink);
        for call in owned.state().table().calls() {
            self::call(call, sink);
        }
    }
}

fn service(owned: &dyn Owning, sink: &mut impl Sink) {
    let state = owned.state();
    let metrics = &state.metrics;
    let service = ("service", &*state.name);
    let now = state.environment.now();
    let table = state.table();
    sink.gauge(names::SERVICE_UP, &[service], f64::from(u8::from(state.is_up())));
    sink.counter(names::CONTEXT_MISSING, &[service], metrics.context_missing.get());
    if let Some(gate) = &table.shared.gate {
        let gate = gate.snapshot();
        sink.gauge(names::IN_FLIGHT, &[service], gate.in_flight.into());
        sink.gauge(names::LIMIT, &[service], gate.max_in_flight.into());
        sink.gauge(names::QUEUE_LENGTH, &[service], gate.waiting.into());
    }
    if let Some(waited) = metrics.queue_wait.get() {
        sink.histogram(names::QUEUE_WAIT, &[service], waited);
    }
    if let Some(figures) = owned.pool() {
        pool(service, &figures, sink);
    }
    if let Some(budget) = &table.budget {
        sink.gauge(names::RETRY_BUDGET, &[service], budget.left(now));
    }
    if let Some(endpoints) = &table.endpoints {
        sink.gauge(names::ENDPOINT_EJECTED, &[service], endpoints.count_ejected() as f64);
        if endpoints.have_breakers() {
            breakers_of(endpoints, service, now, sink);
        }
    }
    let own = table.calls().filter(|call| call.has_own_breaker()).filter_map(|call| call.breaker.as_ref());
    for guard in table.shared.breaker.iter().chain(own) {
        let snapshot = guard.breaker.snapshot(now);
        let scope = ("scope", &*guard.scope);
        for state in State::ALL {
            let is = f64::from(u8::from(state == snapshot.state));
            sink.gauge(names::BREAKER_STATE, &[service, scope, ("state", state.word())], is);
        }
        sink.gauge(names::BREAKER_ERROR_RATIO, &[service, scope], snapshot.error_ratio);
    }
    for ((from, to, cause), count) in metrics.transitions() {
        let labels = [service, ("from", from), ("to", to), ("cause", cause)];
        sink.counter(names::BREAKER_TRANSITIONS, &labels, count);
    }
    for cause in Cause::ALL {
        sink.rare(names::RESTARTS, &[service, ("cause", cause.word())], metrics.restarts(cause));
    }
    sink.gauge(names::FAULTS_ON, &[service], f64::from(u8::from(table.injects())));
    for fault in Injected::ALL {
        sink.rare(names::FAULTS_INJECTED, &[service, ("fault", fault.word())], metrics.injections(fault));
    }
    for (index, policy) in REFUSING.into_iter().enumerate() {
        for (shadow, mode) in [(false, "enforce"), (true, "shadow")] {
            for priority in Priority::ALL {
                let labels = [service, ("policy", policy), ("mode", mode), ("priority", priority.word())];
                sink.rare(names::REJECTIONS, &labels, metrics.rejections(index, shadow, priority));
            }
        }
    }
}

/// The breakers of a service's endpoints, together: an address is no label. How many are in each state, and the worst of their
/// shares of failures.
fn breakers_of(endpoints: &Endpoints, service: (&'static str, &str), now: Tick, sink: &mut impl Sink) {
    let scope = ("scope", "endpoint");
    let breakers: Vec<_> = endpoints.breakers().map(|guard| guard.breaker.snapshot(now)).collect();
    for state in State::ALL {
        let count = breakers.iter().filter(|breaker| breaker.state == state).count();
        sink.gauge(names::BREAKER_STATE, &[service, scope, ("state", state.word())], count as f64);
    }
    let worst = breakers.iter().map(|breaker| breaker.error_ratio).fold(0.0, f64::max);
    sink.gauge(names::BREAKER_ERROR_RATIO, &[service, scope], worst);
}

fn pool(service: (&'static str, &str), pool: &PoolFigures, sink: &mut impl Sink) {
    for (state, count) in [("idle", pool.idle), ("used", pool.open.saturating_sub(pool.idle))] {
        sink.gauge(names::POOL_COUNT, &[service, ("state", state)], count as f64);
    }
    sink.gauge(names::POOL_MAX, &[service], pool.max as f64);
    sink.gauge(names::POOL_PENDING, &[service], pool.waiting as f64);
    sink.counter(names::POOL_TIMEOUTS, &[service], pool.timeouts);
    for (name, durations) in
        [(names::POOL_CREATE_TIME, &pool.create_time), (names::POOL_WAIT_TIME, &pool.wait_time)]
    {
        if let Some(durations) = durations {
            sink.histogram(name, &[service], durations);
        }
    }
}

fn call(call: &CallState, sink: &mut impl Sink) {
    let (service, name) = (("service", &*call.service), ("call", call.name));
    let metrics = call.metrics();
    for outcome in Outcome::ALL {
        for priority in Priority::ALL {
            if let Some(durations) = metrics.duration(outcome, priority) {
                let (outcome, origin) = (("outcome", outcome.word()), ("origin", outcome.origin()));
                let labels = [service, name, outcome, origin, ("priority", priority.word())];
                sink.histogram(names::CALL_DURATION, &labels, durations);
            }
        }
    }
    for which in Try::ALL {
        for result in AttemptResult::ALL {
            if let Some(durations) = metrics.attempt_duration(which, result) {
                let labels = [service, name, ("try", which.word()), ("result", result.word())];
                sink.histogram(names::ATTEMPT_DURATION, &labels, durations);
            }
        }
    }
    for found in Lookup::ALL {
        let labels = [service, name, ("tier", "memory"), ("result", found.word())];
        sink.rare(names::CACHE_LOOKUPS, &labels, metrics.lookups(found));
        if let Some(tier) = &call.tier {
            let labels = [service, name, ("tier", "shared"), ("result", found.word())];
            sink.rare(names::CACHE_LOOKUPS, &labels, tier.figures.lookups(found));
        }
    }
    for (source_index, source) in FALLBACK_SOURCES.into_iter().enumerate() {
        for (reason_index, reason) in FALLBACK_REASONS.into_iter().enumerate() {
            let labels = [service, name, ("source", source), ("reason", reason)];
            sink.rare(names::CALL_FALLBACKS, &labels, metrics.fallbacks(source_index, reason_index));
        }
    }
    sink.rare(names::CACHE_LOADS, &[service, name], metrics.loads.get());
    sink.rare(names::CACHE_COALESCED, &[service, name], metrics.coalesced.get());
}
