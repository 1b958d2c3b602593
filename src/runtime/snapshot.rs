use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Inner, Override,
    kind::Owning,
    tier_snapshot::{self, SharedSnapshot, TierSnapshot},
};
use crate::{
    call::Priority,
    downstream::{EndpointAddress, PoolFigures},
    policy::{
        breaker::BreakerSnapshot, bulkhead::BulkheadSnapshot, faults::FaultSettings, keys::KeysSnapshot,
        latency::Quantiles, throttle::ThrottleSnapshot,
    },
    service::{CallState, EndpointHealth, Injector, ScopePolicies, Table},
    telemetry::{AttemptResult, Injected, Lookup, Outcome, Try},
    units::Tick,
};

/// What a runtime is doing.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// `running`, `draining` or `stopped`.
    pub phase: &'static str,
    /// Calls under way, over all services.
    pub active: usize,
    /// How often settings were applied, the first time included.
    pub config_generation: u64,
    /// Reloads that were refused.
    pub reloads_refused: u64,
    /// Threads that were found blocked.
    pub threads_stalled: u64,
    /// Events that slow listeners lost.
    pub events_dropped: u64,
    /// Settings that code overrides, the oldest first.
    pub overrides: Vec<Override>,
    /// The memory tier.
    pub cache: CacheSnapshot,
    /// Every service, by name.
    pub services: Vec<ServiceSnapshot>,
}

/// What the memory tier holds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CacheSnapshot {
    /// Bytes held.
    pub bytes: u64,
    /// Bytes allowed.
    pub max_bytes: u64,
    /// Replies held.
    pub entries: usize,
}

/// What a service is doing.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// Whether none of its shards failed more often than is borne.
    pub up: bool,
    /// Where it points to, in the order of its settings.
    pub endpoints: Vec<EndpointSnapshot>,
    /// Its shards.
    pub shards: Vec<ShardSnapshot>,
    /// Its connections, if it has any.
    pub pool: Option<PoolSnapshot>,
    /// Its breaker, if it has one.
    pub breaker: Option<BreakerSnapshot>,
    /// Its bulkhead, if it has one.
    pub bulkhead: Option<BulkheadSnapshot>,
    /// Its throttle, if it has one.
    pub throttle: Option<ThrottleSnapshot>,
    /// What it is doing as a tier of other services', of a kind that can be one.
    pub tier: Option<TierSnapshot>,
    /// The keys that it was called with lately, if it was with any.
    pub keys: Option<KeysSnapshot>,
    /// Faults that are injected into all its calls but those with others, if any are.
    pub faults: Option<FaultSettings>,
    /// Faults injected so far.
    pub injected: InjectedSnapshot,
    /// What is left of its retry budget, from 0 to 1.
    pub retry_budget: Option<f64>,
    /// Loads for the cache that are under way.
    pub loads: usize,
    /// Calls sent with `do_send` that have not ended.
    pub unanswered: usize,
    /// Calls made outside of any context.
    pub context_missing: u64,
    /// Its calls, by name.
    pub calls: Vec<CallSnapshot>,
}

/// One endpoint of a service.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointSnapshot {
    /// Its address.
    pub name: EndpointAddress,
    /// What is known of it; `None` for a service's only one, of which the service's own figures tell.
    pub health: Option<EndpointHealth>,
}

/// What a service's connections are doing, over all its shards. Counts are since its settings last changed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PoolSnapshot {
    /// Connections that there may be.
    pub max: usize,
    /// Connections that are open.
    pub open: usize,
    /// Of these, how many wait for a request.
    pub idle: usize,
    /// Of these, how many serve one.
    pub in_use: usize,
    /// Requests that wait for a connection to come free.
    pub waiting: usize,
    /// Connections made.
    pub created: u64,
    /// Connections closed, by whomever.
    pub closed: u64,
    /// Requests that went over a connection that had served one before.
    pub reused: u64,
    /// Requests that found no connection free in time.
    pub timeouts: u64,
    /// How long those waited that found none free at once.
    pub wait: LatencySnapshot,
    /// How long connections took to make.
    pub create: LatencySnapshot,
}

/// One thread's shard of a service.
#[derive(Clone, Debug, Serialize)]
pub struct ShardSnapshot {
    /// The thread's name.
    pub thread: Arc<str>,
    /// `open`, `opening`, `restarting`, `failed`, `vacant` or `retired`.
    pub state: &'static str,
}

/// What a call has done.
#[derive(Clone, Debug, Serialize)]
pub struct CallSnapshot {
    /// Its name.
    pub name: &'static str,
    /// Answers from the downstream.
    pub fresh: u64,
    /// Answers from the cache.
    pub cached: u64,
    /// Answers from the cache, past their time.
    pub stale: u64,
    /// Answers from fallbacks.
    pub fallback: u64,
    /// Calls that failed.
    pub error: u64,
    /// Calls whose time ran out.
    pub timeout: u64,
    /// Calls that were refused.
    pub rejected: u64,
    /// Calls whose callers went away.
    pub cancelled: u64,
    /// Attempts made for it.
    pub attempts: u64,
    /// Look-ups in the cache that found nothing to serve.
    pub misses: u64,
    /// Loads for the cache.
    pub loads: u64,
    /// Callers who waited for another's load.
    pub coalesced: u64,
    /// What its shared tier came to, where it has one.
    pub shared: Option<SharedSnapshot>,
    /// Its hedges, where it is hedged.
    pub hedge: Option<HedgeSnapshot>,
    /// How long its calls took.
    pub latency: LatencySnapshot,
    /// Its own breaker, where it has one.
    pub breaker: Option<BreakerSnapshot>,
    /// Its own bulkhead, where it has one.
    pub bulkhead: Option<BulkheadSnapshot>,
    /// Its own throttle, where it has one.
    pub throttle: Option<ThrottleSnapshot>,
    /// Faults that are injected into it, its service's or its own.
    pub faults: Option<FaultSettings>,
}

/// What became of a call's hedges.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HedgeSnapshot {
    /// How long an attempt may take before it is hedged, in microseconds; `None` while too few were measured to tell.
    pub delay_us: Option<u64>,
    /// Hedges that ended, however they did.
    pub sent: u64,
    /// Those whose answer came first.
    pub won: u64,
}

/// How many attempts suffered on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InjectedSnapshot {
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that were made later.
    pub delayed: u64,
    /// Attempts that got no answer.
    pub hung: u64,
    /// Attempts that were refused.
    pub rejected: u64,
}

/// Quantiles of durations, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LatencySnapshot {
    /// Half took at most this long.
    pub p50_us: u64,
    /// 95 of 100 did.
    pub p95_us: u64,
    /// 99 of 100 did.
    pub p99_us: u64,
}

impl Snapshot {
    /// A service, by name.
    pub fn service(&self, name: &str) -> Option<&ServiceSnapshot> {
        self.services.iter().find(|service| &*service.name == name)
    }
}

impl ServiceSnapshot {
    /// A call, by name.
    pub fn call(&self, name: &str) -> Option<&CallSnapshot> {
        self.calls.iter().find(|call| call.name == name)
    }
}

impl CallSnapshot {
    /// Calls that ended, however they did.
    pub fn total(&self) -> u64 {
        self.answered() + self.failed() + self.cancelled
    }

    /// Calls that got an answer, wherever from.
    pub fn answered(&self) -> u64 {
        self.fresh + self.cached + self.stale + self.fallback
    }

    /// Calls that got an error.
    pub fn failed(&self) -> u64 {
        self.error + self.timeout + self.rejected
    }
}

pub(super) fn take(inner: &Inner) -> Snapshot {
    let environment = &inner.environment;
    let overrides = inner.in_force.lock().overrides();
    Snapshot {
        phase: environment.phase().word(),
        active: environment.active(),
        config_generation: environment.generation.get(),
        reloads_refused: environment.refused_reloads.get(),
        threads_stalled: environment.stalls.get(),
        events_dropped: environment.events.dropped(),
        overrides,
        cache: CacheSnapshot {
            bytes: environment.memory.bytes(),
            max_bytes: environment.memory.capacity(),
            entries: environment.memory.len(),
        },
        services: inner.services.read().values().map(|owned| service(&**owned)).collect(),
    }
}

fn service(owned: &dyn Owning) -> ServiceSnapshot {
    let state = owned.state();
    let now = state.environment.now();
    let table = state.table();
    let mut calls: Vec<_> = table.calls().map(|call| self::call(call, &table.shared)).collect();
    calls.sort_unstable_by_key(|call| call.name);
    ServiceSnapshot {
        name: Arc::clone(&state.name),
        kind: owned.kind(),
        up: state.is_up(),
        endpoints: endpoints(owned, &table, now),
        shards: owned.seats().into_iter().map(|(thread, state)| ShardSnapshot { thread, state }).collect(),
        pool: owned.pool().as_ref().map(pool),
        breaker: table.shared.breaker.as_ref().map(|guard| guard.breaker.snapshot(now)),
        bulkhead: table.shared.gate.as_ref().map(|gate| gate.snapshot()),
        throttle: table.shared.throttle.as_ref().map(|throttle| throttle.snapshot(now)),
        tier: tier_snapshot::of_service(state),
        keys: state.keyring().map(|keys| keys.snapshot()),
        faults: faults(&table.shared.faults),
        injected: InjectedSnapshot {
            failed: state.metrics.injections(Injected::Fail),
            delayed: state.metrics.injections(Injected::Delay),
            hung: state.metrics.injections(Injected::Hang),
            rejected: state.metrics.injections(Injected::Reject),
        },
        retry_budget: table.budget.as_ref().map(|budget| budget.left(now)),
        loads: state.flights.len(),
        unanswered: state.unanswered.load(std::sync::atomic::Ordering::Relaxed),
        context_missing: state.metrics.context_missing.get(),
        calls,
    }
}

fn endpoints(owned: &dyn Owning, table: &Table, now: Tick) -> Vec<EndpointSnapshot> {
    match &table.endpoints {
        Some(endpoints) => {
            let known = endpoints.snapshots(now).into_iter();
            known.map(|(name, health)| EndpointSnapshot { name, health: Some(health) }).collect()
        }
        None => {
            let names = owned.endpoints().into_iter();
            names.map(|name| EndpointSnapshot { name, health: None }).collect()
        }
    }
}

fn call(call: &CallState, shared: &ScopePolicies) -> CallSnapshot {
    let metrics = call.metrics();
    let now = call.environment.now();
    let [fresh, cached, stale, fallback, error, timeout, rejected, cancelled] =
        Outcome::ALL.map(|outcome| metrics.count(outcome));
    let own = call.has_own_breaker().then_some(call.breaker.as_ref()).flatten();
    let throttle = call.throttle.as_ref().filter(|own| {
        let shared = shared.throttle.as_ref();
        shared.is_none_or(|shared| !Arc::ptr_eq(own, shared))
    });
    CallSnapshot {
        name: call.name,
        fresh,
        cached,
        stale,
        fallback,
        error,
        timeout,
        rejected,
        cancelled,
        attempts: metrics.all_attempts(),
        misses: metrics.lookups(Lookup::Miss),
        loads: metrics.loads.get(),
        coalesced: metrics.coalesced.get(),
        shared: tier_snapshot::of_call(call),
        hedge: call.hedge.as_ref().map(|hedge| HedgeSnapshot {
            delay_us: hedge.delay(now).map(|delay| delay.as_micros() as u64),
            sent: AttemptResult::ALL.into_iter().map(|result| metrics.attempts(Try::Hedge, result)).sum(),
            won: metrics.attempts(Try::Hedge, AttemptResult::Success),
        }),
        latency: latency(call),
        breaker: own.map(|guard| guard.breaker.snapshot(now)),
        bulkhead: call.gates[1].as_ref().map(|gate| gate.snapshot()),
        throttle: throttle.map(|throttle| throttle.snapshot(now)),
        faults: faults(&call.faults),
    }
}

fn faults(injector: &Option<Arc<Injector>>) -> Option<FaultSettings> {
    injector.as_ref().map(|injector| injector.faults.settings().clone())
}

fn latency(call: &CallState) -> LatencySnapshot {
    let all = Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Cancelled);
    let histograms = all.flat_map(|outcome| {
        Priority::ALL.into_iter().filter_map(move |priority| call.metrics().duration(outcome, priority))
    });
    quantiles(&Quantiles::of(histograms))
}

fn quantiles(quantiles: &Quantiles) -> LatencySnapshot {
    let micros = |q| quantiles.at(q).unwrap_or(Duration::ZERO).as_micros() as u64;
    LatencySnapshot { p50_us: micros(0.5), p95_us: micros(0.95), p99_us: micros(0.99) }
}

fn pool(figures: &PoolFigures) -> PoolSnapshot {
    let times = |histogram: &Option<Arc<_>>| quantiles(&Quantiles::of(histogram.as_deref()));
    PoolSnapshot {
        max: figures.max,
        open: figures.open,
        idle: figures.idle,
        in_use: figures.open.saturating_sub(figures.idle),
        waiting: figures.waiting,
        created: figures.created,
        closed: figures.closed,
        reused: figures.reused,
        timeouts: figures.timeouts,
        wait: times(&figures.wait_time),
        create: times(&figures.create_time),
    }
}
