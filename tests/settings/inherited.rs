//! What is wrong with what services inherit, though none of them does.

use insta::assert_snapshot;

use crate::support::{USERS, refused, taken};

#[test]
fn defaults_that_every_service_says_otherwise() {
    let settings = format!(
        "[defaults]\ntimeout = \"fast\"\nretry = {{ attempts = 0 }}\n{USERS}timeout = \"1s\"\nretry = false"
    );
    assert_snapshot!(refused(settings), @r#"
        the settings have 2 errors
        error: found "fast"; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:2:1: defaults.timeout
        error: it counts the first attempt too, so it must be at least 1; `retry = false` for no retry
          --> settings:3:11: defaults.retry.attempts
        "#);
}

#[test]
fn defaults_without_a_service() {
    assert_snapshot!(refused("[defaults]\ntimeout = 5\npool.max = 0\nbulkhead = { max_in_flight = 0 }"), @r#"
        the settings have 3 errors
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:2:1: defaults.timeout
        error: a pool of 0 connections can serve no call; it must be at least 1
          --> settings:3:6: defaults.pool.max
        error: with 0 no call could be made; it must be at least 1
          --> settings:4:14: defaults.bulkhead.max_in_flight
        "#);
}

#[test]
fn a_kind_that_every_service_says_otherwise() {
    let settings = format!(
        "[kinds.vault]\ntimeout = \"fast\"\npool = {{ max = 0 }}\n{USERS}timeout = \"1s\"\npool.max = 2"
    );
    assert_snapshot!(refused(settings), @r#"
        the settings have 2 errors
        error: found "fast"; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:2:1: kinds.vault.timeout
        error: a pool of 0 connections can serve no call; it must be at least 1
          --> settings:3:10: kinds.vault.pool.max
        "#);
}

#[test]
fn a_kind_without_a_service() {
    assert_snapshot!(refused("[kinds.vault]\ntimeout = 5\nurll = \"https://users.internal\"\nurl = 7"), @r#"
        the settings have 3 errors
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:2:1: kinds.vault.timeout
        error: unknown key `urll`; did you mean `url`?
          --> settings:3:1: kinds.vault.urll
        error: found the integer 7; wanted text in quotes
          --> settings:4:1: kinds.vault.url
        "#);
}

#[test]
fn what_only_its_services_can_know_is_left_to_them() {
    // The kind requires more than is said here, and knows a key that the core does not.
    taken("[kinds.vault]\nurl = \"https://users.internal\"\n");
    taken("[defaults]\nurl = \"https://users.internal\"\n");
}
