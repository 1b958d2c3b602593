//! Variables: how their names are matched and their values read.

use std::time::Duration;

use insta::assert_snapshot;
use seawall::{downstream::Shards, service::RuntimeSettings, units::Ratio};

use crate::support::{layers, users_under, variables_refused};

#[test]
fn unknown_service() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICES__USER__TIMEOUT", "3s")]), @r#"
        the settings have an error:
          variable SEAWALL__SERVICES__USER__TIMEOUT: unknown service `user`; did you mean `users`?
        "#);
}

#[test]
fn unknown_call() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICES__USERS__CALLS__GETUSR__TIMEOUT", "3s")]), @r#"
        the settings have an error:
          variable SEAWALL__SERVICES__USERS__CALLS__GETUSR__TIMEOUT: unknown call `getusr`; did you mean `GetUser`?
        "#);
}

#[test]
fn unknown_section() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICE__USERS__TIMEOUT", "3s")]), @r#"
        the settings have an error:
          variable SEAWALL__SERVICE__USERS__TIMEOUT: unknown section `service`; did you mean `services`?
        "#);
}

#[test]
fn unknown_key() {
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICES__USERS__TIMEOUTS", "3s")]), @r#"
        the settings have an error:
          variable SEAWALL__SERVICES__USERS__TIMEOUTS: services.users.timeouts: unknown key `timeouts`; did you mean `timeout`?
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
        the settings have 6 errors:
          variable SEAWALL__: a part of its name is empty; parts are separated by two underscores
          variable SEAWALL__RUNTIME: it names a whole table; go on with two underscores and a setting in it
          variable SEAWALL__SERVICES__USERS: it names a whole table; go on with two underscores and a setting in it
          variable SEAWALL__SERVICES__USERS__CALLS__GETUSER: it names a whole table; go on with two underscores and a setting in it
          variable SEAWALL__SERVICES__USERS__TIMEOUT__: a part of its name is empty; parts are separated by two underscores
          variable SEAWALL__SERVICES____TIMEOUT: a part of its name is empty; parts are separated by two underscores
        "#);
}

#[test]
fn two_for_one_setting() {
    let variables =
        [("SEAWALL__SERVICES__USERS__TIMEOUT", "3s"), ("seawall__services__users__timeout", "4s")];
    assert_snapshot!(variables_refused(&variables), @r#"
        the settings have an error:
          variable seawall__services__users__timeout: services.users.timeout: SEAWALL__SERVICES__USERS__TIMEOUT is the same setting; set one of them
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
        the settings have 2 errors:
          variable SEAWALL__SERVICES__USERS__POOL__MIN_IDLE: services.users.pool.min_idle: seawall__services__users__pool sets the whole that this is a part of; set one of them
          variable SEAWALL__SERVICES__USERS__RETRY__ATTEMPTS: services.users.retry.attempts: SEAWALL__SERVICES__USERS__RETRY sets the whole that this is a part of; set one of them
        "#);
}

#[test]
fn services_and_calls_that_variables_cannot_tell_apart() {
    let settings = "[services.user-db.calls.get-it]\n[services.user_db]\n[services.user-db.calls.Get_It]";
    assert_snapshot!(layers(settings, &[]).expect_err("they fold together"), @r#"
        the settings have 2 errors:
          settings:1:25: services.user-db.calls.get-it: variables cannot tell it from "Get_It"; rename one of them
          settings:2:11: services.user_db: variables cannot tell it from "user-db"; rename one of them
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
        the settings have 9 errors:
          variable SEAWALL__SERVICES__USERS__BREAKER__ERROR_THRESHOLD: services.users.breaker.error_threshold: 50 is no share from 0 to 1; for percent write "50%"
          variable SEAWALL__SERVICES__USERS__BREAKER__SLOW_CALL: services.users.breaker.slow_call: `true` says nothing here: leave it out for the defaults, or write what it should be
          variable SEAWALL__SERVICES__USERS__BULKHEAD: services.users.bulkhead: found "none", wanted a table with mode, max_in_flight, max_queue, queue_timeout
          variable SEAWALL__SERVICES__USERS__CACHE__COALESCE: services.users.cache.coalesce: found "perhaps", wanted true or false
          variable SEAWALL__SERVICES__USERS__POOL__MAX: services.users.pool.max: found "1.9", wanted a whole number from 0 on
          variable SEAWALL__SERVICES__USERS__POOL__MIN_IDLE: services.users.pool.min_idle: found the integer -1, wanted a whole number from 0 on
          variable SEAWALL__SERVICES__USERS__POOL__SHARDS: services.users.pool.shards: found the integer 0, wanted "per_thread", or a number of shards from 1 to 1024
          variable SEAWALL__SERVICES__USERS__RETRY__ON: services.users.retry.on: found "connect", wanted an array: [..]
          variable SEAWALL__SERVICES__USERS__TIMEOUT: services.users.timeout: 5 has no unit; write "5s" for seconds, or "5ms"
        "#);
}

#[test]
fn arrays_that_are_none() {
    let variables = [
        ("SEAWALL__SERVICES__USERS__RETRY__ON", "[connect"),
        ("SEAWALL__SERVICES__USERS__MIRRORS", "[{ host = 1 }]"),
    ];
    assert_snapshot!(variables_refused(&variables), @r#"
        the settings have an error:
          variable SEAWALL__SERVICES__USERS__RETRY__ON: services.users.retry.on: it begins like a TOML array or table, and is none: ["one", "two"] or { name = "value" }
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
        ("SEAWALL__SERVICES__USERS__TOKEN__FILE", "/run/token"),
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
    assert_eq!(read.own.token.to_string(), "the secret in file /run/token");
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
