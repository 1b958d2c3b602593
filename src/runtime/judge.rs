//! Judges what settings say: types are the reader's to check, sense is checked here.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{
    builder::Loader,
    kind::{Kind, Kinds, Settings},
};
use crate::{
    config::{ConfigErrors, Layers, Scope},
    service::{CallSettings, RuntimeSettings, ServiceSettings, TelemetrySettings},
};

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
    for kind in layers.kinds() {
        if !kinds.contains_key(kind.as_str()) {
            let message = crate::config::unknown("kind", &kind, kinds.keys().copied());
            layers.error(&mut errors, &["kinds", &kind], message);
        }
    }
    let mut judged = Vec::new();
    for name in layers.services() {
        let Some(kind) = kind_of(layers, kinds, &name, &mut errors) else { continue };
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
    let known = || kinds.keys().copied().collect::<Vec<_>>().join(", ");
    // A service without a kind is read as one that has nothing of its own, to say where it stands.
    let complain = |errors: &mut ConfigErrors, message: String| match layers.service(name, "", "") {
        Ok(scope) => scope.error(errors, "kind", message),
        Err(_) => errors.add("", format!("services.{name}.kind"), message),
    };
    match layers.kind_of(name) {
        None => {
            complain(
                errors,
                format!("`kind` is missing: say what kind of downstream it is, one of {}", known()),
            );
            None
        }
        Some(kind) => match kinds.get(kind.as_str()) {
            Some(kind) => Some(kind),
            None => {
                complain(
                    errors,
                    format!(
                        "no kind `{kind}` is known; known are {}: register it with `Builder::kind`",
                        known()
                    ),
                );
                None
            }
        },
    }
}

/// What a service's settings must not say.
pub(super) fn service(settings: &ServiceSettings, scope: &Scope, errors: &mut ConfigErrors) {
    let pool = &settings.pool;
    if pool.max == 0 {
        scope.error(errors, "pool.max", "a pool of 0 connections can serve no call; it must be at least 1");
    }
    if pool.min_idle > pool.max {
        scope.error(
            errors,
            "pool.min_idle",
            format!("{} idle connections are more than pool.max = {}", pool.min_idle, pool.max),
        );
    }
    if pool.connect_concurrency == 0 {
        scope.error(
            errors,
            "pool.connect_concurrency",
            "with 0 no connection could be made; it must be at least 1",
        );
    }
    if pool.acquire_timeout.is_zero() {
        scope.error(errors, "pool.acquire_timeout", "it must be longer than 0s");
    }
    if settings.connect_timeout.is_zero() {
        scope.error(errors, "connect_timeout", "it must be longer than 0s");
    }
    if settings.restart.backoff > settings.restart.backoff_max {
        scope.error(errors, "restart.backoff", "it is longer than restart.backoff_max");
    }
}

/// What a call's settings must not say.
pub(super) fn call(settings: &CallSettings, scope: &Scope, errors: &mut ConfigErrors) {
    if settings.timeout.is_zero() {
        scope.error(errors, "timeout", "it must be longer than 0s: a call always has a deadline");
    }
    if settings.timeout > settings.max_timeout {
        let (timeout, max) = (settings.timeout, settings.max_timeout);
        scope.error(
            errors,
            "timeout",
            format!("{timeout:?} is longer than max_timeout = {max:?}, which caps it"),
        );
    }
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
    }
    if let Some(rate) = &settings.rate {
        if rate.limit == 0 || rate.burst == 0 {
            scope.error(
                errors,
                "rate.limit",
                "limit and burst must be at least 1; `rate = false` for no limit",
            );
        }
        if rate.per.is_zero() {
            scope.error(errors, "rate.per", "it must be longer than 0s");
        }
    }
}
