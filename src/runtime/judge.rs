//! Judges what settings say: types are the reader's to check, sense is checked here.

use std::{sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    builder::Loader,
    kind::{Kind, Kinds, Settings},
};
use crate::{
    config::{ConfigErrors, Layers, Scope, unknown},
    service::{CallSettings, RuntimeSettings, ServiceSettings, TelemetrySettings},
};

/// The most connections, or pools, that settings may ask for at once: more is a mistake, and no semaphore counts it.
const MOST_CONNECTIONS: usize = 1 << 20;

/// A service whose settings are right.
pub(super) struct Judged {
    pub(super) kind: Arc<dyn Kind>,
    pub(super) settings: Settings,
}

/// Judges all settings.
pub(super) fn whole(
    layers: &Layers,
    kinds: &Kinds,
    loader: &Loader,
) -> Result<(RuntimeSettings, TelemetrySettings, Vec<Judged>), ConfigErrors> {
    let mut errors = ConfigErrors::new();
    let runtime = runtime(layers, &mut errors);
    let telemetry = section(&layers.section("telemetry"), &mut errors);
    let known = || kinds.keys().copied();
    for kind in layers.kinds() {
        if !kinds.contains_key(kind.as_str()) {
            layers.error(&mut errors, &["kinds", &kind], unknown("kind", &kind, known()));
        }
    }
    let names = loader.registry.names();
    let mut judged = Vec::new();
    for name in layers.services() {
        if names.services().next().is_some() && !names.services().any(|wanted| wanted == name) {
            let message = format!(
                "{} (code that registers its services binds no other)",
                unknown("service", &name, names.services())
            );
            layers.error(&mut errors, &["services", &name], message);
        }
        let Some(kind) = kind_of(layers, kinds, &name, &mut errors) else {
            without_kind(layers, &name, &mut errors);
            continue;
        };
        if let Some(settings) = kind.judge(layers, &name, loader, &mut errors) {
            judged.push(Judged { kind: Arc::clone(kind), settings });
        }
    }
    errors.or((runtime, telemetry, judged))
}

fn runtime(layers: &Layers, errors: &mut ConfigErrors) -> RuntimeSettings {
    let scope = layers.section("runtime");
    let settings: RuntimeSettings = section(&scope, errors);
    if settings.event_buffer == 0 || settings.event_buffer > 1 << 20 {
        scope.error(errors, "event_buffer", "it must be from 1 to 1048576 events");
    }
    if settings.concurrent_reopens == 0 || settings.concurrent_reopens > MOST_CONNECTIONS {
        scope.error(errors, "concurrent_reopens", format!("it must be from 1 to {MOST_CONNECTIONS} pools"));
    }
    settings
}

fn section<T: Default + DeserializeOwned>(scope: &Scope, errors: &mut ConfigErrors) -> T {
    let mut reader = scope.reader(errors);
    let settings = reader.read().unwrap_or_default();
    reader.finish(&[]);
    settings
}

fn kind_of<'a>(
    layers: &Layers,
    kinds: &'a Kinds,
    name: &str,
    errors: &mut ConfigErrors,
) -> Option<&'a Arc<dyn Kind>> {
    let known = || kinds.keys().copied();
    let path = ["services", name, "kind"];
    let message = match layers.kind_of(name) {
        Some(kind) => match kinds.get(kind.as_str()) {
            Some(kind) => return Some(kind),
            None => format!("{} (kinds are made known by `Builder::kind`)", unknown("kind", &kind, known())),
        },
        None => {
            let known = known().map(|kind| format!("\"{kind}\"")).collect::<Vec<_>>().join(", ");
            let wrong = if layers.has(&path) { "is no text" } else { "is missing" };
            format!("`kind` {wrong}: say what kind of downstream it is, one of {known}")
        }
    };
    layers.error(errors, &path, message);
    None
}

/// Of a service without a kind, at least what does not depend on it is judged.
fn without_kind(layers: &Layers, name: &str, errors: &mut ConfigErrors) {
    let Ok(scope) = layers.service(name, "", "") else { return };
    let mut reader = scope.reader(errors);
    // A kind that is no text was complained about.
    let service = layers.kind_of(name).and_then(|_| reader.read::<ServiceSettings>());
    let defaults = reader.read::<CallSettings>();
    if let Some(service_settings) = &service {
        self::service(service_settings, &scope, errors);
    }
    if let Some(defaults) = &defaults {
        call(defaults, &scope, errors);
    }
}

/// What a service's settings must not say.
pub(super) fn service(settings: &ServiceSettings, scope: &Scope, errors: &mut ConfigErrors) {
    let pool = &settings.pool;
    let mut positive = |key: &str, time: Duration| {
        if time.is_zero() {
            scope.error(errors, key, "it must be longer than 0s");
        }
    };
    positive("connect_timeout", settings.connect_timeout);
    positive("pool.acquire_timeout", pool.acquire_timeout);
    positive("health.timeout", settings.health.timeout);
    if pool.max == 0 {
        scope.error(errors, "pool.max", "a pool of 0 connections can serve no call; it must be at least 1");
    }
    if pool.max > MOST_CONNECTIONS {
        let message =
            format!("{} connections are more than the {MOST_CONNECTIONS} a pool may have", pool.max);
        scope.error(errors, "pool.max", message);
    }
    if pool.min_idle > pool.max {
        scope.error_among(
            errors,
            &["pool.min_idle", "pool.max"],
            format!(
                "pool.min_idle = {} idle connections are more than pool.max = {} allows",
                pool.min_idle, pool.max
            ),
        );
    }
    if pool.connect_concurrency == 0 {
        scope.error(
            errors,
            "pool.connect_concurrency",
            "with 0 no connection could be made; it must be at least 1",
        );
    }
    if settings.health.failures == 0 {
        scope.error(errors, "health.failures", "it must be at least 1; `interval = \"0s\"` for no checks");
    }
    let restart = &settings.restart;
    at_most(
        scope,
        errors,
        ("restart.backoff", restart.backoff),
        ("restart.backoff_max", restart.backoff_max),
    );
}

/// Two durations of which the first must not be the longer one.
fn at_most(scope: &Scope, errors: &mut ConfigErrors, one: (&str, Duration), most: (&str, Duration)) {
    if one.1 > most.1 {
        let shown = humantime::format_duration;
        let message = format!("{} = {} is longer than {} = {}", one.0, shown(one.1), most.0, shown(most.1));
        scope.error_among(errors, &[one.0, most.0], message);
    }
}

/// What a call's settings must not say.
pub(super) fn call(settings: &CallSettings, scope: &Scope, errors: &mut ConfigErrors) {
    if settings.timeout.is_zero() {
        scope.error(errors, "timeout", "it must be longer than 0s: a call always has a deadline");
    }
    at_most(scope, errors, ("timeout", settings.timeout), ("max_timeout", settings.max_timeout));
    if settings.attempt_timeout.is_some_and(|attempt| attempt.is_zero()) {
        scope.error(
            errors,
            "attempt_timeout",
            "it must be longer than 0s, or false for what remains of the call",
        );
    }
    if let Some(bulkhead) = &settings.bulkhead
        && bulkhead.max_in_flight == 0
    {
        scope.error(errors, "bulkhead.max_in_flight", "with 0 no call could be made; it must be at least 1");
    }
    if let Some(retry) = &settings.retry
        && retry.attempts == 0
    {
        scope.error(
            errors,
            "retry.attempts",
            "it counts the first attempt too, so it must be at least 1; `retry = false` for no retry",
        );
    }
    if let Some(retry) = &settings.retry {
        at_most(scope, errors, ("retry.backoff", retry.backoff), ("retry.backoff_max", retry.backoff_max));
    }
    if let Some(breaker) = &settings.breaker {
        if breaker.buckets == 0 || breaker.buckets > 1000 {
            scope.error(errors, "breaker.buckets", "a window has from 1 to 1000 buckets");
        }
        if breaker.half_open_calls == 0 || breaker.half_open_calls > 1000 {
            scope.error(errors, "breaker.half_open_calls", "from 1 to 1000 probes find out whether to close");
        }
        if !breaker.reset_growth.is_finite() || breaker.reset_growth < 1.0 {
            scope.error(
                errors,
                "breaker.reset_growth",
                "it must be at least 1: 1 keeps the reset time as it is",
            );
        }
        if breaker.reset_timeout.is_zero() {
            scope.error(errors, "breaker.reset_timeout", "it must be longer than 0s");
        }
        at_most(
            scope,
            errors,
            ("breaker.reset_timeout", breaker.reset_timeout),
            ("breaker.reset_max", breaker.reset_max),
        );
        if breaker.half_open_timeout.is_zero() {
            scope.error(errors, "breaker.half_open_timeout", "it must be longer than 0s");
        }
    }
    if let Some(rate) = &settings.rate {
        for (key, calls) in [("rate.limit", rate.limit), ("rate.burst", rate.burst)] {
            if calls == 0 {
                scope.error(errors, key, "it must be at least 1; `rate = false` for no limit");
            }
        }
        if rate.per.is_zero() {
            scope.error(errors, "rate.per", "it must be longer than 0s");
        }
    }
}
