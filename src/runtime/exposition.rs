//! All metrics in Prometheus' text format, read from our own atomics: it needs no recorder.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use super::{Inner, kind::Owning};
use crate::{
    call::Priority,
    policy::{breaker::State, latency::Histogram},
    service::CallState,
    telemetry::{
        AttemptResult, Cause, FALLBACK_REASONS, FALLBACK_SOURCES, Lookup, Outcome, REFUSING, Try, names,
    },
};

/// The upper bounds of the exported histograms' buckets.
const BOUNDS: [Duration; 14] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

pub(super) fn write(inner: &Inner) -> String {
    let mut page = Page::default();
    // Writing to a string cannot fail.
    let _ = page.runtime(inner);
    let services = inner.services.read();
    for owned in services.values() {
        let _ = page.service(&**owned);
        for call in owned.state().table().calls() {
            let _ = page.call(call);
        }
    }
    page.finish()
}

/// Metrics by name, each with its samples: the format wants those of one name together.
#[derive(Default)]
struct Page {
    families: std::collections::BTreeMap<&'static str, Family>,
}

struct Family {
    kind: Kind,
    samples: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    fn sample(
        &mut self,
        name: &'static str,
        kind: Kind,
        labels: Labels<'_>,
        value: impl fmt::Display,
    ) -> fmt::Result {
        let family = self.families.entry(name).or_insert(Family { kind, samples: String::new() });
        let suffix = if matches!(kind, Kind::Counter) { "_total" } else { "" };
        write!(family.samples, "{}{suffix}", Name(name))?;
        write_labels(&mut family.samples, labels, None)?;
        writeln!(family.samples, " {value}")
    }

    fn histogram(
        &mut self,
        name: &'static str,
        labels: Labels<'_>,
        histogram: Option<&Histogram>,
    ) -> fmt::Result {
        let Some(histogram) = histogram else { return Ok(()) };
        let family =
            self.families.entry(name).or_insert(Family { kind: Kind::Histogram, samples: String::new() });
        let samples = &mut family.samples;
        let count = histogram.count();
        for bound in BOUNDS {
            write!(samples, "{}_seconds_bucket", Name(name))?;
            write_labels(samples, labels, Some(&bound.as_secs_f64().to_string()))?;
            writeln!(samples, " {}", histogram.count_up_to(bound).min(count))?;
        }
        write!(samples, "{}_seconds_bucket", Name(name))?;
        write_labels(samples, labels, Some("+Inf"))?;
        writeln!(samples, " {count}")?;
        write!(samples, "{}_seconds_sum", Name(name))?;
        write_labels(samples, labels, None)?;
        writeln!(samples, " {}", histogram.sum().as_secs_f64())?;
        write!(samples, "{}_seconds_count", Name(name))?;
        write_labels(samples, labels, None)?;
        writeln!(samples, " {count}")
    }

    fn runtime(&mut self, inner: &Inner) -> fmt::Result {
        let environment = &inner.environment;
        self.sample(names::CACHE_BYTES, Kind::Gauge, &[], environment.memory.bytes())?;
        self.sample(names::THREAD_STALLED, Kind::Counter, &[], environment.stalls.get())?;
        self.sample(names::EVENTS_DROPPED, Kind::Counter, &[], environment.events.dropped())?;
        self.sample(names::CONFIG_GENERATION, Kind::Gauge, &[], environment.generation.get())?;
        self.sample(names::CONFIG_RELOAD_FAILED, Kind::Counter, &[], environment.refused_reloads.get())
    }

    fn service(&mut self, owned: &dyn Owning) -> fmt::Result {
        let state = owned.state();
        let service = ("service", &*state.name);
        let now = state.environment.now();
        let table = state.table();
        self.sample(names::SERVICE_UP, Kind::Gauge, &[service], u8::from(state.is_up()))?;
        self.sample(names::CONTEXT_MISSING, Kind::Counter, &[service], state.metrics.context_missing.get())?;
        if let Some(gate) = &table.shared.gate {
            let gate = gate.snapshot();
            self.sample(names::IN_FLIGHT, Kind::Gauge, &[service], gate.in_flight)?;
            self.sample(names::LIMIT, Kind::Gauge, &[service], gate.max_in_flight)?;
            self.sample(names::QUEUE_LENGTH, Kind::Gauge, &[service], gate.waiting)?;
        }
        self.histogram(names::QUEUE_WAIT, &[service], state.metrics.queue_wait.get())?;
        if let Some(budget) = &table.budget {
            self.sample(names::RETRY_BUDGET, Kind::Gauge, &[service], budget.left(now))?;
        }
        let own =
            table.calls().filter(|call| call.has_own_breaker()).filter_map(|call| call.breaker.as_ref());
        for guard in table.shared.breaker.iter().chain(own) {
            let snapshot = guard.breaker.snapshot(now);
            let scope = ("scope", &*guard.scope);
            for state in State::ALL {
                let is = u8::from(state == snapshot.state);
                self.sample(
                    names::BREAKER_STATE,
                    Kind::Gauge,
                    &[service, scope, ("state", state.word())],
                    is,
                )?;
            }
            self.sample(names::BREAKER_ERROR_RATIO, Kind::Gauge, &[service, scope], snapshot.error_ratio)?;
        }
        for ((from, to, cause), count) in state.metrics.transitions() {
            let labels = [service, ("from", from), ("to", to), ("cause", cause)];
            self.sample(names::BREAKER_TRANSITIONS, Kind::Counter, &labels, count)?;
        }
        for cause in Cause::ALL {
            let count = state.metrics.restarts(cause);
            if count > 0 {
                self.sample(names::RESTARTS, Kind::Counter, &[service, ("cause", cause.word())], count)?;
            }
        }
        for (index, policy) in REFUSING.into_iter().enumerate() {
            for (shadow, mode) in [(false, "enforce"), (true, "shadow")] {
                for priority in Priority::ALL {
                    let count = state.metrics.rejections(index, shadow, priority);
                    let labels = [service, ("policy", policy), ("mode", mode), ("priority", priority.word())];
                    if count > 0 {
                        self.sample(names::REJECTIONS, Kind::Counter, &labels, count)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &CallState) -> fmt::Result {
        let (service, name) = (("service", &*call.service), ("call", call.name));
        let metrics = call.metrics();
        for outcome in Outcome::ALL {
            for priority in Priority::ALL {
                let labels = [
                    service,
                    name,
                    ("outcome", outcome.word()),
                    ("origin", outcome.origin()),
                    ("priority", priority.word()),
                ];
                self.histogram(names::CALL_DURATION, &labels, metrics.duration(outcome, priority))?;
            }
        }
        for which in Try::ALL {
            for result in AttemptResult::ALL {
                let labels = [service, name, ("try", which.word()), ("result", result.word())];
                self.histogram(names::ATTEMPT_DURATION, &labels, metrics.attempt_duration(which, result))?;
            }
        }
        for found in Lookup::ALL {
            let count = metrics.lookups(found);
            let labels = [service, name, ("tier", "memory"), ("result", found.word())];
            if count > 0 {
                self.sample(names::CACHE_LOOKUPS, Kind::Counter, &labels, count)?;
            }
        }
        for (source_index, source) in FALLBACK_SOURCES.into_iter().enumerate() {
            for (reason_index, reason) in FALLBACK_REASONS.into_iter().enumerate() {
                let count = metrics.fallbacks(source_index, reason_index);
                let labels = [service, name, ("source", source), ("reason", reason)];
                if count > 0 {
                    self.sample(names::CALL_FALLBACKS, Kind::Counter, &labels, count)?;
                }
            }
        }
        if metrics.loads.get() > 0 {
            self.sample(names::CACHE_LOADS, Kind::Counter, &[service, name], metrics.loads.get())?;
            self.sample(names::CACHE_COALESCED, Kind::Counter, &[service, name], metrics.coalesced.get())?;
        }
        Ok(())
    }

    fn finish(self) -> String {
        let mut text = String::new();
        for (name, Family { kind, samples }) in self.families {
            let (suffix, word) = match kind {
                Kind::Counter => ("_total", "counter"),
                Kind::Gauge => ("", "gauge"),
                Kind::Histogram => ("_seconds", "histogram"),
            };
            let _ = writeln!(text, "# TYPE {}{suffix} {word}", Name(name));
            text.push_str(&samples);
        }
        text
    }
}

fn write_labels(out: &mut String, labels: Labels<'_>, bound: Option<&str>) -> fmt::Result {
    let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
    let mut first = true;
    for (label, value) in all {
        out.push(if std::mem::take(&mut first) { '{' } else { ',' });
        write!(out, "{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))?;
    }
    if !first {
        out.push('}');
    }
    Ok(())
}

/// A name as Prometheus writes it.
struct Name(&'static str);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c == '.' { '_' } else { c }))
    }
}
