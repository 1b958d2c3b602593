//! Values of the wrong type, or out of range.

use insta::assert_snapshot;

use crate::support::{USERS, refused, users_refused};

#[test]
fn bare_number_for_a_ratio() {
    assert_snapshot!(users_refused("breaker = { error_threshold = 50 }"), @r#"
        the settings have an error:
          settings:5:13: services.users.breaker.error_threshold: 50 is no share from 0 to 1; for percent write "50%"
        "#);
}

#[test]
fn ratios_out_of_range() {
    let settings = "breaker = { error_threshold = \"150%\", reset_jitter = -0.5 }\ncache = { jitter = 1000 }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors:
          settings:5:13: services.users.breaker.error_threshold: found "150%", wanted a ratio: "50%", or a number from 0 to 1 such as 0.5
          settings:5:39: services.users.breaker.reset_jitter: found the number -0.5, wanted a ratio: "50%", or a number from 0 to 1 such as 0.5
          settings:6:11: services.users.cache.jitter: found the integer 1000, wanted a ratio: "50%", or a number from 0 to 1 such as 0.5
        "#);
}

#[test]
fn bare_number_for_a_duration() {
    assert_snapshot!(users_refused("timeout = 5\nconnect_timeout = \"5\"\nattempt_timeout = 0.5"), @r#"
        the settings have 3 errors:
          settings:5:1: services.users.timeout: 5 has no unit; write "5s" for seconds, or "5ms"
          settings:6:1: services.users.connect_timeout: 5 has no unit; write "5s" for seconds, or "5ms"
          settings:7:1: services.users.attempt_timeout: found the number 0.5, wanted a duration with its unit, such as "30s" or "500ms"
        "#);
}

#[test]
fn durations_that_are_none() {
    let settings = "timeout = \"soon\"\nmax_timeout = \"-5s\"\nconnect_timeout = \"10000d\"";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 3 errors:
          settings:5:1: services.users.timeout: found "soon", wanted a duration with its unit, such as "30s" or "500ms"
          settings:6:1: services.users.max_timeout: found "-5s", wanted a duration with its unit, such as "30s" or "500ms"
          settings:7:1: services.users.connect_timeout: 10000d is longer than the 366 days that a setting may ask for
        "#);
}

#[test]
fn sizes_that_are_none() {
    let settings = "cache = { max_entry = 1024 }\nlimits = { size = \"99999999999GiB\" }";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 2 errors:
          settings:5:11: services.users.cache.max_entry: 1024 has no unit; write "1024B" for bytes, or a size such as "64MiB"
          settings:6:12: services.users.limits.size: found "99999999999GiB", wanted a size with its unit, such as "64MiB" or "512KiB"
        "#);
}

#[test]
fn fraction_for_a_count() {
    assert_snapshot!(users_refused("pool = { max = 1.9 }\nretry = { attempts = 2.0 }"), @r#"
        the settings have 2 errors:
          settings:5:10: services.users.pool.max: found the number 1.9, wanted a whole number from 0 on
          settings:6:11: services.users.retry.attempts: found the number 2.0, wanted a whole number from 0 to 4294967295
        "#);
}

#[test]
fn negative_count() {
    assert_snapshot!(users_refused("bulkhead = { max_in_flight = -1 }"), @r#"
        the settings have an error:
          settings:5:14: services.users.bulkhead.max_in_flight: found the integer -1, wanted a whole number from 0 to 4294967295
        "#);
}

#[test]
fn count_too_large() {
    let settings = "bulkhead = { max_queue = 4294967296 }\npool = { max = 99999999999999999999 }";
    assert_snapshot!(users_refused("bulkhead = { max_queue = 4294967296 }"), @r#"
        the settings have an error:
          settings:5:14: services.users.bulkhead.max_queue: found the integer 4294967296, wanted a whole number from 0 to 4294967295
        "#);
    assert_snapshot!(users_refused(settings), @r#"
        the settings have an error:
          settings:6:16: services.users.pool.max: 99999999999999999999 is larger than any setting may be
        "#);
}

#[test]
fn text_for_a_number_is_not_read_as_one() {
    assert_snapshot!(users_refused("bulkhead = { max_in_flight = \"10\" }"), @r#"
        the settings have an error:
          settings:5:14: services.users.bulkhead.max_in_flight: found "10", wanted a whole number from 0 to 4294967295
        "#);
}

#[test]
fn true_for_a_table() {
    assert_snapshot!(users_refused("breaker = true\npool = true\nlimits = true"), @r#"
        the settings have 3 errors:
          settings:5:1: services.users.breaker: `true` says nothing here: leave it out for the defaults, or write what it should be
          settings:6:1: services.users.pool: found true, wanted a table with max, max_idle, min_idle, idle_timeout, acquire_timeout, lifetime, connect_concurrency, shards
          settings:7:1: services.users.limits: `true` says nothing here: leave it out for the defaults, or write what it should be
        "#);
}

#[test]
fn false_for_a_table_that_cannot_be_off() {
    assert_snapshot!(users_refused("pool = false"), @r#"
        the settings have an error:
          settings:5:1: services.users.pool: found false, wanted a table with max, max_idle, min_idle, idle_timeout, acquire_timeout, lifetime, connect_concurrency, shards
        "#);
}

#[test]
fn text_for_a_table() {
    assert_snapshot!(users_refused("retry = \"twice\"\nstartup = [\"eager\"]"), @r#"
        the settings have 2 errors:
          settings:5:1: services.users.retry: found "twice", wanted a table with attempts, on, backoff, backoff_max, jitter, retry_after_max
          settings:6:1: services.users.startup: found an array, wanted a table with required, mode
        "#);
}

#[test]
fn table_for_a_value() {
    assert_snapshot!(users_refused("timeout = { seconds = 3 }\nmirrors = [{ host = { name = \"a\" } }]"), @r#"
        the settings have 2 errors:
          settings:5:1: services.users.timeout: found a table, wanted a duration with its unit, such as "30s" or "500ms"
          settings:6:14: services.users.mirrors.host: found a table, wanted text in quotes
        "#);
}

#[test]
fn words_that_are_none() {
    assert_snapshot!(users_refused("priority = \"hihg\"\non_cancel = \"autoo\"\nengine = 5"), @r#"
        the settings have 3 errors:
          settings:5:1: services.users.priority: unknown word `hihg`; known here: background, critical, low, normal
          settings:6:1: services.users.on_cancel: unknown word `autoo`; did you mean `auto`?
          settings:7:1: services.users.engine: found the integer 5, wanted one of these words: kv, transit
        "#);
}

#[test]
fn all_words_of_an_array_that_are_none() {
    assert_snapshot!(users_refused("retry = { on = [\"conect\", \"reset\", 3, \"often\"] }"), @r#"
        the settings have 3 errors:
          settings:5:17: services.users.retry.on: unknown word `conect`; did you mean `connect`?
          settings:5:36: services.users.retry.on: found the integer 3, wanted one of these words: connect, reset, timeout, overload, response
          settings:5:39: services.users.retry.on: unknown word `often`; known here: connect, overload, reset, response, timeout
        "#);
}

#[test]
fn patterns_that_are_none() {
    assert_snapshot!(users_refused("classify = { failure = [\"5xx\", \"5*\"] }"), @r#"
        the settings have an error:
          settings:5:32: services.users.classify.failure: found "5*", wanted a code such as "503", with x for any character ("5xx"), and "+retry-after" behind it if wanted
        "#);
}

#[test]
fn several_elements() {
    let settings = "mirrors = [{ host = 1 }, { weight = 300 }, { host = \"c\", weight = -1 }, 5]";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 5 errors:
          settings:5:14: services.users.mirrors.host: found the integer 1, wanted text in quotes
          settings:5:26: services.users.mirrors: `host` is missing, and has no default
          settings:5:28: services.users.mirrors.weight: found the integer 300, wanted a whole number from 0 to 255
          settings:5:58: services.users.mirrors.weight: found the integer -1, wanted a whole number from 0 to 255
          settings:5:73: services.users.mirrors: found the integer 5, wanted a table with host, weight
        "#);
}

#[test]
fn window_of_no_calls() {
    assert_snapshot!(users_refused("breaker = { window = { calls = 0 } }"), @r#"
        the settings have an error:
          settings:5:13: services.users.breaker.window: calls = 0: a window has 1 to 1000000 calls
        "#);
    assert_snapshot!(users_refused("breaker = { window = {} }"), @r#"
        the settings have an error:
          settings:5:13: services.users.breaker.window: `calls` is missing, and has no default
        "#);
    assert_snapshot!(users_refused("breaker = { window = \"0s\" }"), @r#"
        the settings have an error:
          settings:5:13: services.users.breaker.window: found "0s", wanted a duration such as "10s", or { calls = 100 }
        "#);
}

#[test]
fn shards_and_arbiters() {
    assert_snapshot!(users_refused("pool = { shards = 0 }"), @r#"
        the settings have an error:
          settings:5:10: services.users.pool.shards: found the integer 0, wanted "per_thread", or a number of shards from 1 to 1024
        "#);
    assert_snapshot!(users_refused("pool = { shards = \"per_core\" }"), @r#"
        the settings have an error:
          settings:5:10: services.users.pool.shards: found "per_core", wanted "per_thread", or a number of shards from 1 to 1024
        "#);
    assert_snapshot!(refused("[runtime]\narbiters = 0"), @r#"
        the settings have an error:
          settings:2:1: runtime.arbiters: found the integer 0, wanted "auto", or a number of threads from 1 to 256
        "#);
    assert_snapshot!(refused("[runtime]\narbiters = \"many\""), @r#"
        the settings have an error:
          settings:2:1: runtime.arbiters: found "many", wanted "auto", or a number of threads from 1 to 256
        "#);
}

#[test]
fn date_and_infinity() {
    assert_snapshot!(users_refused("timeout = 07:32:00\nbreaker = { reset_growth = inf }"), @r#"
        the settings have 2 errors:
          settings:5:11: services.users.timeout: no setting is a date; as text it is "07:32:00"
          settings:6:28: services.users.breaker.reset_growth: inf is no number that a setting may be
        "#);
}

#[test]
fn long_text_is_cut_and_stays_on_its_line() {
    let settings = format!("timeout = \"{}\"\nmax_timeout = \"a\\nb\"", "x".repeat(10_000));
    assert_snapshot!(users_refused(&settings), @r#"
        the settings have 2 errors:
          settings:5:1: services.users.timeout: found "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...", wanted a duration with its unit, such as "30s" or "500ms"
          settings:6:1: services.users.max_timeout: found "a\nb", wanted a duration with its unit, such as "30s" or "500ms"
        "#);
}

#[test]
fn missing_kind() {
    assert_snapshot!(refused("[services.users]\nurl = \"https://users.internal\"\ntimeout = 5"), @r#"
        the settings have 2 errors:
          settings:1:11: services.users.kind: `kind` is missing: say what kind of downstream it is, one of "func", "vault"
          settings:3:1: services.users.timeout: 5 has no unit; write "5s" for seconds, or "5ms"
        "#);
}

#[test]
fn kind_that_is_no_text() {
    assert_snapshot!(refused("[services.users]\nkind = 5"), @r#"
        the settings have an error:
          settings:2:1: services.users.kind: `kind` is no text: say what kind of downstream it is, one of "func", "vault"
        "#);
}

#[test]
fn all_missing_keys_of_the_kind() {
    assert_snapshot!(refused("[services.users]\nkind = \"vault\"\nmirrors = [{}]"), @r#"
        the settings have 3 errors:
          settings:1:11: services.users: `token` is missing, and has no default
          settings:1:11: services.users: `url` is missing, and has no default
          settings:3:12: services.users.mirrors: `host` is missing, and has no default
        "#);
}

#[test]
fn wrong_value_of_a_required_key_is_not_missing_too() {
    assert_snapshot!(refused("[services.users]\nkind = \"vault\"\nurl = 5\ntoken = []\nengine = 1"), @r#"
        the settings have 3 errors:
          settings:3:1: services.users.url: found the integer 5, wanted text in quotes
          settings:4:1: services.users.token: found an array, wanted a reference to a secret: { env = "NAME" } or { file = "path" }
          settings:5:1: services.users.engine: found the integer 1, wanted one of these words: kv, transit
        "#);
}

#[test]
fn wrong_value_in_defaults_is_told_once_at_its_own_place() {
    let second = USERS.replace("users", "orders");
    let settings =
        format!("[defaults]\ntimeout = 5\n{USERS}[services.users.calls.Read]\nretry = false\n{second}");
    assert_snapshot!(refused(settings), @r#"
        the settings have an error:
          settings:2:1: defaults.timeout: 5 has no unit; write "5s" for seconds, or "5ms"
        "#);
}

#[test]
fn everything_at_once_in_the_order_of_lines() {
    let settings = "timeout = 5\nurls = []\npool = { max = -1 }\nengine = \"kw\"\n\n[services.users.calls.Read]\n\
                    priority = 3\nbreaker = { buckets = 0 }\n[services.orders]\nkind = \"vault\"\n[runtime]\ndrain = true";
    assert_snapshot!(users_refused(settings), @r#"
        the settings have 8 errors:
          settings:5:1: services.users.timeout: 5 has no unit; write "5s" for seconds, or "5ms"
          settings:6:1: services.users.urls: unknown key `urls`; did you mean `url`?
          settings:7:10: services.users.pool.max: found the integer -1, wanted a whole number from 0 on
          settings:8:1: services.users.engine: unknown word `kw`; did you mean `kv`?
          settings:11:1: services.users.calls.Read.priority: found the integer 3, wanted one of these words: critical, normal, low, background
          settings:13:11: services.orders: `token` is missing, and has no default
          settings:13:11: services.orders: `url` is missing, and has no default
          settings:16:1: runtime.drain: found true, wanted a duration with its unit, such as "30s" or "500ms"
        "#);
}
