//! Values that are right alone, and make no sense.

use insta::assert_snapshot;

use crate::support::{USERS, refused, users_refused};

#[test]
fn timeout_over_its_cap() {
    assert_snapshot!(users_refused("timeout = \"90s\""), @r#"
        the settings have an error:
          settings:5:1: services.users.timeout: timeout = 1m 30s is longer than max_timeout = 1m
        "#);
}

#[test]
fn cap_below_a_default() {
    assert_snapshot!(users_refused("max_timeout = \"1s\""), @r#"
        the settings have an error:
          settings:5:1: services.users.max_timeout: timeout = 4s is longer than max_timeout = 1s
        "#);
}

#[test]
fn cap_of_a_call_below_its_service() {
    let settings = "timeout = \"5s\"\n[services.users.calls.Read]\nmax_timeout = \"2s\"";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have an error:
          settings:7:1: services.users.calls.Read.max_timeout: timeout = 5s is longer than max_timeout = 2s
        "#);
}

#[test]
fn no_time_at_all() {
    let settings = "timeout = \"0s\"\nattempt_timeout = \"0s\"\nconnect_timeout = \"0s\"";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors:
          settings:5:1: services.users.timeout: it must be longer than 0s: a call always has a deadline
          settings:6:1: services.users.attempt_timeout: it must be longer than 0s, or false for what remains of the call
          settings:7:1: services.users.connect_timeout: it must be longer than 0s
        "#);
}

#[test]
fn pool_of_nothing() {
    assert_snapshot!(users_refused("pool = { max = 0, connect_concurrency = 0 }"), @r#"
        the settings have 2 errors:
          settings:5:10: services.users.pool.max: a pool of 0 connections can serve no call; it must be at least 1
          settings:5:19: services.users.pool.connect_concurrency: with 0 no connection could be made; it must be at least 1
        "#);
}

#[test]
fn pool_too_large() {
    assert_snapshot!(users_refused("pool = { max = 9223372036854775807 }"), @r#"
        the settings have an error:
          settings:5:10: services.users.pool.max: 9223372036854775807 connections are more than the 1048576 a pool may have
        "#);
}

#[test]
fn more_idle_than_there_are() {
    assert_snapshot!(users_refused("pool = { min_idle = 30 }"), @r#"
        the settings have an error:
          settings:5:10: services.users.pool.min_idle: pool.min_idle = 30 idle connections are more than pool.max = 20 allows
        "#);
}

#[test]
fn nothing_in_flight() {
    assert_snapshot!(users_refused("bulkhead = { max_in_flight = 0 }"), @r#"
        the settings have an error:
          settings:5:14: services.users.bulkhead.max_in_flight: with 0 no call could be made; it must be at least 1
        "#);
}

#[test]
fn retry_without_attempts() {
    assert_snapshot!(users_refused("retry = { attempts = 0, backoff = \"10s\" }"), @r#"
        the settings have 2 errors:
          settings:5:11: services.users.retry.attempts: it counts the first attempt too, so it must be at least 1; `retry = false` for no retry
          settings:5:25: services.users.retry.backoff: retry.backoff = 10s is longer than retry.backoff_max = 1s
        "#);
}

#[test]
fn breaker_that_cannot_be() {
    let settings =
        "breaker = { buckets = 0, half_open_calls = 0, reset_growth = 0.5, reset_timeout = \"2m\" }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 4 errors:
          settings:5:13: services.users.breaker.buckets: a window has from 1 to 1000 buckets
          settings:5:26: services.users.breaker.half_open_calls: from 1 to 1000 probes find out whether to close
          settings:5:47: services.users.breaker.reset_growth: it must be at least 1: 1 keeps the reset time as it is
          settings:5:67: services.users.breaker.reset_timeout: breaker.reset_timeout = 2m is longer than breaker.reset_max = 1m
        "#);
}

#[test]
fn rate_of_nothing() {
    assert_snapshot!(users_refused("rate = { limit = 0, burst = 0, per = \"0s\" }"), @r#"
        the settings have 3 errors:
          settings:5:10: services.users.rate.limit: it must be at least 1; `rate = false` for no limit
          settings:5:21: services.users.rate.burst: it must be at least 1; `rate = false` for no limit
          settings:5:32: services.users.rate.per: it must be longer than 0s
        "#);
}

#[test]
fn health_and_restart() {
    let settings = "health = { timeout = \"0s\", failures = 0 }\nrestart = { backoff = \"1m\" }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors:
          settings:5:12: services.users.health.timeout: it must be longer than 0s
          settings:5:28: services.users.health.failures: it must be at least 1; `interval = "0s"` for no checks
          settings:6:13: services.users.restart.backoff: restart.backoff = 1m is longer than restart.backoff_max = 30s
        "#);
}

#[test]
fn runtime_that_cannot_be() {
    assert_snapshot!(refused("[runtime]\nevent_buffer = 0\nconcurrent_reopens = 9223372036854775807"), @r#"
        the settings have 2 errors:
          settings:2:1: runtime.event_buffer: it must be from 1 to 1048576 events
          settings:3:1: runtime.concurrent_reopens: it must be from 1 to 1048576 pools
        "#);
}

#[test]
fn contradiction_in_defaults_is_told_once() {
    let second = USERS.replace("users", "orders");
    assert_snapshot!(refused(format!("[defaults]\nretry = {{ attempts = 0 }}\n{USERS}{second}")), @r#"
        the settings have an error:
          settings:2:11: defaults.retry.attempts: it counts the first attempt too, so it must be at least 1; `retry = false` for no retry
        "#);
}
