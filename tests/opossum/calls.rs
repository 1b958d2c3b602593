//! What a call passes on, and how it fails.

use seawall::{
    CallError, Failure,
    call::Reason,
    downstream::{Blame, Stage, Symptom},
};
use seawall_testkit::{Ask, Behaviour, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, settle, slow, start};

#[test]
fn case_5_what_is_asked_arrives_unchanged() {
    virtual_time(async || {
        let behaviour = replies();
        for settings in ["", "breaker.mode = \"off\""] {
            let (runtime, users) = start(settings, &behaviour).await;
            for id in [0, 7, u64::MAX] {
                assert_eq!(users.send(Ask(id)).await.expect("it is well").id, id);
            }
            end(runtime).await;
        }
    });
}

#[test]
fn case_6_a_value_that_is_there_at_once_is_the_answer() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        let answer = users.send(Ask(3)).await.expect("it is well").into_inner();
        assert_eq!((answer.id, answer.number), (3, 1));
        end(runtime).await;
    });
}

#[test]
fn case_7_a_failure_is_the_callers_to_see_and_counts_once() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let error = users.send(Ask(1)).await.expect_err("it fails");
        assert!(!error.is_rejection() && !error.is_timeout());
        assert_eq!(error.failure().map(ToString::to_string), Some(down().to_string()));
        let snapshot = runtime.snapshot();
        assert_eq!(snapshot.services[0].breaker.map(|breaker| breaker.failures), Some(1));
        assert_eq!(snapshot.services[0].call("Ask").map(|call| call.error), Some(1));
        end(runtime).await;
    });
}

#[test]
fn case_8_code_that_panics_is_a_failure_and_the_fallback_answers() {
    virtual_time(async || {
        let (runtime, users) = start("", &Behaviour::new(|_| Reaction::Panic)).await;
        let spare = seawall_testkit::Echo { id: 9, serial: 0, number: 0 };
        let answer = users.send(Ask(1)).fallback(move |_| spare).await.expect("it falls back");
        assert_eq!(answer.id, 9);
        assert!(matches!(users.send(Ask(1)).await, Err(CallError::Failed(_))));
        end(runtime).await;
    });
}

#[test]
fn case_9_what_takes_too_long_times_out_and_is_one_failure() {
    virtual_time(async || {
        let (runtime, users) = start("timeout = \"100ms\"\nretry = false", &slow(ms(1_000))).await;
        let error = users.send(Ask(1)).await.expect_err("it is too slow");
        assert!(error.is_timeout() && !error.is_rejection(), "{error:?}");
        let service = &runtime.snapshot().services[0];
        assert_eq!(service.call("Ask").map(|call| (call.timeout, call.error)), Some((1, 0)));
        assert_eq!(service.breaker.map(|breaker| breaker.failures), Some(1));
        end(runtime).await;
    });
}

#[test]
fn case_10_an_attempt_may_have_no_timeout_of_its_own_and_a_call_always_has_one() {
    virtual_time(async || {
        let (runtime, users) = start("timeout = \"1m\"\nattempt_timeout = false", &slow(ms(59_000))).await;
        users.send(Ask(1)).await.expect("it has the whole time");
        end(runtime).await;
    });
}

#[test]
fn case_29_whose_fault_it_is_is_told_by_the_failures_own_word() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| {
            let code = if asked.id == 1 { "409" } else { "503" };
            Reaction::Fail(Failure::new(Blame::Downstream, "no").symptom(Symptom::Response).code(code))
        });
        let (runtime, users) = start("retry = false\nclassify.ignore = [\"4xx\"]", &behaviour).await;
        assert_eq!(users.send(Ask(1)).await.expect_err("it fails").blame(), Blame::Caller);
        assert_eq!(users.send(Ask(2)).await.expect_err("it fails").blame(), Blame::Downstream);
        end(runtime).await;
    });
}

#[test]
fn case_35_a_call_too_many_is_refused_and_is_no_failure() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("bulkhead = { max_in_flight = 1, max_queue = 0 }", &behaviour).await;
        let (first, second) = tokio::join!(users.send(Ask(1)), users.send(Ask(2)));
        first.expect("it is alone");
        assert!(matches!(
            second.expect_err("it is one too many").reason(),
            Some(Reason::BulkheadFull { .. })
        ));
        assert_eq!(behaviour.attempts(), 1);
        // In opossum it counts as a failure, so that our own limit may open the breaker.
        assert_eq!(runtime.snapshot().services[0].breaker.map(|breaker| breaker.failures), Some(0));
        end(runtime).await;
    });
}

#[test]
fn case_49_after_the_shutdown_calls_are_refused_and_those_under_way_end_well() {
    virtual_time(async || {
        let (runtime, users) = start("", &slow(ms(100))).await;
        let (answer, drained) = tokio::join!(users.send(Ask(1)), async {
            settle().await;
            runtime.drain().await
        });
        answer.expect("it was under way");
        assert_eq!(drained.cut_off, 0);
        let error = users.send(Ask(1)).await.expect_err("it has ended");
        assert!(matches!(error.reason(), Some(Reason::NotRunning)), "{error:?}");
    });
}

#[test]
fn timeouts_name_the_stage_that_ran_out() {
    virtual_time(async || {
        let (runtime, users) = start("timeout = \"100ms\"\nretry = false", &slow(ms(1_000))).await;
        let error = users.send(Ask(1)).await.expect_err("it is too slow");
        let symptom = error.failure().map(Failure::looked_like);
        assert_eq!(symptom, Some(Symptom::Timeout(Stage::Attempt)));
        end(runtime).await;
    });
}
