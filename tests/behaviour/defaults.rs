//! The defaults are a contract too.

use std::time::Duration;

use seawall::{
    policy::{budget::BudgetSettings, restart::RestartSettings, retry::RetrySettings},
    service::{CallSettings, RuntimeSettings, ServiceSettings, StartupMode},
    units::ByteSize,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_has_three_seconds_and_sixty_at_most() {
    let call = CallSettings::default();
    assert_eq!((call.timeout, call.max_timeout, call.attempt_timeout), (3 * SECOND, 60 * SECOND, None));
    assert_eq!(ServiceSettings::default().connect_timeout, 2 * SECOND);
}

#[test]
fn a_breaker_opens_at_half_and_for_thirty_seconds() {
    let breaker = CallSettings::default().breaker.expect("on by default");
    assert_eq!((breaker.error_threshold.get(), breaker.minimum_calls), (0.5, 10));
    assert_eq!((breaker.reset_timeout, breaker.reset_max), (30 * SECOND, 60 * SECOND));
}

#[test]
fn a_hundred_calls_are_in_flight_and_a_hundred_wait() {
    let bulkhead = CallSettings::default().bulkhead.expect("on by default");
    assert_eq!((bulkhead.max_in_flight, bulkhead.max_queue), (100, 100));
}

#[test]
fn a_call_is_tried_twice_within_a_budget_of_a_fifth() {
    let RetrySettings { attempts, backoff, backoff_max, .. } =
        CallSettings::default().retry.expect("on by default");
    assert_eq!((attempts, backoff, backoff_max), (2, Duration::from_millis(50), SECOND));
    let BudgetSettings { ratio, minimum_per_second, window } =
        ServiceSettings::default().retry_budget.expect("on by default");
    assert_eq!((ratio.get(), minimum_per_second, window), (0.2, 10, 10 * SECOND));
}

#[test]
fn a_reply_is_kept_for_five_minutes_and_five_more_for_errors() {
    let cache = CallSettings::default().cache.expect("on by default");
    assert_eq!((cache.ttl, cache.stale_if_error, cache.jitter.get()), (300 * SECOND, 300 * SECOND, 0.1));
    assert_eq!(RuntimeSettings::default().cache_max_bytes, ByteSize::mib(64));
}

#[test]
fn a_pool_has_twenty_connections() {
    let pool = ServiceSettings::default().pool;
    assert_eq!((pool.max, pool.idle_timeout, pool.acquire_timeout), (20, 30 * SECOND, 2 * SECOND));
    assert_eq!(pool.lifetime, 1800 * SECOND);
}

#[test]
fn a_service_is_restarted_five_times_a_minute() {
    let RestartSettings { backoff, backoff_max, intensity, window } = ServiceSettings::default().restart;
    assert_eq!((backoff, backoff_max), (Duration::from_millis(100), 30 * SECOND));
    assert_eq!((intensity, window), (5, 60 * SECOND));
    let runtime = RuntimeSettings::default();
    assert_eq!((runtime.concurrent_reopens, runtime.drain, runtime.watchdog), (2, 30 * SECOND, SECOND));
}

#[test]
fn what_is_off_unless_asked_for() {
    assert!(CallSettings::default().rate.is_none());
    assert!(CallSettings::default().breaker.is_some_and(|breaker| breaker.slow_call.is_none()));
    assert!(ServiceSettings::default().health.interval.is_zero());
    assert_eq!(ServiceSettings::default().startup.mode, StartupMode::Background);
}
