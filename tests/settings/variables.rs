//! Variables: how their names are matched and their values read.

use std::time::Duration;

use insta::assert_snapshot;
use seawall::{downstream::Shards, service::RuntimeSettings, units::Ratio};

use crate::support::{layers, users_under, variables_refused};

#[test]
fn unknown_service() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICES__USER__TIMEOUT", "3s")]), @r#"
        the settings have an error
        error: unknown service `user`; did you mean `users`? Known here: redis-main, users
          --> variable SEAWALL__SERVICES__USER__TIMEOUT
        "#);
}

#[test]
fn unknown_call() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICES__USERS__CALLS__GETUSR__TIMEOUT", "3s")]), @r#"
        the settings have an error
        error: unknown call `getusr`; did you mean `GetUser`? Known here: GetUser, PutUser
          --> variable SEAWALL__SERVICES__USERS__CALLS__GETUSR__TIMEOUT
        "#);
}

#[test]
fn unknown_section() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICE__USERS__TIMEOUT", "3s")]), @r#"
        the settings have an error
        error: unknown section `service`; did you mean `services`? Known here: defaults, kinds, runtime, services, telemetry
          --> variable SEAWALL__SERVICE__USERS__TIMEOUT
        "#);
}

#[test]
fn unknown_key() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICES__USERS__TIMEOUTS", "3s")]), @r#"
        the settings have an error
        error: unknown key `timeouts`; did you mean `timeout`?
          --> variable SEAWALL__SERVICES__USERS__TIMEOUTS: services.users.timeouts
        "#);
}

#[test]
fn names_of_no_setting() {
    let variables = [
        ("SEAWALL__", "1"),
        ("SEAWALL__RUNTIME", "1"),
        ("SEAWALL__SERVICES__USERS", "{}"),
        ("SEAWALL__SERVICES__USERS__CALLS__GETUSER", "{}"),
        ("SEAWALL__SERVICES____TIMEOUT", "3s"),
        ("SEAWALL__SERVICES__USERS__TIMEOUT__", "3s"),
    ];
    assert_snapshot!(variables_refused(&variables), @r#"
        the settings have 6 errors
        error: a part of its name is empty; parts are separated by two underscores
          --> variable SEAWALL__
        error: it names a whole table, not one setting in it
          --> variable SEAWALL__RUNTIME
        error: it names a whole table, not one setting in it
          --> variable SEAWALL__SERVICES__USERS
        error: it names a whole table, not one setting in it
          --> variable SEAWALL__SERVICES__USERS__CALLS__GETUSER
        error: a part of its name is empty; parts are separated by two underscores
          --> variable SEAWALL__SERVICES__USERS__TIMEOUT__
        error: a part of its name is empty; parts are separated by two underscores
          --> variable SEAWALL__SERVICES____TIMEOUT
        "#);
}

#[test]
fn two_for_one_setting() {
    let variables =
        [("SEAWALL__SERVICES__USERS__TIMEOUT", "3s"), ("seawall__services__users__timeout", "4s")];
    assert_snapshot!(variables_refused(&variables), @r#"
        the settings have an error
        error: variable SEAWALL__SERVICES__USERS__TIMEOUT sets the same; one of the two must go
          --> variable seawall__services__users__timeout: services.users.timeout
        "#);
}

#[test]
fn one_for_the_whole_and_one_for_a_part() {
    let variables = [
        ("SEAWALL__SERVICES__USERS__RETRY", "false"),
        ("SEAWALL__SERVICES__USERS__RETRY__ATTEMPTS", "3"),
        ("seawall__services__users__pool", "{ max = 3 }"),
        ("SEAWALL__SERVICES__USERS__POOL__MIN_IDLE", "1"),
    ];
    assert_snapshot!(variables_refused(&variables), @r#"
        the settings have 2 errors
        error: variable SEAWALL__SERVICES__USERS__RETRY sets the same; one of the two must go
          --> variable SEAWALL__SERVICES__USERS__RETRY__ATTEMPTS: services.users.retry.attempts
        error: variable SEAWALL__SERVICES__USERS__POOL__MIN_IDLE sets the same; one of the two must go
          --> variable seawall__services__users__pool: services.users.pool
        "#);
}

#[test]
fn services_and_calls_that_variables_cannot_tell_apart() {
    let settings = "[services.user-db.calls.get-it]\n[services.user_db]\n[services.user-db.calls.Get_It]";
    assert_snapshot!(layers(settings, &[]).expect_err("they fold together"), @r#"
        the settings have 2 errors
        error: variables cannot tell `get-it` from `Get_It`; rename one of them
          --> settings:1:25: services.user-db.calls.get-it
        error: variables cannot tell `user_db` from `user-db`; rename one of them
          --> settings:2:11: services.user_db
        "#);
}

#[test]
fn values_of_the_wrong_type() {
    let variables = [
        ("SEAWALL__SERVICES__USERS__TIMEOUT", "5"),
        ("SEAWALL__SERVICES__USERS__POOL__MAX", "1.9"),
        ("SEAWALL__SERVICES__USERS__POOL__MIN_IDLE", "-1"),
        ("SEAWALL__SERVICES__USERS__POOL__SHARDS", "0"),
        ("SEAWALL__SERVICES__USERS__BREAKER__ERROR_THRESHOLD", "50"),
        ("SEAWALL__SERVICES__USERS__BREAKER__SLOW_CALL", "true"),
        ("SEAWALL__SERVICES__USERS__CACHE__COALESCE", "perhaps"),
        ("SEAWALL__SERVICES__USERS__RETRY__ON", "connect"),
        ("SEAWALL__SERVICES__USERS__BULKHEAD", "none"),
    ];
    assert_snapshot!(variables_refused(&variables), @r#"
        the settings have 9 errors
        error: 50 could mean 50% or 50 times; write "50%"
          --> variable SEAWALL__SERVICES__USERS__BREAKER__ERROR_THRESHOLD: services.users.breaker.error_threshold
        error: found "true"; wanted a table with duration, threshold; `false` turns it off
          --> variable SEAWALL__SERVICES__USERS__BREAKER__SLOW_CALL: services.users.breaker.slow_call
        error: found "none"; wanted a table with mode, max_in_flight, max_queue, queue_timeout, codel, per_tenant, adaptive; `false` turns it off
          --> variable SEAWALL__SERVICES__USERS__BULKHEAD: services.users.bulkhead
        error: found "perhaps"; wanted true or false
          --> variable SEAWALL__SERVICES__USERS__CACHE__COALESCE: services.users.cache.coalesce
        error: found the number 1.9; wanted an integer of 0 or more
          --> variable SEAWALL__SERVICES__USERS__POOL__MAX: services.users.pool.max
        error: found the integer -1; wanted an integer of 0 or more
          --> variable SEAWALL__SERVICES__USERS__POOL__MIN_IDLE: services.users.pool.min_idle
        error: found the integer 0; wanted "per_thread", or a number of shards from 1 to 1024
          --> variable SEAWALL__SERVICES__USERS__POOL__SHARDS: services.users.pool.shards
        error: found "connect"; wanted an array, in [ ]
          --> variable SEAWALL__SERVICES__USERS__RETRY__ON: services.users.retry.on
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> variable SEAWALL__SERVICES__USERS__TIMEOUT: services.users.timeout
        "#);
}

#[test]
fn arrays_that_are_none() {
    let variables = [
        ("SEAWALL__SERVICES__USERS__RETRY__ON", "[connect"),
        ("SEAWALL__SERVICES__USERS__MIRRORS", "[{ host = 1 }]"),
    ];
    assert_snapshot!(variables_refused(&variables), @r#"
        the settings have 2 errors
        error: found the integer 1; wanted text in quotes
          --> variable SEAWALL__SERVICES__USERS__MIRRORS: services.users.mirrors.host
        error: found "[connect"; wanted an array, in [ ]
          --> variable SEAWALL__SERVICES__USERS__RETRY__ON: services.users.retry.on
        "#);
}

#[test]
fn each_type_is_read_from_text() {
    let variables = [
        ("SEAWALL__SERVICES__USERS__TIMEOUT", " 5s "),
        ("seawall__Services__Users__Pool__Max", "7"),
        ("SEAWALL__SERVICES__USERS__POOL__SHARDS", "3"),
        ("SEAWALL__SERVICES__USERS__BREAKER__ERROR_THRESHOLD", "25%"),
        ("SEAWALL__SERVICES__USERS__BREAKER__RESET_GROWTH", "1.5"),
        ("SEAWALL__SERVICES__USERS__BREAKER__WINDOW__CALLS", "50"),
        ("SEAWALL__SERVICES__USERS__RETRY", "false"),
        ("SEAWALL__SERVICES__USERS__CACHE__COALESCE", "false"),
        ("SEAWALL__SERVICES__USERS__URL", "12345"),
        ("SEAWALL__SERVICES__USERS__MIRRORS", "[{ host = \"a\", weight = 2 }]"),
        ("SEAWALL__SERVICES__USERS__TOKEN__FILE", "Cargo.toml"),
        ("SEAWALL_ELSE", "?"),
        ("\u{1f980}\u{1f980}\u{1f980}", "?"),
    ];
    let read = users_under("", &variables).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(read.call.timeout, Duration::from_secs(5));
    assert_eq!(read.service.pool.max, 7);
    assert!(matches!(read.service.pool.shards, Shards::Count(count) if count.get() == 3));
    let breaker = read.call.breaker.expect("it is on");
    assert_eq!(breaker.error_threshold, Ratio::percent(25));
    assert_eq!(breaker.reset_growth, 1.5);
    assert_eq!(read.call.retry, None);
    assert!(!read.call.cache.expect("it is on").coalesce);
    assert_eq!(read.own.url, "12345");
    assert_eq!(read.own.mirrors[0].weight, 2);
    assert_eq!(read.own.token.to_string(), "the secret in file Cargo.toml");
}

#[test]
fn names_are_matched_without_case_and_dashes() {
    let layers = layers(
        "[services.orders-db.calls.GetOrder]",
        &[
            ("SEAWALL__SERVICES__ORDERS_DB__TIMEOUT", "1s"),
            ("SEAWALL__SERVICES__ORDERS_DB__CALLS__GETORDER__TIMEOUT", "2s"),
            ("SEAWALL__SERVICES__USERS__CALLS__GETUSER__TIMEOUT", "3s"),
            ("SEAWALL__SERVICES__REDIS_MAIN__TIMEOUT", "4s"),
            ("SEAWALL__RUNTIME__ARBITERS", "3"),
        ],
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(layers.services(), ["orders-db", "redis-main", "users"]);
    assert_eq!(layers.calls("orders-db"), ["GetOrder"]);
    assert_eq!(layers.calls("users"), ["GetUser"]);
    let mut errors = seawall::config::ConfigErrors::new();
    let section = layers.section("runtime");
    let runtime: Option<RuntimeSettings> = section.reader(&mut errors).read();
    assert!(runtime.is_some(), "{errors}");
}
