//! What settings must not say, though each value by itself is right.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    config::{ConfigErrors, Layers, Scope},
    downstream::EndpointAddress,
    policy::{
        MOST_ENDPOINTS,
        adaptive::AdaptiveSettings,
        bulkhead::BulkheadSettings,
        hedge::Delay,
        keys::{KeyedSettings, MOST_KEYS},
    },
    service::{CallSettings, RuntimeSettings, ServiceSettings, TelemetrySettings},
    telemetry::names::LABELS,
    units::Ratio,
};

/// The most connections, or pools, that settings may ask for at once: more is a mistake, and no semaphore counts it.
pub(super) const MOST_CONNECTIONS: usize = 1 << 20;

/// The most hedges that one call may have under way.
const MOST_HEDGES: u32 = 10;

/// Whether what services inherit makes sense as it is: one that adds nothing has it so.
pub(super) fn inherited(
    settings: Option<&ServiceSettings>,
    calls: Option<&CallSettings>,
    layers: &Layers,
    scope: &Scope,
    errors: &mut ConfigErrors,
) {
    if let Some(settings) = settings {
        service(settings, scope, errors);
    }
    if let Some(calls) = calls {
        call(calls, scope, errors);
        faults(calls, layers, scope, errors);
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
    for (name, most) in [("pool.max", pool.max), ("pool.max_idle", pool.max_idle)] {
        if pool.min_idle > most {
            scope.error_among(
                errors,
                &["pool.min_idle", name],
                format!(
                    "pool.min_idle = {} idle connections are more than {name} = {most} allows",
                    pool.min_idle
                ),
            );
            break;
        }
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
    balance(settings, scope, errors);
    if let Some(keyed) = &settings.keyed {
        keys(keyed, scope, errors);
    }
    let restart = &settings.restart;
    at_most(
        scope,
        errors,
        ("restart.backoff", restart.backoff),
        ("restart.backoff_max", restart.backoff_max),
    );
}

/// What is said of telemetry must not be.
pub(super) fn telemetry(settings: &TelemetrySettings, scope: &Scope, errors: &mut ConfigErrors) {
    let TelemetrySettings { histogram, labels, .. } = settings;
    at_most(scope, errors, ("histogram.lowest", histogram.lowest), ("histogram.highest", histogram.highest));
    if labels.len() > MOST_LABELS {
        let message = format!("{} labels are more than the {MOST_LABELS} that there may be", labels.len());
        scope.error(errors, "labels", message);
    }
    for (name, value) in labels {
        let key = format!("labels.{name}");
        let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            scope.error(errors, &key, "a label's name has letters, digits and `_`, and begins with no digit");
        } else if LABELS.contains(&name.as_str()) {
            scope.error(
                errors,
                &key,
                format!("metrics have a label `{name}` of their own; name it differently"),
            );
        }
        if value.len() > LONGEST_LABEL {
            let message = format!("its {} bytes are more than the {LONGEST_LABEL} of a label", value.len());
            scope.error(errors, &key, message);
        }
    }
}

/// The most labels that all metrics may carry, and the most bytes of one.
const MOST_LABELS: usize = 16;
const LONGEST_LABEL: usize = 128;

/// What a service's endpoints must not be.
pub(super) fn endpoints(addresses: &[EndpointAddress], scope: &Scope, errors: &mut ConfigErrors) {
    if addresses.len() > MOST_ENDPOINTS {
        let message =
            format!("{} endpoints are more than the {MOST_ENDPOINTS} a service may have", addresses.len());
        scope.error(errors, "kind", message);
    }
    let mut known = BTreeSet::new();
    for address in addresses {
        if !known.insert(address.as_str()) {
            scope.error(errors, "kind", format!("its endpoint {address} is there twice"));
        }
    }
}

/// What the spreading over several endpoints must not be.
fn balance(settings: &ServiceSettings, scope: &Scope, errors: &mut ConfigErrors) {
    let mut positive = |key: &str, time: Duration| {
        if time.is_zero() {
            scope.error(errors, key, "it must be longer than 0s");
        }
    };
    positive("balance.decay", settings.balance.decay);
    positive("balance.default_rtt", settings.balance.default_rtt);
    let Some(outlier) = &settings.outlier else { return };
    positive("outlier.window", outlier.window);
    positive("outlier.eject", outlier.eject);
    at_most(scope, errors, ("outlier.eject", outlier.eject), ("outlier.eject_max", outlier.eject_max));
}

/// What is said of keys must not be.
fn keys(keyed: &KeyedSettings, scope: &Scope, errors: &mut ConfigErrors) {
    if keyed.max == 0 || keyed.max > MOST_KEYS {
        let message = format!("from 1 to {MOST_KEYS} keys are known at once; `keyed = false` for none");
        scope.error(errors, "keyed.max", message);
    }
    if keyed.idle.is_zero() {
        scope.error(errors, "keyed.idle", "it must be longer than 0s");
    }
    if keyed.bulkhead.as_ref().is_some_and(|bulkhead| bulkhead.max_in_flight == 0) {
        let message = "with 0 no call could be made; it must be at least 1";
        scope.error(errors, "keyed.bulkhead.max_in_flight", message);
    }
    if let Some(rate) = &keyed.rate {
        for (key, calls) in [("keyed.rate.limit", rate.limit), ("keyed.rate.burst", rate.burst)] {
            if calls == 0 {
                scope.error(errors, key, "it must be at least 1; `keyed.rate = false` for no limit");
            }
        }
        if rate.per.is_zero() {
            scope.error(errors, "keyed.rate.per", "it must be longer than 0s");
        }
    }
}

/// Two durations of which the first must not be the longer one.
fn at_most(scope: &Scope, errors: &mut ConfigErrors, one: (&str, Duration), most: (&str, Duration)) {
    if one.1 > most.1 {
        let shown = humantime::format_duration;
        let message = format!("{} = {} is longer than {} = {}", one.0, shown(one.1), most.0, shown(most.1));
        scope.error_among(errors, &[one.0, most.0], message);
    }
}

fn bulkhead(settings: &BulkheadSettings, scope: &Scope, errors: &mut ConfigErrors) {
    if settings.max_in_flight == 0 {
        scope.error(errors, "bulkhead.max_in_flight", "with 0 no call could be made; it must be at least 1");
    }
    if let Some(codel) = &settings.codel {
        if codel.interval.is_zero() {
            scope.error(
                errors,
                "bulkhead.codel.interval",
                "it must be longer than 0s; `codel = false` for a queue that is served by arrival",
            );
        }
        at_most(
            scope,
            errors,
            ("bulkhead.codel.target", codel.target),
            ("bulkhead.codel.interval", codel.interval),
        );
    }
    let Some(adaptive) = &settings.adaptive else { return };
    let AdaptiveSettings { initial, min, max, tolerance, .. } = *adaptive;
    if min == 0 {
        let message = "with 0 nothing could be measured; it must be at least 1";
        scope.error(errors, "bulkhead.adaptive.min", message);
    }
    if min > max {
        scope.error_among(
            errors,
            &["bulkhead.adaptive.min", "bulkhead.adaptive.max"],
            format!("bulkhead.adaptive.min = {min} calls are more than bulkhead.adaptive.max = {max}"),
        );
    }
    // One that is not written starts as near to its default as the bounds allow.
    if scope.is_written("bulkhead.adaptive.initial") && min <= max && !(min..=max).contains(&initial) {
        scope.error(
            errors,
            "bulkhead.adaptive.initial",
            format!("{initial} is not from bulkhead.adaptive.min = {min} to bulkhead.adaptive.max = {max}"),
        );
    }
    if !tolerance.is_finite() || tolerance < 1.0 {
        scope.error(
            errors,
            "bulkhead.adaptive.tolerance",
            "it must be at least 1: below, calls that take as long as ever would shrink the limit",
        );
    }
}

/// A breaker that waits for a health check needs one that comes. `interval` is the service's from one to the next.
pub(super) fn health_gate(
    settings: &CallSettings,
    interval: Duration,
    scope: &Scope,
    errors: &mut ConfigErrors,
) {
    if interval.is_zero() && settings.breaker.as_ref().is_some_and(|breaker| breaker.health_gate) {
        scope.error_among(
            errors,
            &["breaker.health_gate", "health.interval"],
            "breaker.health_gate waits for a health check that is well, and health.interval = 0s says that there is \
             none: once open it would never close; set health.interval, for example to 5s",
        );
    }
}

/// What a call's settings should not say, though they may: each as a key and what comes of it.
pub(super) fn doubts(settings: &CallSettings) -> Vec<(&'static str, String)> {
    let mut doubts = Vec::new();
    let one_try = settings.attempt_timeout.map_or(settings.timeout, |attempt| attempt.min(settings.timeout));
    if let Some(breaker) = &settings.breaker
        && breaker.half_open_timeout < one_try
    {
        let shown = humantime::format_duration;
        doubts.push((
            "breaker.half_open_timeout",
            format!(
                "a probe is given up after half_open_timeout = {}, though it may take {}: one that succeeds later \
                 closes nothing, and another is sent beside it; raise it to that at least",
                shown(breaker.half_open_timeout),
                shown(one_try)
            ),
        ));
    }
    doubts
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
    if let Some(bulkhead) = &settings.bulkhead {
        self::bulkhead(bulkhead, scope, errors);
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
    if let Some(eagerly) = settings.cache.as_ref().and_then(|cache| cache.early_refresh)
        && !(eagerly.is_finite() && eagerly > 0.0)
    {
        let message = "it must be more than 0; `early_refresh = false` for none";
        scope.error(errors, "cache.early_refresh", message);
    }
    if let Some(tier) = settings.cache.as_ref().and_then(|cache| cache.shared.as_ref()) {
        if tier.budget.is_zero() {
            let message = "in 0s no look-up is answered; `shared = false` for no tier";
            scope.error(errors, "cache.shared.budget", message);
        }
        if tier.lease.is_zero() {
            scope.error(errors, "cache.shared.lease", "it must be longer than 0s: every process would load");
        }
    }
    if let Some(throttle) = &settings.throttle {
        if !throttle.factor.is_finite() || throttle.factor < 1.0 {
            let message =
                "it must be at least 1: below that, calls are refused of which the downstream takes all";
            scope.error(errors, "throttle.factor", message);
        }
        if throttle.window.is_zero() {
            scope.error(errors, "throttle.window", "it must be longer than 0s");
        }
        if throttle.max_rejected == Ratio::NONE {
            let message = "with 0% it refuses nothing; `throttle = false` turns it off";
            scope.error(errors, "throttle.max_rejected", message);
        }
    }
    if let Some(hedge) = &settings.hedge {
        if hedge.delay == Delay::Fixed(Duration::ZERO) {
            let message = "it must be longer than 0s: every call would be made twice";
            scope.error(errors, "hedge.delay", message);
        }
        if hedge.attempts == 0 || hedge.attempts > MOST_HEDGES {
            let message =
                format!("a call is hedged from 1 to {MOST_HEDGES} times; `hedge = false` for never");
            scope.error(errors, "hedge.attempts", message);
        }
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

/// What must not be said of faults on purpose, least of all where nobody allowed them.
pub(super) fn faults(settings: &CallSettings, layers: &Layers, scope: &Scope, errors: &mut ConfigErrors) {
    let Some(faults) = &settings.faults else { return };
    // A hair's breadth for what decimal shares add up to.
    if faults.shares() > 1.0 + 1e-9 {
        let message = format!(
            "faults.reject = {}, hang = {} and fail = {} are shares of all attempts, and together more than all",
            faults.reject, faults.hang, faults.fail
        );
        scope.error_among(errors, &["faults.reject", "faults.hang", "faults.fail"], message);
    }
    // What is wrong with `[runtime]` itself is told by whoever reads it.
    let section = layers.section("runtime");
    let mut told = ConfigErrors::new();
    let runtime: Option<RuntimeSettings> = section.reader(&mut told).read();
    if !runtime.is_some_and(|runtime| runtime.allow_faults) {
        scope.error(
            errors,
            "faults",
            "faults make calls fail on purpose, so they are refused unless `allow_faults = true` stands in [runtime]; \
             say that where they are meant, and nowhere else",
        );
    }
}
