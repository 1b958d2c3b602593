//! The names of metrics and spans: a public contract. With dots as OpenTelemetry writes them; Prometheus has
//! underscores, and the suffix of the unit.

/// Histogram, seconds: whole calls. Labels: service, call, outcome, origin, priority.
pub const CALL_DURATION: &str = "seawall.call.duration";
/// Counter: fallbacks given. Labels: service, call, source, reason.
pub const CALL_FALLBACKS: &str = "seawall.call.fallbacks";
/// Histogram, seconds: single attempts. Labels: service, call, try, result.
pub const ATTEMPT_DURATION: &str = "seawall.attempt.duration";
/// Counter: refused calls. Labels: service, policy, mode, priority.
pub const REJECTIONS: &str = "seawall.rejections";
/// Histogram, seconds: waiting in the bulkhead's queue. Labels: service.
pub const QUEUE_WAIT: &str = "seawall.queue.wait";
/// Gauge: calls waiting in the bulkhead's queue. Labels: service.
pub const QUEUE_LENGTH: &str = "seawall.queue.length";
/// Gauge: attempts in flight. Labels: service.
pub const IN_FLIGHT: &str = "seawall.in_flight";
/// Gauge: attempts that may be in flight. Labels: service.
pub const LIMIT: &str = "seawall.limit";
/// Gauge: 1 for the state the breaker is in, 0 for the others; of endpoints' breakers, which have the scope `endpoint`, how
/// many are in it. Labels: service, scope, state.
pub const BREAKER_STATE: &str = "seawall.breaker.state";
/// Counter: changes of the breaker's state. Labels: service, from, to, cause.
pub const BREAKER_TRANSITIONS: &str = "seawall.breaker.transitions";
/// Gauge, 0 to 1: failures over outcomes in the breaker's window. Labels: service, scope.
pub const BREAKER_ERROR_RATIO: &str = "seawall.breaker.error_ratio";
/// Gauge: endpoints that are ejected, of services that have several. Labels: service.
pub const ENDPOINT_EJECTED: &str = "seawall.endpoint.ejected";
/// Gauge, 0 to 1: what is left of the retry budget. Labels: service.
pub const RETRY_BUDGET: &str = "seawall.retry.budget";
/// Counter: look-ups of calls that may be cached. Labels: service, call, tier, result.
pub const CACHE_LOOKUPS: &str = "seawall.cache.lookups";
/// Counter: loads for the cache. Labels: service, call.
pub const CACHE_LOADS: &str = "seawall.cache.loads";
/// Counter: callers who waited for another's load. Labels: service, call.
pub const CACHE_COALESCED: &str = "seawall.cache.coalesced";
/// Counter: replies that had to make room for others.
pub const CACHE_EVICTIONS: &str = "seawall.cache.evictions";
/// Gauge: bytes in the memory tier.
pub const CACHE_BYTES: &str = "seawall.cache.bytes";
/// Gauge: a kind's connections. Labels: service, state (idle or used).
pub const POOL_COUNT: &str = "db.client.connection.count";
/// Gauge: connections that there may be. Labels: service.
pub const POOL_MAX: &str = "db.client.connection.max";
/// Gauge: requests that wait for a connection. Labels: service.
pub const POOL_PENDING: &str = "db.client.connection.pending_requests";
/// Counter: requests that found no connection free in time. Labels: service.
pub const POOL_TIMEOUTS: &str = "db.client.connection.timeouts";
/// Histogram, seconds: making a connection. Labels: service.
pub const POOL_CREATE_TIME: &str = "db.client.connection.create_time";
/// Histogram, seconds: waiting for a connection, of those requests that found none free at once. Labels: service.
pub const POOL_WAIT_TIME: &str = "db.client.connection.wait_time";
/// Counter: shards restarted. Labels: service, cause.
pub const RESTARTS: &str = "seawall.restarts";
/// Gauge: 1 unless the service is failed. Labels: service.
pub const SERVICE_UP: &str = "seawall.service.up";
/// Counter: threads found blocked.
pub const THREAD_STALLED: &str = "seawall.thread.stalled";
/// Counter: events that slow listeners lost.
pub const EVENTS_DROPPED: &str = "seawall.events.dropped";
/// Counter: calls made outside of any context. Labels: service.
pub const CONTEXT_MISSING: &str = "seawall.context.missing";
/// Gauge: how often settings were applied, the first time included.
pub const CONFIG_GENERATION: &str = "seawall.config.generation";
/// Gauge: overrides in force.
pub const CONFIG_OVERRIDES: &str = "seawall.config.overrides";
/// Gauge: 1 while faults are injected into a service or one of its calls. Labels: service.
pub const FAULTS_ON: &str = "seawall.faults.on";
/// Counter: faults injected. Labels: service, fault.
pub const FAULTS_INJECTED: &str = "seawall.faults.injected";
/// Counter: reloads that were refused.
pub const CONFIG_RELOAD_FAILED: &str = "seawall.config.reload.failed";

/// The span of a whole call.
pub const CALL_SPAN: &str = "seawall.call";
/// The span of one attempt.
pub const ATTEMPT_SPAN: &str = "seawall.attempt";

/// The labels that metrics have of their own.
pub(crate) const LABELS: [&str; 19] = [
    "call", "cause", "fault", "from", "le", "mode", "origin", "outcome", "policy", "priority", "reason",
    "result", "scope", "service", "source", "state", "tier", "to", "try",
];
