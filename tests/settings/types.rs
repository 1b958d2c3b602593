//! Values of the wrong type, or out of range.

use insta::assert_snapshot;

use crate::support::{USERS, refused, users_refused};

#[test]
fn bare_number_for_a_ratio() {
    assert_snapshot!(users_refused("breaker = { error_threshold = 50 }"), @r#"
        the settings have an error
        error: 50 could mean 50% or 50 times; write "50%"
          --> settings:5:13: services.users.breaker.error_threshold
        "#);
}

#[test]
fn ratios_out_of_range() {
    let settings = "breaker = { error_threshold = \"150%\", reset_jitter = -0.5 }\ncache = { jitter = 1000 }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors
        error: found "150%"; wanted a ratio: "50%", or a number from 0 to 1 such as 0.5
          --> settings:5:13: services.users.breaker.error_threshold
        error: found the number -0.5; wanted a ratio: "50%", or a number from 0 to 1 such as 0.5
          --> settings:5:39: services.users.breaker.reset_jitter
        error: 1000 could mean 1000% or 1000 times; write "1000%"
          --> settings:6:11: services.users.cache.jitter
        "#);
}

#[test]
fn bare_number_for_a_duration() {
    assert_snapshot!(users_refused("timeout = 5\nconnect_timeout = \"5\"\nattempt_timeout = 0.5"), @r#"
        the settings have 3 errors
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:5:1: services.users.timeout
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:6:1: services.users.connect_timeout
        error: found the number 0.5, and a duration needs its unit: write "0.5s" or "0.5ms"
          --> settings:7:1: services.users.attempt_timeout
        "#);
}

#[test]
fn durations_that_are_none() {
    let settings = "timeout = \"soon\"\nmax_timeout = \"-5s\"\nconnect_timeout = \"10000d\"";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors
        error: found "soon"; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:5:1: services.users.timeout
        error: found "-5s"; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:6:1: services.users.max_timeout
        error: 10000d is longer than the 366 days that a setting may ask for
          --> settings:7:1: services.users.connect_timeout
        "#);
}

#[test]
fn sizes_that_are_none() {
    let settings = "cache = { max_entry = 1024 }\nlimits = { size = \"99999999999GiB\" }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 2 errors
        error: found the number 1024, and a size needs its unit: write "1024B" or "1024MiB"
          --> settings:5:11: services.users.cache.max_entry
        error: found "99999999999GiB"; wanted a size with its unit, such as "64MiB" or "512KiB"
          --> settings:6:12: services.users.limits.size
        "#);
}

#[test]
fn fraction_for_a_count() {
    assert_snapshot!(users_refused("pool = { max = 1.9 }\nretry = { attempts = 2.0 }"), @r#"
        the settings have 2 errors
        error: found the number 1.9; wanted an integer of 0 or more
          --> settings:5:10: services.users.pool.max
        error: found the number 2.0; wanted an integer from 0 to 4294967295
          --> settings:6:11: services.users.retry.attempts
        "#);
}

#[test]
fn negative_count() {
    assert_snapshot!(users_refused("bulkhead = { max_in_flight = -1 }"), @r#"
        the settings have an error
        error: found the integer -1; wanted an integer from 0 to 4294967295
          --> settings:5:14: services.users.bulkhead.max_in_flight
        "#);
}

#[test]
fn count_too_large() {
    let settings = "bulkhead = { max_queue = 4294967296 }\npool = { max = 99999999999999999999 }";
    assert_snapshot!(users_refused("bulkhead = { max_queue = 4294967296 }"), @r#"
        the settings have an error
        error: found the integer 4294967296; wanted an integer from 0 to 4294967295
          --> settings:5:14: services.users.bulkhead.max_queue
        "#);
    assert_snapshot!(users_refused(settings), @r#"
        the settings have an error
        error: found 99999999999999999999, which is a larger number than any setting may be
          --> settings:6:10: services.users.pool.max
        "#);
}

#[test]
fn text_for_a_number_is_not_read_as_one() {
    assert_snapshot!(users_refused("bulkhead = { max_in_flight = \"10\" }"), @r#"
        the settings have an error
        error: found "10"; wanted an integer from 0 to 4294967295
          --> settings:5:14: services.users.bulkhead.max_in_flight
        "#);
}

#[test]
fn true_for_a_table() {
    assert_snapshot!(users_refused("breaker = true\npool = true\nlimits = true"), @r#"
        the settings have 3 errors
        error: found true; wanted a table with mode, scope, window, buckets, minimum_calls, error_threshold, consecutive_failures, slow_call, reset_timeout, reset_growth, reset_max, reset_jitter, half_open_calls, half_open_timeout, ramp, health_gate, warm_up; `false` turns it off
          --> settings:5:1: services.users.breaker
        error: found true; wanted a table with max, max_idle, min_idle, idle_timeout, acquire_timeout, lifetime, connect_concurrency, shards
          --> settings:6:1: services.users.pool
        error: found true; wanted a table with size, share, lease; `false` turns it off
          --> settings:7:1: services.users.limits
        "#);
}

#[test]
fn false_for_a_table_that_cannot_be_off() {
    assert_snapshot!(users_refused("pool = false"), @r#"
        the settings have an error
        error: found false; wanted a table with max, max_idle, min_idle, idle_timeout, acquire_timeout, lifetime, connect_concurrency, shards
          --> settings:5:1: services.users.pool
        "#);
}

#[test]
fn text_for_a_table() {
    assert_snapshot!(users_refused("retry = \"twice\"\nstartup = [\"eager\"]"), @r#"
        the settings have 2 errors
        error: found "twice"; wanted a table with attempts, on, backoff, backoff_max, jitter, retry_after_max, other_endpoint; `false` turns it off
          --> settings:5:1: services.users.retry
        error: found an array; wanted a table with required, mode
          --> settings:6:1: services.users.startup
        "#);
}

#[test]
fn table_for_a_value() {
    assert_snapshot!(users_refused("timeout = { seconds = 3 }\nmirrors = [{ host = { name = \"a\" } }]"), @r#"
        the settings have 2 errors
        error: found a table; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:5:1: services.users.timeout
        error: found a table; wanted text in quotes
          --> settings:6:14: services.users.mirrors.host
        "#);
}

#[test]
fn words_that_are_none() {
    assert_snapshot!(users_refused("priority = \"hihg\"\non_cancel = \"autoo\"\nengine = 5"), @r#"
        the settings have 3 errors
        error: found "hihg"; wanted one of "critical", "normal", "low", "background"
          --> settings:5:1: services.users.priority
        error: found "autoo"; wanted one of "abort", "finish", "auto"; did you mean "auto"?
          --> settings:6:1: services.users.on_cancel
        error: found the integer 5; wanted one of "kv", "transit"
          --> settings:7:1: services.users.engine
        "#);
}

#[test]
fn all_words_of_an_array_that_are_none() {
    assert_snapshot!(users_refused("retry = { on = [\"conect\", \"reset\", 3, \"often\"] }"), @r#"
        the settings have 3 errors
        error: found "conect"; wanted one of "connect", "reset", "timeout", "overload", "response"; did you mean "connect"?
          --> settings:5:17: services.users.retry.on
        error: found the integer 3; wanted one of "connect", "reset", "timeout", "overload", "response"
          --> settings:5:36: services.users.retry.on
        error: found "often"; wanted one of "connect", "reset", "timeout", "overload", "response"
          --> settings:5:39: services.users.retry.on
        "#);
}

#[test]
fn patterns_that_are_none() {
    assert_snapshot!(users_refused("classify = { failure = [\"5xx\", \"5*\"] }"), @r#"
        the settings have an error
        error: found "5*"; wanted a code such as "503", with x for any character ("5xx"), and "+retry-after" behind it if wanted
          --> settings:5:32: services.users.classify.failure
        "#);
}

#[test]
fn several_elements() {
    let settings = "mirrors = [{ host = 1 }, { weight = 300 }, { host = \"c\", weight = -1 }, 5]";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 5 errors
        error: found the integer 1; wanted text in quotes
          --> settings:5:14: services.users.mirrors.host
        error: it is missing, and has no default
          --> settings:5:26: services.users.mirrors.host
        error: found the integer 300; wanted an integer from 0 to 255
          --> settings:5:28: services.users.mirrors.weight
        error: found the integer -1; wanted an integer from 0 to 255
          --> settings:5:58: services.users.mirrors.weight
        error: found the integer 5; wanted a table with host, weight
          --> settings:5:73: services.users.mirrors
        "#);
}

#[test]
fn window_of_no_calls() {
    assert_snapshot!(users_refused("breaker = { window = { calls = 0 } }"), @r#"
        the settings have an error
        error: calls = 0: a window has 1 to 1000000 calls
          --> settings:5:13: services.users.breaker.window
        "#);
    assert_snapshot!(users_refused("breaker = { window = {} }"), @r#"
        the settings have an error
        error: it is missing, and has no default
          --> settings:5:13: services.users.breaker.window.calls
        "#);
    assert_snapshot!(users_refused("breaker = { window = \"0s\" }"), @r#"
        the settings have an error
        error: found "0s"; wanted a duration such as "10s", or { calls = 100 }
          --> settings:5:13: services.users.breaker.window
        "#);
}

#[test]
fn shards_and_arbiters() {
    assert_snapshot!(users_refused("pool = { shards = 0 }"), @r#"
        the settings have an error
        error: found the integer 0; wanted "per_thread", or a number of shards from 1 to 1024
          --> settings:5:10: services.users.pool.shards
        "#);
    assert_snapshot!(users_refused("pool = { shards = \"per_core\" }"), @r#"
        the settings have an error
        error: found "per_core"; wanted "per_thread", or a number of shards from 1 to 1024
          --> settings:5:10: services.users.pool.shards
        "#);
    assert_snapshot!(refused("[runtime]\narbiters = 0"), @r#"
        the settings have an error
        error: found the integer 0; wanted "auto", or a number of threads from 1 to 256
          --> settings:2:1: runtime.arbiters
        "#);
    assert_snapshot!(refused("[runtime]\narbiters = \"many\""), @r#"
        the settings have an error
        error: found "many"; wanted "auto", or a number of threads from 1 to 256
          --> settings:2:1: runtime.arbiters
        "#);
}

#[test]
fn date_and_infinity() {
    assert_snapshot!(users_refused("timeout = 07:32:00\nbreaker = { reset_growth = inf }"), @r#"
        the settings have an error
        error: found the date or time 07:32:00, and no setting is one; text is quoted
          --> settings:5:1: services.users.timeout
        "#);
}

#[test]
fn long_text_is_cut_and_stays_on_its_line() {
    let settings = format!("timeout = \"{}\"\nmax_timeout = \"a\\nb\"", "x".repeat(10_000));
    assert_snapshot!(users_refused(&settings), @r#"
        the settings have 2 errors
        error: found "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:5:1: services.users.timeout
        error: found "a\nb"; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:6:1: services.users.max_timeout
        "#);
}

#[test]
fn missing_kind() {
    assert_snapshot!(refused("[services.users]\nurl = \"https://users.internal\"\ntimeout = 5"), @r#"
        the settings have 2 errors
        error: `kind` is missing: say what kind of downstream it is, one of "func", "vault"
          --> settings:1:11: services.users.kind
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:3:1: services.users.timeout
        "#);
}

#[test]
fn kind_that_is_no_text() {
    assert_snapshot!(refused("[services.users]\nkind = 5"), @r#"
        the settings have an error
        error: `kind` is no text: say what kind of downstream it is, one of "func", "vault"
          --> settings:2:1: services.users.kind
        "#);
}

#[test]
fn all_missing_keys_of_the_kind() {
    assert_snapshot!(refused("[services.users]\nkind = \"vault\"\nmirrors = [{}]"), @r"
        the settings have 3 errors
        error: it is missing, and has no default
          --> settings:1:11: services.users.token
        error: it is missing, and has no default
          --> settings:1:11: services.users.url
        error: it is missing, and has no default
          --> settings:3:12: services.users.mirrors.host
        ");
}

#[test]
fn wrong_value_of_a_required_key_is_not_missing_too() {
    assert_snapshot!(refused("[services.users]\nkind = \"vault\"\nurl = 5\ntoken = []\nengine = 1"), @r#"
        the settings have 3 errors
        error: found the integer 5; wanted text in quotes
          --> settings:3:1: services.users.url
        error: a secret must not be written here; refer to it by { env = "NAME" } or { file = "path" }
          --> settings:4:1: services.users.token
        error: found the integer 1; wanted one of "kv", "transit"
          --> settings:5:1: services.users.engine
        "#);
}

#[test]
fn wrong_value_in_defaults_is_told_once_at_its_own_place() {
    let second = USERS.replace("users", "orders");
    let settings =
        format!("[defaults]\ntimeout = 5\n{USERS}[services.users.calls.Read]\nretry = false\n{second}");
    assert_snapshot!(refused(settings), @r#"
        the settings have an error
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:2:1: defaults.timeout
        "#);
}

#[test]
fn everything_at_once_in_the_order_of_lines() {
    let settings = "timeout = 5\nurls = []\npool = { max = -1 }\nengine = \"kw\"\n\n[services.users.calls.Read]\n\
                    priority = 3\nbreaker = { buckets = 0 }\n[services.orders]\nkind = \"vault\"\n[runtime]\ndrain = true";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 9 errors
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:5:1: services.users.timeout
        error: unknown key `urls`; did you mean `url`?
          --> settings:6:1: services.users.urls
        error: found the integer -1; wanted an integer of 0 or more
          --> settings:7:10: services.users.pool.max
        error: found "kw"; wanted one of "kv", "transit"; did you mean "kv"?
          --> settings:8:1: services.users.engine
        error: found the integer 3; wanted one of "critical", "normal", "low", "background"
          --> settings:11:1: services.users.calls.Read.priority
        error: a window has from 1 to 1000 buckets
          --> settings:12:13: services.users.calls.Read.breaker.buckets
        error: it is missing, and has no default
          --> settings:13:11: services.orders.token
        error: it is missing, and has no default
          --> settings:13:11: services.orders.url
        error: found true; wanted a duration with its unit, such as "30s" or "500ms"
          --> settings:16:1: runtime.drain
        "#);
}
