//! What may be set, its defaults, and what is refused.

use seawall::{Runtime, policy::breaker::State};
use seawall_testkit::{Ask, Scripted, virtual_time};

use crate::{
    shop::guard,
    support::{end, fails, ms, replies, slow, start},
    watch::state,
};

/// Why these settings of a service are refused.
async fn refused(settings: &str) -> String {
    let settings = format!("[services.users]\n{settings}");
    let builder = Runtime::builder().kind::<Scripted>().parse(settings).expect("it is TOML");
    builder.current_thread().start().await.expect_err("it is refused").to_string()
}

/// The time-out is shorter than opossum's ten seconds, and the number of calls at once has a limit.
#[test]
fn case_1_the_defaults_are_opossums_but_for_timeout_and_capacity() {
    virtual_time(async || {
        let (runtime, _users) = start("", &replies()).await;
        let rows = runtime.explain_settings("users").expect("it is there").rows;
        for (key, value) in [
            ("timeout", "\"3s\""),
            ("breaker.reset_timeout", "\"30s\""),
            ("breaker.error_threshold", "\"50%\""),
            ("breaker.window", "\"10s\""),
            ("breaker.buckets", "10"),
            ("breaker.mode", "\"enforce\""),
            ("bulkhead.max_in_flight", "100"),
        ] {
            let row = rows.iter().find(|row| row.key == format!("services.users.{key}"));
            assert_eq!(row.map(|row| row.value.as_str()), Some(value), "{key}");
        }
        assert_eq!(state(&runtime), State::Closed);
        end(runtime).await;
    });
}

/// A time of zero is refused, since it would mean that no call can succeed; a threshold of zero is one.
#[test]
fn case_2_zero_is_kept_or_refused_and_never_the_default() {
    virtual_time(async || {
        for (setting, key) in
            [("timeout = \"0s\"", "timeout"), ("breaker.reset_timeout = \"0s\"", "reset_timeout")]
        {
            let error = refused(&format!("kind = \"scripted\"\n{setting}")).await;
            assert!(error.contains(key) && error.contains("longer than 0s"), "{error}");
        }
        let settings = "retry = false\n\
            breaker = { error_threshold = \"0%\", minimum_calls = 0, consecutive_failures = 0 }";
        let (runtime, users) = start(settings, &fails()).await;
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(state(&runtime), State::Open);
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

/// A name is never made up: settings and code must both have it.
#[test]
fn case_4_a_service_has_the_name_that_settings_and_code_agree_on() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        assert_eq!(users.name(), "users");
        assert!(runtime.service::<Scripted>("user").expect_err("a slip").to_string().contains("users"));
        assert!(runtime.guard("users").is_err(), "it is of another kind");
        end(runtime).await;
    });
}

#[test]
fn case_5_arguments_reach_the_action_unchanged_whatever_the_breaker_does() {
    virtual_time(async || {
        for mode in ["enforce", "shadow", "off"] {
            let (runtime, users) = start(&format!("breaker.mode = \"{mode}\""), &replies()).await;
            for id in [0, 7, u64::MAX] {
                assert_eq!(users.send(Ask(id)).await.expect("it is well").id, id);
            }
            end(runtime).await;
        }
    });
}

#[test]
fn case_6_a_plain_value_is_the_answer() {
    virtual_time(async || {
        let (runtime, any) = guard("").await;
        let answer = any.run(|| async { Ok::<_, std::io::Error>("a word") }).await;
        assert_eq!(answer.expect("it is well").into_inner(), "a word");
        end(runtime).await;
    });
}

/// A call always has a time-out: without one, whatever hangs holds its caller for ever.
#[test]
fn case_10_an_attempt_may_have_no_timeout_of_its_own_but_a_call_has_one() {
    virtual_time(async || {
        let error = refused("kind = \"scripted\"\ntimeout = false").await;
        assert!(error.contains("timeout"), "{error}");
        let (runtime, users) = start("timeout = \"1m\"\nattempt_timeout = false", &slow(ms(59_999))).await;
        users.send(Ask(1)).await.expect("it has the whole minute");
        end(runtime).await;
    });
}
