//! When it opens, and how it closes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use seawall::{
    Failure, Runtime,
    downstream::Blame,
    policy::breaker::{BreakerSnapshot, Cause, State},
    telemetry::{EventStream, What},
};
use seawall_testkit::{Ask, Behaviour, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, slow, start};

/// One failure is enough, and nothing is random.
const AT_ONCE: &str =
    "retry = false\nbreaker = { minimum_calls = 1, error_threshold = \"10%\", reset_jitter = \"0%\" }";

fn breaker(runtime: &Runtime) -> BreakerSnapshot {
    runtime.snapshot().services[0].breaker.expect("it has one")
}

/// The changes of state so far.
fn turns(events: &mut EventStream) -> Vec<State> {
    let turn = |what| if let What::Breaker { transition, .. } = what { Some(transition.to) } else { None };
    std::iter::from_fn(|| events.try_next()).filter_map(|event| turn(event.what)).collect()
}

#[test]
fn case_13_and_26_one_failure_opens_it_where_that_is_asked_for() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        behaviour.react(|_| Reaction::Reply);
        let error = users.send(Ask(1)).await.expect_err("it is open");
        assert!(error.is_rejection());
        assert_eq!(error.retry_after(), Some(ms(30_000)));
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

#[test]
fn case_14_it_opens_at_the_threshold_and_not_only_above() {
    virtual_time(async || {
        let behaviour =
            Behaviour::new(|asked| if asked.id % 2 == 0 { Reaction::Reply } else { Reaction::Fail(down()) });
        let (runtime, users) = start("retry = false\nbreaker.minimum_calls = 4", &behaviour).await;
        for id in 0..4 {
            assert_eq!(breaker(&runtime).state, State::Closed);
            let _ = users.send(Ask(id)).await;
        }
        // In opossum 2 of 4 are not more than 50 %.
        assert_eq!(breaker(&runtime).state, State::Open);
        end(runtime).await;
    });
}

#[test]
fn case_15_a_threshold_of_zero_bears_no_failure() {
    virtual_time(async || {
        let settings = "retry = false\nbreaker = { minimum_calls = 0, error_threshold = \"0%\" }";
        let behaviour = replies();
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..10 {
            users.send(Ask(1)).await.expect("no failure, no reason");
        }
        behaviour.react(|_| Reaction::Fail(down()));
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(breaker(&runtime).state, State::Open);
        end(runtime).await;
    });
}

#[test]
fn case_17_no_timer_makes_it_half_open_but_the_first_call_after_the_reset_time() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        let mut events = runtime.events();
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(100_000)).await;
        assert_eq!((breaker(&runtime).state, turns(&mut events)), (State::Open, vec![State::Open]));
        behaviour.react(|_| Reaction::Reply);
        users.send(Ask(1)).await.expect("it is the probe");
        assert_eq!(turns(&mut events), [State::HalfOpen, State::Closed]);
        end(runtime).await;
    });
}

#[test]
fn case_18_and_19_one_trial_passes_and_closes_it() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(30_000)).await;
        behaviour.react(|_| Reaction::Reply.after(ms(100)));
        let (trial, second) = tokio::join!(users.send(Ask(1)), users.send(Ask(2)));
        trial.expect("it is the trial");
        assert!(second.expect_err("there is one").is_rejection());
        assert_eq!((breaker(&runtime).state, behaviour.attempts()), (State::Closed, 2));
        end(runtime).await;
    });
}

#[test]
fn case_20_a_trial_that_fails_opens_it_again_and_another_follows() {
    virtual_time(async || {
        let (runtime, users) = start(AT_ONCE, &fails()).await;
        let mut events = runtime.events();
        users.send(Ask(1)).await.expect_err("it fails");
        for wait in [30_000, 60_000] {
            tokio::time::sleep(ms(wait)).await;
            assert!(!users.send(Ask(1)).await.expect_err("the trial fails").is_rejection());
        }
        let [open, half] = [State::Open, State::HalfOpen];
        assert_eq!(turns(&mut events), [open, half, open, half, open]);
        end(runtime).await;
    });
}

#[test]
fn case_22_a_trial_that_ends_by_its_callers_fault_says_nothing() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(30_000)).await;
        behaviour.react(|_| Reaction::Fail(Failure::new(Blame::Caller, "there is none")));
        assert_eq!(users.send(Ask(1)).await.expect_err("it fails").blame(), Blame::Caller);
        // In opossum it closes it.
        assert_eq!(breaker(&runtime).state, State::HalfOpen);
        behaviour.react(|_| Reaction::Reply);
        users.send(Ask(1)).await.expect("the slot was given back");
        assert_eq!(breaker(&runtime).state, State::Closed);
        end(runtime).await;
    });
}

#[test]
fn case_24_so_many_calls_must_come_first() {
    virtual_time(async || {
        let settings = "retry = false\nbreaker = { minimum_calls = 3, consecutive_failures = 0 }";
        let (runtime, users) = start(settings, &fails()).await;
        let mut states = Vec::new();
        for _ in 0..3 {
            users.send(Ask(1)).await.expect_err("it fails");
            states.push(breaker(&runtime).state);
        }
        assert_eq!(states, [State::Closed, State::Closed, State::Open]);
        end(runtime).await;
    });
}

#[test]
fn case_25_while_it_warms_up_nothing_opens_it() {
    virtual_time(async || {
        let settings = "retry = false\nbreaker = { minimum_calls = 1, warm_up = \"10s\" }";
        let (runtime, users) = start(settings, &fails()).await;
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(breaker(&runtime).state, State::Closed);
        tokio::time::sleep(ms(10_000)).await;
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(breaker(&runtime).state, State::Open);
        end(runtime).await;
    });
}

#[test]
fn case_27_what_does_not_count_is_neither_failure_nor_success() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Fail(Failure::new(Blame::Caller, "there is none")));
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        let spare = seawall_testkit::Echo { id: 9, serial: 0, number: 0 };
        let error = users.send(Ask(1)).fallback(move |_| spare).await.expect_err("no fallback for it");
        assert_eq!(error.blame(), Blame::Caller);
        // In opossum it is a success.
        assert_eq!((breaker(&runtime).calls, breaker(&runtime).failures), (0, 0));
        end(runtime).await;
    });
}

#[test]
fn case_47_turned_off_all_pass_and_turned_on_it_opens() {
    virtual_time(async || {
        for (mode, rejected) in [("off", false), ("enforce", true)] {
            let settings = format!("retry = false\nbreaker.mode = \"{mode}\"");
            let behaviour = fails();
            let (runtime, users) = start(&settings, &behaviour).await;
            for _ in 0..5 {
                assert!(!users.send(Ask(1)).await.expect_err("it fails").is_rejection());
            }
            assert_eq!(users.send(Ask(1)).await.expect_err("either way").is_rejection(), rejected);
            assert_eq!(runtime.snapshot().services[0].call("Ask").map(|call| call.failed()), Some(6));
            end(runtime).await;
        }
    });
}

#[test]
fn case_48_a_health_check_that_fails_opens_it() {
    virtual_time(async || {
        let behaviour = replies();
        let well = Arc::new(AtomicBool::new(true));
        let says = Arc::clone(&well);
        behaviour.check(move || if says.load(Ordering::SeqCst) { Ok(()) } else { Err(down()) });
        // One failed check is enough in opossum; three by our default.
        let (runtime, users) = start("health = { interval = \"5s\", failures = 1 }", &behaviour).await;
        users.send(Ask(1)).await.expect("it is well");
        well.store(false, Ordering::SeqCst);
        tokio::time::sleep(ms(5_100)).await;
        assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection());
        assert_eq!(behaviour.attempts(), 1);
        let refusals = runtime.explain("users").expect("it is there").refusals;
        let told = serde_json::to_value(&refusals[0]).expect("it can be written");
        assert_eq!(told["figures"]["cause"], serde_json::json!(Cause::HealthCheck));
        end(runtime).await;
    });
}

#[test]
fn case_51_and_53_the_window_slides_and_nothing_has_to_rotate_it() {
    virtual_time(async || {
        let settings = "breaker = { window = \"200ms\", buckets = 2 }";
        let (runtime, users) = start(settings, &slow(ms(1))).await;
        for _ in 0..3 {
            users.send(Ask(1)).await.expect("it is well");
        }
        assert_eq!(breaker(&runtime).calls, 3);
        tokio::time::sleep(ms(300)).await;
        assert_eq!(breaker(&runtime).calls, 0);
        end(runtime).await;
    });
}

#[test]
fn what_is_refused_dilutes_no_rate() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false", &behaviour).await;
        for _ in 0..100 {
            users.send(Ask(1)).await.expect_err("it fails, or is refused");
        }
        assert_eq!(
            (breaker(&runtime).calls, breaker(&runtime).failures, breaker(&runtime).rejected),
            (5, 5, 95)
        );
        end(runtime).await;
    });
}
