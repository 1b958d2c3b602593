//! `explain`: every setting in force, where it comes from, and what it beat.

use insta::assert_snapshot;
use seawall::{
    config::Explanation,
    service::{CallSettings, ServiceSettings},
};

use crate::support::{Directory, explained};

#[test]
fn whole_service() {
    assert_snapshot!(explained("[services.users.calls.Write]\nretry = false", &[""]), @r#"
        services.users.attempt_timeout = false  # built-in default
        services.users.balance.algorithm = "p2c_ewma"  # built-in default
        services.users.balance.decay = "10s"  # built-in default
        services.users.balance.default_rtt = "30ms"  # built-in default
        services.users.balance.panic_threshold = "50%"  # built-in default
        services.users.balance.slow_start = "10s"  # built-in default
        services.users.breaker.buckets = 10  # built-in default
        services.users.breaker.consecutive_failures = 5  # built-in default
        services.users.breaker.error_threshold = "50%"  # built-in default
        services.users.breaker.half_open_calls = 1  # built-in default
        services.users.breaker.half_open_timeout = "10s"  # built-in default
        services.users.breaker.health_gate = false  # built-in default
        services.users.breaker.minimum_calls = 10  # built-in default
        services.users.breaker.mode = "enforce"  # built-in default
        services.users.breaker.ramp = "10s"  # built-in default
        services.users.breaker.reset_growth = 2.0  # built-in default
        services.users.breaker.reset_jitter = "10%"  # built-in default
        services.users.breaker.reset_max = "1m"  # built-in default
        services.users.breaker.reset_timeout = "30s"  # built-in default
        services.users.breaker.scope = "service"  # built-in default
        services.users.breaker.slow_call = false  # built-in default
        services.users.breaker.warm_up = "0s"  # built-in default
        services.users.breaker.window = "10s"  # built-in default
        services.users.bulkhead.adaptive = false  # built-in default
        services.users.bulkhead.codel.interval = "100ms"  # built-in default
        services.users.bulkhead.codel.target = "5ms"  # built-in default
        services.users.bulkhead.max_in_flight = 100  # built-in default
        services.users.bulkhead.max_queue = 100  # built-in default
        services.users.bulkhead.mode = "enforce"  # built-in default
        services.users.bulkhead.per_tenant = false  # built-in default
        services.users.bulkhead.queue_timeout = "1s"  # built-in default
        services.users.cache.coalesce = true  # built-in default
        services.users.cache.early_refresh = 1.0  # built-in default
        services.users.cache.jitter = "10%"  # built-in default
        services.users.cache.max_entry = "1MiB"  # built-in default
        services.users.cache.mode = "on"  # built-in default
        services.users.cache.negative_ttl = "0s"  # built-in default
        services.users.cache.per = "service"  # built-in default
        services.users.cache.shared = false  # built-in default
        services.users.cache.stale_if_error = "5m"  # built-in default
        services.users.cache.stale_while_revalidate = "0s"  # built-in default
        services.users.cache.ttl = "5m"  # built-in default
        services.users.calls.Read.retry.backoff = "7ms"  # derive of Read
        services.users.calls.Read.timeout = "7s"  # derive of Read, over defaults of kind vault
        services.users.calls.Write.retry = false  # settings:6:1, over defaults of kind vault
        services.users.classify.failure = []  # built-in default
        services.users.classify.ignore = []  # built-in default
        services.users.classify.overload = []  # built-in default
        services.users.connect_timeout = "2s"  # built-in default
        services.users.engine = "kv"  # built-in default
        services.users.faults = false  # built-in default
        services.users.health.failures = 3  # built-in default
        services.users.health.interval = "0s"  # built-in default
        services.users.health.timeout = "1s"  # built-in default
        services.users.hedge = false  # built-in default
        services.users.keyed.breaker = true  # built-in default
        services.users.keyed.bulkhead = false  # built-in default
        services.users.keyed.idle = "10m"  # built-in default
        services.users.keyed.max = 1024  # built-in default
        services.users.keyed.rate = false  # built-in default
        services.users.kind = "vault"  # settings:2:1
        services.users.labels = {}  # built-in default
        services.users.limits = false  # built-in default
        services.users.max_timeout = "1m"  # built-in default
        services.users.mirrors = []  # built-in default
        services.users.on_cancel = "auto"  # built-in default
        services.users.outlier.consecutive_failures = 5  # built-in default
        services.users.outlier.eject = "5s"  # built-in default
        services.users.outlier.eject_max = "5m"  # built-in default
        services.users.outlier.max_ejected = "50%"  # built-in default
        services.users.outlier.minimum_calls = 5  # built-in default
        services.users.outlier.mode = "enforce"  # built-in default
        services.users.outlier.success_rate = "80%"  # built-in default
        services.users.outlier.window = "30s"  # built-in default
        services.users.pool.acquire_timeout = "2s"  # built-in default
        services.users.pool.connect_concurrency = 2  # built-in default
        services.users.pool.idle_timeout = "30s"  # built-in default
        services.users.pool.lifetime = "30m"  # built-in default
        services.users.pool.max = 20  # built-in default
        services.users.pool.max_idle = 20  # built-in default
        services.users.pool.min_idle = 0  # built-in default
        services.users.pool.shards = "per_thread"  # built-in default
        services.users.priority = "normal"  # built-in default
        services.users.rate = false  # built-in default
        services.users.restart.backoff = "100ms"  # built-in default
        services.users.restart.backoff_max = "30s"  # built-in default
        services.users.restart.intensity = 5  # built-in default
        services.users.restart.window = "1m"  # built-in default
        services.users.retry.attempts = 4  # defaults of kind vault
        services.users.retry.backoff = "50ms"  # built-in default
        services.users.retry.backoff_max = "1s"  # built-in default
        services.users.retry.jitter = "full"  # built-in default
        services.users.retry.on = ["connect", "reset", "timeout", "overload"]  # built-in default
        services.users.retry.other_endpoint = true  # built-in default
        services.users.retry.retry_after_max = "30s"  # built-in default
        services.users.retry_budget.minimum_per_second = 10  # built-in default
        services.users.retry_budget.ratio = "20%"  # built-in default
        services.users.retry_budget.window = "10s"  # built-in default
        services.users.startup.mode = "background"  # built-in default
        services.users.startup.required = false  # built-in default
        services.users.throttle = false  # built-in default
        services.users.timeout = "4s"  # defaults of kind vault
        services.users.token.env = "PATH"  # settings:4:11
        services.users.url = "https://users.internal"  # settings:3:1
        "#);
}

#[test]
fn what_is_off_is_shown_too() {
    let settings = "breaker = false\ncache = false\n[defaults]\nbreaker = { buckets = 5 }";
    let keys = ["breaker", "cache", "attempt_timeout", ".rate", "classify"];
    assert_snapshot!(explained(settings, &keys), @r#"
        services.users.attempt_timeout = false  # built-in default
        services.users.breaker = false  # settings:5:1, over settings:8:1
        services.users.cache = false  # settings:6:1
        services.users.classify.failure = []  # built-in default
        services.users.classify.ignore = []  # built-in default
        services.users.classify.overload = []  # built-in default
        services.users.keyed.breaker = true  # built-in default
        services.users.keyed.rate = false  # built-in default
        services.users.rate = false  # built-in default
        "#);
}

#[test]
fn what_was_off_between_is_no_origin() {
    let settings =
        "retry = { backoff = \"5ms\" }\n[kinds.vault]\nretry = false\n[defaults]\nretry = { attempts = 9 }";
    assert_snapshot!(explained(settings, &["users.retry"]), @r#"
        services.users.retry.attempts = 2  # built-in default
        services.users.retry.backoff = "5ms"  # settings:5:11
        services.users.retry.backoff_max = "1s"  # built-in default
        services.users.retry.jitter = "full"  # built-in default
        services.users.retry.on = ["connect", "reset", "timeout", "overload"]  # built-in default
        services.users.retry.other_endpoint = true  # built-in default
        services.users.retry.retry_after_max = "30s"  # built-in default
        services.users.retry_budget.minimum_per_second = 10  # built-in default
        services.users.retry_budget.ratio = "20%"  # built-in default
        services.users.retry_budget.window = "10s"  # built-in default
        "#);
}

#[test]
fn files_and_variables_that_were_beaten() {
    let directory = Directory::new(
        "beaten",
        &[
            (
                "default.toml",
                b"[defaults]\ntimeout = \"1s\"\n[services.\"a.b\"]\ntimeout = \"2s\"\npool.max = 5",
            ),
            ("local.toml", b"[services.\"a.b\"]\ntimeout = \"3s\""),
        ],
    );
    let variables = [("SEAWALL__SERVICES__A.B__TIMEOUT", "4s"), ("SEAWALL__DEFAULTS__TIMEOUT", "5s")];
    let layers = directory.load(None, &variables).unwrap_or_else(|errors| panic!("{errors}"));
    let scope = layers.service("a.b", "vault", "").expect("no defaults are right");
    let mut errors = seawall::config::ConfigErrors::new();
    let mut reader = scope.reader(&mut errors);
    let (service, call) = (reader.read::<ServiceSettings>(), reader.read::<CallSettings>());
    let mut explanation = Explanation::default();
    explanation.add(&scope, &service.expect("it is right"));
    explanation.add(&scope, &call.expect("it is right"));
    explanation.rows.retain(|row| !row.beaten.is_empty() || row.key.ends_with("pool.max"));
    assert_snapshot!(explanation.to_string().replace(&directory.path().display().to_string(), "config"), @r#"
        services."a.b".pool.max = 5  # config/default.toml:5:6
        services."a.b".timeout = "4s"  # variable SEAWALL__SERVICES__A.B__TIMEOUT, over config/local.toml:2:1, config/default.toml:4:1, variable SEAWALL__DEFAULTS__TIMEOUT, config/default.toml:2:1
        "#);
}
