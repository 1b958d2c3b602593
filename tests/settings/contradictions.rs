//! Values that are right alone, and make no sense.

use insta::assert_snapshot;

use crate::support::{USERS, explained, refused, users_refused};

#[test]
fn timeout_over_its_cap() {
    assert_snapshot!(users_refused("timeout = \"90s\""), @r#"
        the settings have an error
        error: timeout = 1m 30s is longer than max_timeout = 1m
          --> settings:5:1: services.users.timeout
        "#);
}

#[test]
fn cap_below_a_default() {
    assert_snapshot!(users_refused("max_timeout = \"1s\""), @r#"
        the settings have an error
        error: timeout = 4s is longer than max_timeout = 1s
          --> settings:5:1: services.users.max_timeout
        "#);
}

#[test]
fn cap_of_a_call_below_its_service() {
    let settings = "timeout = \"5s\"\n[services.users.calls.Read]\nmax_timeout = \"2s\"";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have an error
        error: timeout = 5s is longer than max_timeout = 2s
          --> settings:7:1: services.users.calls.Read.max_timeout
        "#);
}

#[test]
fn no_time_at_all() {
    let settings = "timeout = \"0s\"\nattempt_timeout = \"0s\"\nconnect_timeout = \"0s\"";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors
        error: it must be longer than 0s: a call always has a deadline
          --> settings:5:1: services.users.timeout
        error: it must be longer than 0s, or false for what remains of the call
          --> settings:6:1: services.users.attempt_timeout
        error: it must be longer than 0s
          --> settings:7:1: services.users.connect_timeout
        "#);
}

#[test]
fn pool_of_nothing() {
    assert_snapshot!(users_refused("pool = { max = 0, connect_concurrency = 0 }"), @r#"
        the settings have 2 errors
        error: a pool of 0 connections can serve no call; it must be at least 1
          --> settings:5:10: services.users.pool.max
        error: with 0 no connection could be made; it must be at least 1
          --> settings:5:19: services.users.pool.connect_concurrency
        "#);
}

#[test]
fn pool_too_large() {
    assert_snapshot!(users_refused("pool = { max = 9223372036854775807 }"), @r#"
        the settings have an error
        error: 9223372036854775807 connections are more than the 1048576 a pool may have
          --> settings:5:10: services.users.pool.max
        "#);
}

#[test]
fn more_idle_than_there_are() {
    assert_snapshot!(users_refused("pool = { min_idle = 30 }"), @r#"
        the settings have an error
        error: pool.min_idle = 30 idle connections are more than pool.max = 20 allows
          --> settings:5:10: services.users.pool.min_idle
        "#);
    assert_snapshot!(users_refused("pool = { max = 50, min_idle = 30 }"), @r#"
        the settings have an error
        error: pool.min_idle = 30 idle connections are more than pool.max_idle = 20 allows
          --> settings:5:20: services.users.pool.min_idle
        "#);
}

#[test]
fn nothing_in_flight() {
    assert_snapshot!(users_refused("bulkhead = { max_in_flight = 0 }"), @r#"
        the settings have an error
        error: with 0 no call could be made; it must be at least 1
          --> settings:5:14: services.users.bulkhead.max_in_flight
        "#);
}

#[test]
fn retry_without_attempts() {
    assert_snapshot!(users_refused("retry = { attempts = 0, backoff = \"10s\" }"), @r#"
        the settings have 2 errors
        error: it counts the first attempt too, so it must be at least 1; `retry = false` for no retry
          --> settings:5:11: services.users.retry.attempts
        error: retry.backoff = 10s is longer than retry.backoff_max = 1s
          --> settings:5:25: services.users.retry.backoff
        "#);
}

#[test]
fn breaker_that_cannot_be() {
    let settings =
        "breaker = { buckets = 0, half_open_calls = 0, reset_growth = 0.5, reset_timeout = \"2m\" }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 4 errors
        error: a window has from 1 to 1000 buckets
          --> settings:5:13: services.users.breaker.buckets
        error: from 1 to 1000 probes find out whether to close
          --> settings:5:26: services.users.breaker.half_open_calls
        error: it must be at least 1: 1 keeps the reset time as it is
          --> settings:5:47: services.users.breaker.reset_growth
        error: breaker.reset_timeout = 2m is longer than breaker.reset_max = 1m
          --> settings:5:67: services.users.breaker.reset_timeout
        "#);
}

#[test]
fn rate_of_nothing() {
    assert_snapshot!(users_refused("rate = { limit = 0, burst = 0, per = \"0s\" }"), @r#"
        the settings have 3 errors
        error: it must be at least 1; `rate = false` for no limit
          --> settings:5:10: services.users.rate.limit
        error: it must be at least 1; `rate = false` for no limit
          --> settings:5:21: services.users.rate.burst
        error: it must be longer than 0s
          --> settings:5:32: services.users.rate.per
        "#);
}

#[test]
fn health_and_restart() {
    let settings = "health = { timeout = \"0s\", failures = 0 }\nrestart = { backoff = \"1m\" }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors
        error: it must be longer than 0s
          --> settings:5:12: services.users.health.timeout
        error: it must be at least 1; `interval = "0s"` for no checks
          --> settings:5:28: services.users.health.failures
        error: restart.backoff = 1m is longer than restart.backoff_max = 30s
          --> settings:6:13: services.users.restart.backoff
        "#);
}

#[test]
fn health_gate_without_checks() {
    let settings = "breaker = { health_gate = true }\nhealth.interval = \"0s\"\n[services.users.calls.Read]\nbreaker.ramp = \"1s\"";
    assert_snapshot!(users_refused(settings), @"
        the settings have an error
        error: breaker.health_gate waits for a health check that is well, and health.interval = 0s says that there is none: once open it would never close; set health.interval, for example to 5s
          --> settings:5:13: services.users.breaker.health_gate
        ");
}

#[test]
fn what_is_allowed_and_hardly_meant_is_a_warning() {
    let settings = "timeout = \"20s\"\n[services.users.calls.Read]\nattempt_timeout = \"5s\"\n\
                    [services.users.calls.Write]\nbreaker.half_open_timeout = \"1s\"";
    assert_snapshot!(explained(settings, &["warning", "-->"]), @"
        warning: a probe is given up after half_open_timeout = 10s, though it may take 20s: one that succeeds later closes nothing, and another is sent beside it; raise it to that at least
          --> settings:1:11: services.users.breaker.half_open_timeout
        warning: a probe is given up after half_open_timeout = 1s, though it may take 20s: one that succeeds later closes nothing, and another is sent beside it; raise it to that at least
          --> settings:9:9: services.users.calls.Write.breaker.half_open_timeout
        ");
}

#[test]
fn runtime_that_cannot_be() {
    assert_snapshot!(refused("[runtime]\nevent_buffer = 0\nconcurrent_reopens = 9223372036854775807"), @r#"
        the settings have 2 errors
        error: it must be from 1 to 1048576 events
          --> settings:2:1: runtime.event_buffer
        error: it must be from 1 to 1048576 pools
          --> settings:3:1: runtime.concurrent_reopens
        "#);
}

#[test]
fn contradiction_in_defaults_is_told_once() {
    let second = USERS.replace("users", "orders");
    assert_snapshot!(refused(format!("[defaults]\nretry = {{ attempts = 0 }}\n{USERS}{second}")), @r#"
        the settings have an error
        error: it counts the first attempt too, so it must be at least 1; `retry = false` for no retry
          --> settings:2:11: defaults.retry.attempts
        "#);
}

#[test]
fn codel_that_waits_longer_than_it_looks() {
    assert_snapshot!(users_refused("bulkhead = { codel = { target = \"1s\" } }"), @r#"
        the settings have an error
        error: bulkhead.codel.target = 1s is longer than bulkhead.codel.interval = 100ms
          --> settings:5:24: services.users.bulkhead.codel.target
        "#);
    assert_snapshot!(users_refused("bulkhead = { codel = { target = \"0s\", interval = \"0s\" } }"), @r#"
        the settings have an error
        error: it must be longer than 0s; `codel = false` for a queue that is served by arrival
          --> settings:5:39: services.users.bulkhead.codel.interval
        "#);
}

#[test]
fn measured_limit_without_room() {
    assert_snapshot!(users_refused("bulkhead = { adaptive = { min = 30, max = 10 } }"), @r#"
        the settings have an error
        error: bulkhead.adaptive.min = 30 calls are more than bulkhead.adaptive.max = 10
          --> settings:5:27: services.users.bulkhead.adaptive.min
        "#);
    assert_snapshot!(users_refused("bulkhead = { adaptive = { initial = 500 } }"), @r#"
        the settings have an error
        error: 500 is not from bulkhead.adaptive.min = 1 to bulkhead.adaptive.max = 200
          --> settings:5:27: services.users.bulkhead.adaptive.initial
        "#);
    let settings = "bulkhead = { adaptive = { min = 0, tolerance = 0.5, algorithm = \"vegas\" } }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors
        error: with 0 nothing could be measured; it must be at least 1
          --> settings:5:27: services.users.bulkhead.adaptive.min
        error: it must be at least 1: below, calls that take as long as ever would shrink the limit
          --> settings:5:36: services.users.bulkhead.adaptive.tolerance
        error: found "vegas"; wanted one of "gradient", "aimd"
          --> settings:5:53: services.users.bulkhead.adaptive.algorithm
        "#);
}
