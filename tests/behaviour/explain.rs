//! Every refusal says why in a form that machines read, and the runtime says the same at any time.

use seawall::{CallError, runtime::Standing};
use seawall_testkit::{Ask, Behaviour, Opening, Reaction, virtual_time};
use serde_json::{Value, json};

use crate::support::{end, fails, ms, replies, settle, slow, start};

fn refusal(error: &CallError) -> Value {
    let CallError::Rejected(rejected) = error else { panic!("{error:?}") };
    serde_json::to_value(rejected).expect("it can be written")
}

fn json_of(standing: &Standing) -> Value {
    serde_json::to_value(standing).expect("it can be written")
}

#[test]
fn an_open_breaker_tells_its_counts_since_when_and_when_it_is_asked_again() {
    virtual_time(async || {
        let settings = "retry = false\nbreaker = { reset_jitter = \"0%\" }";
        let (runtime, users) = start(settings, &fails()).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        tokio::time::sleep(ms(10_000)).await;
        let error = users.send(Ask(1)).await.expect_err("it is open");
        let figures = json!({
            "state": "open", "cause": "consecutive_failures", "calls": 5, "failures": 5, "slow": 0,
            "threshold": 0.5, "open_count": 1, "since_ms": 10_000, "retry_after_ms": 20_000, "health_gate": false,
        });
        let message =
            "its breaker opened 10.0s ago, after 5 of 5 calls had failed; the next probe is due in 20.0s";
        assert_eq!(
            refusal(&error),
            json!({
                "service": "users", "call": "Ask", "policy": "breaker", "reason": "breaker",
                "figures": figures, "message": message,
            })
        );

        let standing = runtime.explain("users").expect("it is there");
        assert!(!standing.passes());
        assert_eq!(
            json_of(&standing)["refusals"],
            json!([{
                "scope": "service", "policy": "breaker", "shadow": false, "reason": "breaker",
                "figures": figures, "message": message,
            }])
        );
        assert_eq!(
            standing.to_string(),
            format!("users: calls are refused\n  the service, breaker: {message}")
        );
        let rejected = runtime.snapshot().services[0].breaker.map(|breaker| breaker.rejected);
        assert_eq!(rejected, Some(1), "to ask why counts nothing");
        end(runtime).await;
    });
}

#[test]
fn a_full_bulkhead_tells_its_limits() {
    virtual_time(async || {
        let settings = "bulkhead = { max_in_flight = 2, max_queue = 1 }";
        let (runtime, users) = start(settings, &slow(ms(100))).await;
        let standing = runtime.explain("users").expect("it is there");
        assert_eq!((standing.passes(), standing.to_string().as_str()), (true, "users: all calls pass"));
        let mut error = None;
        let calls = futures_util::future::join_all((0..3).map(|id| users.send(Ask(id))));
        tokio::join!(calls, async {
            settle().await;
            let standing = json_of(&runtime.explain("users").expect("it is there"));
            assert_eq!(standing["refusals"][0]["policy"], "bulkhead");
            let state = standing["policies"]
                .as_array()
                .and_then(|all| all.iter().find(|one| one["policy"] == "bulkhead"));
            let state = state.expect("it has one");
            assert_eq!((&state["in_flight"], &state["waiting"]), (&json!(2), &json!(1)));
            error = users.send(Ask(9)).await.err();
        });
        let refusal = refusal(&error.expect("it is full"));
        assert_eq!((&refusal["policy"], &refusal["reason"]), (&json!("bulkhead"), &json!("bulkhead_full")));
        assert_eq!(refusal["figures"], json!({ "max_in_flight": 2, "max_queue": 1 }));
        assert!(runtime.explain("users").expect("it is there").passes());
        end(runtime).await;
    });
}

#[test]
fn a_rate_limit_tells_when_the_next_is_due() {
    virtual_time(async || {
        let settings = "rate = { limit = 10, per = \"1s\", burst = 1 }";
        let (runtime, users) = start(settings, &replies()).await;
        users.send(Ask(1)).await.expect("it is the first");
        let refusal = refusal(&users.send(Ask(1)).await.expect_err("it is the second"));
        assert_eq!(
            (&refusal["reason"], &refusal["figures"]["retry_after_ms"]),
            (&json!("rate"), &json!(100))
        );
        let standing = json_of(&runtime.explain("users").expect("it is there"));
        assert_eq!(standing["refusals"][0]["figures"], refusal["figures"]);
        tokio::time::sleep(ms(100)).await;
        assert!(runtime.explain("users").expect("it is there").passes());
        end(runtime).await;
    });
}

#[test]
fn a_passed_deadline_and_a_shutdown_have_words_of_their_own() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        let error = users.send(Ask(1)).deadline(ms(0)).await.expect_err("it has no time");
        let refused = refusal(&error);
        assert_eq!((&refused["policy"], &refused["reason"]), (&json!("deadline"), &json!("deadline_passed")));
        runtime.drain().await;
        let refused = refusal(&users.send(Ask(1)).await.expect_err("it has ended"));
        assert_eq!((&refused["policy"], &refused["reason"]), (&json!("drain"), &json!("not_running")));
        let standing = json_of(&runtime.explain("users").expect("it is there"));
        assert_eq!(standing["refusals"][0]["reason"], "not_running");
    });
}

#[test]
fn a_failed_service_tells_how_often_why_and_until_when() {
    virtual_time(async || {
        let behaviour: Behaviour = replies();
        behaviour.open(|_| Opening::Fails);
        let settings =
            "restart = { intensity = 2, backoff = \"1ms\", backoff_max = \"60s\" }\nbreaker = false";
        let (runtime, users) = start(settings, &behaviour).await;
        let _ = users.send(Ask(1)).await;
        tokio::time::sleep(ms(100)).await;
        let error = users.send(Ask(1)).await.expect_err("it cannot be opened");
        let refused = refusal(&error);
        assert_eq!((&refused["policy"], &refused["reason"]), (&json!("failed"), &json!("service_failed")));
        assert_eq!(refused["figures"]["failures"], json!(3));
        assert_eq!(refused["figures"]["error"], json!("the script says no"));
        let wait = refused["figures"]["retry_after_ms"].as_u64().expect("a number");
        assert!((40_000..60_000).contains(&wait), "{wait}");
        let standing = json_of(&runtime.explain("users").expect("it is there"));
        assert!(standing["refusals"][0]["scope"]["thread"].is_string(), "{standing}");
        behaviour.react(|_| Reaction::Reply);
        end(runtime).await;
    });
}

#[test]
fn a_shadow_tells_what_it_would_refuse_and_all_pass() {
    virtual_time(async || {
        let settings = "retry = false\nbreaker = { mode = \"shadow\" }\n[services.users.calls.Ask]\nrate = { limit = 1, burst = 1 }";
        let (runtime, users) = start(settings, &fails()).await;
        for _ in 0..6 {
            let _ = users.send(Ask(1)).await;
        }
        for _ in 0..6 {
            let _ = users.send(seawall_testkit::Lookup(1)).await;
        }
        let standing = json_of(&runtime.explain("users").expect("it is there"));
        let refusals = standing["refusals"].as_array().expect("a list");
        let told: Vec<_> =
            refusals.iter().map(|one| (&one["scope"], &one["policy"], &one["shadow"])).collect();
        let (service, call) = (json!("service"), json!({ "call": "Ask" }));
        let (breaker, rate, yes, no) = (json!("breaker"), json!("rate"), json!(true), json!(false));
        assert_eq!(told, [(&service, &breaker, &yes), (&call, &rate, &no)]);
        assert!(runtime.explain("nobody").is_err());
        end(runtime).await;
    });
}
