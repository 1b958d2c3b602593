//! When it opens, and how it closes.

use seawall::{
    Failure,
    call::Reason,
    downstream::Blame,
    policy::breaker::{Cause, State},
};
use seawall_testkit::{Ask, Behaviour, Reaction, virtual_time};

use crate::{
    support::{down, end, fails, ms, replies, slow, start},
    watch::{AT_ONCE, breaker, call, state, turns},
};

#[test]
fn case_13_after_one_failure_of_one_it_opens_where_that_is_asked_for() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        behaviour.react(|_| Reaction::Reply);
        let error = users.send(Ask(1)).await.expect_err("it is open");
        let Some(Reason::Breaker(refused)) = error.reason() else { panic!("{error:?}") };
        assert_eq!((refused.failures, refused.calls, refused.cause), (1, 1, Cause::ErrorRatio));
        assert_eq!(error.retry_after(), Some(ms(30_000)));
        assert_eq!((behaviour.attempts(), call(&runtime, "Ask").rejected), (1, 1));
        end(runtime).await;
    });
}

/// In opossum only above it: of 50 % a half is not too many.
#[test]
fn case_14_it_opens_at_the_threshold() {
    virtual_time(async || {
        let behaviour =
            Behaviour::new(|asked| if asked.id % 2 == 0 { Reaction::Reply } else { Reaction::Fail(down()) });
        let (runtime, users) = start("retry = false\nbreaker.minimum_calls = 4", &behaviour).await;
        for id in 0..4 {
            assert_eq!(state(&runtime), State::Closed);
            let _ = users.send(Ask(id)).await;
        }
        assert_eq!((breaker(&runtime).failures, state(&runtime)), (2, State::Open));
        end(runtime).await;
    });
}

#[test]
fn case_15_a_threshold_of_zero_bears_no_failure() {
    virtual_time(async || {
        let settings = "retry = false\nbreaker = { minimum_calls = 0, error_threshold = \"0%\" }";
        let behaviour = replies();
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..99 {
            users.send(Ask(1)).await.expect("no failure, no reason");
        }
        behaviour.react(|_| Reaction::Fail(down()));
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(state(&runtime), State::Open);
        end(runtime).await;
    });
}

/// In opossum no rate is above it, so that it never opens.
#[test]
fn case_16_a_threshold_of_a_hundred_can_open() {
    virtual_time(async || {
        let settings = "retry = false\n\
            breaker = { minimum_calls = 3, error_threshold = \"100%\", consecutive_failures = 0 }";
        let (runtime, users) = start(settings, &fails()).await;
        for _ in 0..3 {
            assert_eq!(state(&runtime), State::Closed);
            users.send(Ask(1)).await.expect_err("it fails");
        }
        assert_eq!(state(&runtime), State::Open);
        end(runtime).await;
    });
}

/// In opossum a timer makes it half open, call or no call.
#[test]
fn case_17_the_first_call_after_the_reset_time_makes_it_half_open() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        let mut events = runtime.events();
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(29_999)).await;
        assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection());
        tokio::time::sleep(ms(100_000)).await;
        assert_eq!((turns(&mut events), state(&runtime)), (vec![State::Open], State::Open));
        behaviour.react(|_| Reaction::Reply);
        users.send(Ask(1)).await.expect("it is the probe");
        assert_eq!(turns(&mut events), [State::HalfOpen, State::Closed]);
        end(runtime).await;
    });
}

#[test]
fn case_18_and_19_one_trial_passes_and_its_success_closes_it() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(30_000)).await;
        behaviour.react(|_| Reaction::Reply.after(ms(100)));
        let (trial, second) = tokio::join!(users.send(Ask(1)), users.send(Ask(2)));
        trial.expect("it is the trial");
        assert!(second.expect_err("there is one").is_rejection());
        assert_eq!((state(&runtime), behaviour.attempts()), (State::Closed, 2));
        users.send(Ask(3)).await.expect("it is closed");
        end(runtime).await;
    });
}

/// In opossum the reset time is the same each time; here it grows, up to a limit.
#[test]
fn case_20_a_failed_trial_opens_it_again_and_another_follows() {
    virtual_time(async || {
        let (runtime, users) = start(AT_ONCE, &fails()).await;
        let mut events = runtime.events();
        users.send(Ask(1)).await.expect_err("it fails");
        for wait in [30_000, 60_000, 60_000] {
            tokio::time::sleep(ms(wait - 1)).await;
            assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection(), "{wait}");
            tokio::time::sleep(ms(1)).await;
            assert!(!users.send(Ask(1)).await.expect_err("the trial fails").is_rejection(), "{wait}");
        }
        let [open, half] = [State::Open, State::HalfOpen];
        assert_eq!(turns(&mut events), [open, half, open, half, open, half, open]);
        end(runtime).await;
    });
}

#[test]
fn case_21_a_failed_trial_opens_it_again_however_few_calls_there_were() {
    virtual_time(async || {
        // Five in a row open it; ten would have to come for the rate to.
        let (runtime, users) = start("retry = false", &fails()).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        tokio::time::sleep(ms(40_000)).await;
        let mut events = runtime.events();
        users.send(Ask(1)).await.expect_err("the trial fails");
        assert_eq!(turns(&mut events), [State::HalfOpen, State::Open]);
        end(runtime).await;
    });
}

/// In opossum that is a success, and closes it.
#[test]
fn case_22_a_trial_that_fails_by_its_callers_fault_says_nothing() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(30_000)).await;
        behaviour.react(|_| Reaction::Fail(Failure::new(Blame::Caller, "there is none")));
        assert_eq!(users.send(Ask(1)).await.expect_err("it fails").blame(), Blame::Caller);
        assert_eq!(state(&runtime), State::HalfOpen);
        behaviour.react(|_| Reaction::Reply);
        users.send(Ask(1)).await.expect("its slot was given back");
        assert_eq!(state(&runtime), State::Closed);
        end(runtime).await;
    });
}

#[test]
fn case_23_a_trial_that_times_out_has_failed() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(30_000)).await;
        behaviour.react(|_| Reaction::Hang);
        assert!(users.send(Ask(1)).await.expect_err("it hangs").is_timeout());
        assert_eq!(state(&runtime), State::Open);
        end(runtime).await;
    });
}

#[test]
fn case_24_it_opens_once_there_were_enough_calls() {
    virtual_time(async || {
        let settings = "retry = false\nbreaker = { minimum_calls = 3, consecutive_failures = 0 }";
        let (runtime, users) = start(settings, &fails()).await;
        let mut states = Vec::new();
        for _ in 0..3 {
            users.send(Ask(1)).await.expect_err("it fails");
            states.push(state(&runtime));
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
        for _ in 0..20 {
            users.send(Ask(1)).await.expect_err("it fails");
            assert_eq!(state(&runtime), State::Closed);
        }
        tokio::time::sleep(ms(10_000)).await;
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(state(&runtime), State::Open);
        end(runtime).await;
    });
}

/// In opossum the first failure opens it: one call that goes wrong on a quiet service, and nobody is served for 30 s.
#[test]
fn case_26_without_a_warm_up_ten_calls_must_come_or_five_fail_in_a_row() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.serial % 2 {
            0 => Reaction::Reply,
            _ => Reaction::Fail(down()),
        });
        let (runtime, users) = start("retry = false", &behaviour).await;
        for calls in 1..=10 {
            assert_eq!(state(&runtime), State::Closed, "before call {calls}");
            let _ = users.send(Ask(1)).await;
        }
        // The tenth succeeded, so the failure after it is what opens it.
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(state(&runtime), State::Open);
        end(runtime).await;
    });
}

/// Here by a setting, which a reload or an override changes while it runs.
#[test]
fn case_47_turned_off_all_pass_and_turned_on_it_opens() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false", &behaviour).await;
        for mode in ["off", "shadow"] {
            runtime.set("users.breaker.mode", mode).because("we look at it ourselves").expect("it is right");
            for _ in 0..10 {
                assert!(!users.send(Ask(1)).await.expect_err("it fails").is_rejection(), "{mode}");
            }
        }
        assert_eq!((behaviour.attempts(), call(&runtime, "Ask").total()), (20, 20));
        runtime.unset("users.breaker.mode").expect("it is set");
        for _ in 0..5 {
            assert!(!users.send(Ask(1)).await.expect_err("it fails").is_rejection());
        }
        assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection());
        end(runtime).await;
    });
}

/// In opossum it is not, so that what failed before the outage was over may open it at once.
#[test]
fn difference_the_window_is_cleared_when_it_closes() {
    virtual_time(async || {
        let behaviour = fails();
        let settings = "retry = false\n\
            breaker = { minimum_calls = 4, window = \"1h\", reset_timeout = \"1s\", reset_jitter = \"0%\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..4 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        assert_eq!((state(&runtime), breaker(&runtime).failures), (State::Open, 4));
        tokio::time::sleep(ms(1_000)).await;
        behaviour.react(|_| Reaction::Reply);
        users.send(Ask(1)).await.expect("the trial succeeds");
        assert_eq!((state(&runtime), breaker(&runtime).failures), (State::Closed, 0));
        behaviour.react(|_| Reaction::Fail(down()));
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(state(&runtime), State::Closed, "one failure is no reason");
        end(runtime).await;
    });
}

#[test]
fn difference_slow_calls_open_it_where_that_is_asked_for() {
    virtual_time(async || {
        let settings =
            "breaker = { minimum_calls = 4, slow_call = { duration = \"1s\", threshold = \"50%\" } }";
        let (runtime, users) = start(settings, &slow(ms(1_500))).await;
        let mut events = runtime.events();
        for _ in 0..4 {
            users.send(Ask(1)).await.expect("it is slow, and well");
        }
        assert_eq!(turns(&mut events), [State::Open]);
        end(runtime).await;
    });
}
