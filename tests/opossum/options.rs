//! Options, names, and what is always there.

use seawall::{Runtime, policy::breaker::State, service::Func};
use seawall_testkit::{Ask, Scripted, virtual_time};

use crate::support::{end, fails, ms, replies, start};

async fn refused(settings: &str) -> String {
    let settings = format!("[services.users]\n{settings}");
    let builder = Runtime::builder().kind::<Scripted>().parse(settings).expect("it is TOML");
    builder.current_thread().start().await.expect_err("it is refused").to_string()
}

#[test]
fn case_1_the_defaults() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        let settings = runtime.explain_settings("users").expect("it is there");
        let value = |key: &str| {
            let row = settings.rows.iter().find(|row| row.key == format!("services.users.{key}"));
            row.map(|row| row.value.as_str()).unwrap_or_default()
        };
        // Shorter than opossum's ten seconds; the 3 s of its README.
        assert_eq!(value("timeout"), "\"3s\"");
        assert_eq!(
            (value("breaker.reset_timeout"), value("breaker.error_threshold")),
            ("\"30s\"", "\"50%\"")
        );
        assert_eq!((value("breaker.window"), value("breaker.buckets")), ("\"10s\"", "10"));
        users.send(Ask(1)).await.expect("it is well");
        let breaker = runtime.snapshot().services[0].breaker.expect("it is on");
        assert_eq!(breaker.state, State::Closed);
        end(runtime).await;
    });
}

#[test]
fn case_2_zero_is_what_it_says_or_an_error_and_never_the_default() {
    virtual_time(async || {
        for (setting, key) in
            [("timeout = \"0s\"", "timeout"), ("breaker.reset_timeout = \"0s\"", "reset_timeout")]
        {
            let error = refused(&format!("kind = \"scripted\"\n{setting}")).await;
            assert!(error.contains(key) && error.contains("longer than 0s"), "{error}");
        }
        let settings = "retry = false\nbreaker = { error_threshold = \"0%\", minimum_calls = 0, consecutive_failures = 0 }";
        let (runtime, users) = start(settings, &fails()).await;
        users.send(Ask(1)).await.expect_err("it fails");
        assert!(users.send(Ask(1)).await.expect_err("any failure is too many").is_rejection());
        end(runtime).await;
    });
}

#[test]
fn case_3_without_an_action_there_is_nothing_to_start() {
    virtual_time(async || {
        let error = refused("timeout = \"1s\"").await;
        assert!(error.contains("`kind` is missing"), "{error}");
    });
}

#[test]
fn case_4_a_name_is_given_once_and_must_be_known() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        assert_eq!(users.name(), "users");
        assert!(runtime.service::<Scripted>("user").expect_err("a slip").to_string().contains("users"));
        assert!(runtime.guard("users").is_err(), "it is of another kind");
        end(runtime).await;
    });
}

#[test]
fn case_52_all_counts_are_there_at_any_time_and_nothing_ticks() {
    virtual_time(async || {
        let settings = "[services.any]\nkind = \"func\"";
        let runtime = Runtime::builder().parse(settings).expect("it is TOML").current_thread().start().await;
        let runtime = runtime.expect("it is right");
        let any: seawall::Service<Func> = runtime.guard("any").expect("it is there");
        any.run(|| async { Ok::<_, std::io::Error>(1) }).await.expect("it is well");
        tokio::time::sleep(ms(3_600_000)).await;
        let snapshot = serde_json::to_value(runtime.snapshot()).expect("it can be written");
        let call = &snapshot["services"][0]["calls"][0];
        for count in
            ["fresh", "cached", "stale", "fallback", "error", "timeout", "rejected", "cancelled", "coalesced"]
        {
            assert!(call[count].is_u64(), "{count}");
        }
        assert!(call["latency"]["p95_us"].is_u64());
        end(runtime).await;
    });
}
