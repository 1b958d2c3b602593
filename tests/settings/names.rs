//! Names that nobody knows: keys, sections, kinds, services, calls.

use insta::assert_snapshot;

use crate::support::{USERS, refused, registered_refused, users_refused};

#[test]
fn unknown_key_of_a_service() {
    assert_snapshot!(users_refused("timeuot = \"3s\""), @r#"
        the settings have an error
        error: unknown key `timeuot`; did you mean `timeout`?
          --> settings:5:1: services.users.timeuot
        "#);
}

#[test]
fn unknown_key_that_resembles_none() {
    assert_snapshot!(users_refused("colour = \"blue\""), @r"
        the settings have an error
        error: unknown key `colour`; known here: attempt_timeout, balance, breaker, bulkhead, cache, calls, classify, connect_timeout, engine, faults, health, hedge, keyed, kind, labels, limits, max_timeout, mirrors, on_cancel, outlier, pool, priority, rate, restart, retry, retry_budget, startup, throttle, timeout, token, url
          --> settings:5:1: services.users.colour
        ");
}

#[test]
fn unknown_key_of_a_policy() {
    assert_snapshot!(users_refused("breaker = { reset_timout = \"3s\" }"), @r#"
        the settings have an error
        error: unknown key `reset_timout`; did you mean `reset_timeout`?
          --> settings:5:13: services.users.breaker.reset_timout
        "#);
}

#[test]
fn unknown_key_of_a_table_of_the_kind() {
    assert_snapshot!(users_refused("limits = { sise = \"1MiB\" }"), @r#"
        the settings have an error
        error: unknown key `sise`; did you mean `size`? Known here: lease, share, size
          --> settings:5:12: services.users.limits.sise
        "#);
}

#[test]
fn unknown_key_of_an_element() {
    let settings =
        "[[services.users.mirrors]]\nhost = \"a\"\n[[services.users.mirrors]]\nhost = \"b\"\nwieght = 1";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have an error
        error: unknown key `wieght`; did you mean `weight`? Known here: host, weight
          --> settings:9:1: services.users.mirrors.wieght
        "#);
}

#[test]
fn unknown_key_of_a_window() {
    assert_snapshot!(users_refused("breaker = { window = { calls = 10, bukets = 2 } }"), @r#"
        the settings have an error
        error: unknown key `bukets`; known here: calls
          --> settings:5:36: services.users.breaker.window.bukets
        "#);
}

#[test]
fn unknown_key_of_a_call() {
    assert_snapshot!(users_refused("[services.users.calls.Read]\nretries = 3"), @r"
        the settings have an error
        error: unknown key `retries`; known here: attempt_timeout, breaker, bulkhead, cache, classify, faults, hedge, max_timeout, on_cancel, priority, rate, retry, throttle, timeout
          --> settings:6:1: services.users.calls.Read.retries
        ");
}

#[test]
fn setting_of_a_service_at_a_call() {
    assert_snapshot!(users_refused("[services.users.calls.Read]\npool = { max = 3 }"), @r"
        the settings have an error
        error: unknown key `pool`; known here: attempt_timeout, breaker, bulkhead, cache, classify, faults, hedge, max_timeout, on_cancel, priority, rate, retry, throttle, timeout
          --> settings:6:1: services.users.calls.Read.pool
        ");
}

#[test]
fn unknown_key_of_the_runtime() {
    assert_snapshot!(refused("[runtime]\narbiter = 2"), @r"
        the settings have an error
        error: unknown key `arbiter`; did you mean `arbiters`? Known here: allow_faults, arbiters, cache_max_bytes, concurrent_reopens, drain, event_buffer, fleet, watchdog
          --> settings:2:1: runtime.arbiter
        ");
}

#[test]
fn unknown_key_in_defaults_is_told_once() {
    let second = USERS.replace("users", "orders");
    assert_snapshot!(refused(format!("[defaults]\nbulkhed = false\n{USERS}{second}")), @r#"
        the settings have an error
        error: unknown key `bulkhed`; did you mean `bulkhead`?
          --> settings:2:1: defaults.bulkhed
        "#);
}

#[test]
fn unknown_key_in_a_kinds_settings() {
    assert_snapshot!(refused(format!("[kinds.vault]\nengin = \"kv\"\n{USERS}")), @r#"
        the settings have an error
        error: unknown key `engin`; did you mean `engine`?
          --> settings:2:1: kinds.vault.engin
        "#);
}

#[test]
fn labels_that_no_metric_may_carry() {
    let many: Vec<_> = (0..17).map(|label| format!("l{label} = \"x\"")).collect();
    assert_snapshot!(refused(format!("[telemetry]\nlabels = {{ {} }}", many.join(", "))), @r"
        the settings have an error
        error: 17 labels are more than the 16 that there may be
          --> settings:2:1: telemetry.labels
        ");
    assert_snapshot!(refused("[telemetry.labels]\nservice = \"x\"\n9lives = \"x\"\n\"a b\" = \"x\""), @r#"
        the settings have 3 errors
        error: metrics have a label `service` of their own; name it differently
          --> settings:2:1: telemetry.labels.service
        error: a label's name has letters, digits and `_`, and begins with no digit
          --> settings:3:1: telemetry.labels.9lives
        error: a label's name has letters, digits and `_`, and begins with no digit
          --> settings:4:1: telemetry.labels."a b"
        "#);
}

#[test]
fn buckets_of_histograms_that_there_cannot_be() {
    assert_snapshot!(refused("[telemetry]\nhistogram = { lowest = \"1m\", highest = \"1s\" }\nlogg = true"), @r"
        the settings have 2 errors
        error: histogram.lowest = 1m is longer than histogram.highest = 1s
          --> settings:2:15: telemetry.histogram.lowest
        error: unknown key `logg`; known here: histogram, labels, log_transitions, publish
          --> settings:3:1: telemetry.logg
        ");
}

#[test]
fn unknown_section() {
    assert_snapshot!(refused("[service.users]\nkind = \"vault\""), @r#"
        the settings have an error
        error: unknown section `service`; did you mean `services`? Known here: defaults, kinds, runtime, services, telemetry
          --> settings:1:2: service
        "#);
}

#[test]
fn unknown_kind() {
    assert_snapshot!(refused("[services.users]\nkind = \"valt\"\ntimeout = 3"), @r#"
        the settings have 2 errors
        error: unknown kind `valt`; did you mean `vault`? Known here: func, vault (kinds are made known by `Builder::kind`)
          --> settings:2:1: services.users.kind
        error: found the number 3, and a duration needs its unit: write "3s" or "3ms"
          --> settings:3:1: services.users.timeout
        "#);
}

#[test]
fn unknown_kind_with_settings_for_it() {
    assert_snapshot!(refused(format!("[kinds.vualt]\ntimeout = \"3s\"\n{USERS}")), @r#"
        the settings have an error
        error: unknown kind `vualt`; did you mean `vault`? Known here: func, vault
          --> settings:1:8: kinds.vualt
        "#);
}

#[test]
fn another_kinds_table() {
    assert_snapshot!(users_refused("redis = { database = 3 }"), @r"
        the settings have an error
        error: unknown key `redis`; known here: attempt_timeout, balance, breaker, bulkhead, cache, calls, classify, connect_timeout, engine, faults, health, hedge, keyed, kind, labels, limits, max_timeout, mirrors, on_cancel, outlier, pool, priority, rate, restart, retry, retry_budget, startup, throttle, timeout, token, url
          --> settings:5:1: services.users.redis
        ");
}

#[test]
fn unknown_call() {
    assert_snapshot!(registered_refused("[services.users.calls.Raed]\ntimeout = \"3s\""), @r#"
        the settings have an error
        error: unknown call `Raed`; did you mean `Read`? Known here: Read, Write
          --> settings:5:23: services.users.calls.Raed
        "#);
}

#[test]
fn unknown_service() {
    let second = USERS.replace("users", "user");
    assert_snapshot!(registered_refused(&second), @r#"
        the settings have an error
        error: unknown service `user`; did you mean `users`? (code that registers its services binds no other)
          --> settings:5:11: services.user
        "#);
}

#[test]
fn names_with_dots_and_worse_are_shown_in_quotes() {
    let settings =
        "[services.\"a.b\"]\nkind = \"vault\"\nurl = 1\n[services.\"x\\u001b[31m\\n\"]\nkind = \"vault\"";
    assert_snapshot!(refused(settings), @r#"
        the settings have 4 errors
        error: it is missing, and has no default
          --> settings:1:11: services."a.b".token
        error: found the integer 1; wanted text in quotes
          --> settings:3:1: services."a.b".url
        error: it is missing, and has no default
          --> settings:4:11: services."x\u{1b}[31m\n".token
        error: it is missing, and has no default
          --> settings:4:11: services."x\u{1b}[31m\n".url
        "#);
}
