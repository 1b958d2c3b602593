//! Settings of what is asked twice, of what is not asked, and of what is kept.

use insta::assert_snapshot;

use crate::support::{explained, users_refused};

#[test]
fn hedges_at_once_and_without_end() {
    assert_snapshot!(users_refused("hedge = { delay = \"0s\", attempts = 11 }"), @r#"
        the settings have 2 errors
        error: it must be longer than 0s: every call would be made twice
          --> settings:5:11: services.users.hedge.delay
        error: a call is hedged from 1 to 10 times; `hedge = false` for never
          --> settings:5:25: services.users.hedge.attempts
        "#);
}

#[test]
fn delays_that_are_none() {
    for delay in ["\"p100\"", "\"soon\"", "50"] {
        let told = users_refused(&format!("hedge = {{ delay = {delay} }}"));
        let wanted = "wanted a quantile from \"p50\" to \"p99.9\", or a duration with its unit, such as \"50ms\"\n  \
                      --> settings:5:11: services.users.hedge.delay";
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn a_hedge_is_explained_as_it_was_written() {
    assert_snapshot!(explained("hedge = { delay = \"p99\" }", &["hedge"]), @r#"
        services.users.hedge.attempts = 1  # built-in default
        services.users.hedge.delay = "p99"  # settings:5:11
        services.users.hedge.minimum_delay = "10ms"  # built-in default
        "#);
}

#[test]
fn a_throttle_that_refuses_too_much_or_nothing() {
    let settings = "throttle = { factor = 0.9, window = \"0s\", max_rejected = \"0%\" }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors
        error: it must be at least 1: below that, calls are refused of which the downstream takes all
          --> settings:5:14: services.users.throttle.factor
        error: it must be longer than 0s
          --> settings:5:28: services.users.throttle.window
        error: with 0% it refuses nothing; `throttle = false` turns it off
          --> settings:5:43: services.users.throttle.max_rejected
        "#);
}

#[test]
fn a_reply_that_is_never_loaded_early_and_does_not_say_so() {
    for eagerly in ["0", "-1.0", "nan", "inf"] {
        let told = users_refused(&format!("cache = {{ early_refresh = {eagerly} }}"));
        assert!(told.contains("it must be more than 0; `early_refresh = false` for none"), "{told}");
    }
    let settings = "cache = { early_refresh = false, negative_ttl = \"5s\" }";
    assert_snapshot!(explained(settings, &["early", "negative"]), @r#"
        services.users.cache.early_refresh = false  # settings:5:11
        services.users.cache.negative_ttl = "5s"  # settings:5:34
        "#);
}
