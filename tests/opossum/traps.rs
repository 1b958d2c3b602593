//! opossum's traps, each as what somebody would meet there, and does not here.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use seawall::{Origin, Runtime, call::Reason, policy::breaker::State};
use seawall_testkit::{Ask, Behaviour, Lookup, Reaction, Scripted, virtual_time};

use crate::{
    shop::guard,
    support::{down, end, fails, ms, replies, slow, start},
    watch::{AT_ONCE, breaker, state},
};

#[test]
fn trap_a_how_long_it_is_open_is_counted_from_its_opening() {
    virtual_time(async || {
        let (runtime, users) = start(AT_ONCE, &fails()).await;
        tokio::time::sleep(ms(600_000)).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(10_000)).await;
        assert_eq!((breaker(&runtime).since_ms, breaker(&runtime).retry_after_ms), (10_000, 20_000));
        end(runtime).await;
    });
}

#[test]
fn trap_b_no_check_outlives_the_shutdown() {
    virtual_time(async || {
        let behaviour = replies();
        let checks = Arc::new(AtomicU64::new(0));
        let checked = Arc::clone(&checks);
        behaviour.check(move || {
            checked.fetch_add(1, Ordering::SeqCst);
            Err(down())
        });
        let (runtime, users) = start("health = { interval = \"1s\", failures = 100 }", &behaviour).await;
        users.send(Ask(1)).await.expect("it is well");
        tokio::time::sleep(ms(5_500)).await;
        let before = checks.load(Ordering::SeqCst);
        assert!(before >= 5, "{before}");
        runtime.drain().await;
        tokio::time::sleep(ms(600_000)).await;
        assert_eq!(checks.load(Ordering::SeqCst), before);
        assert_eq!((state(&runtime), breaker(&runtime).generation), (State::Closed, 0));
    });
}

#[test]
fn trap_c_a_refusal_is_not_shared_with_those_who_come_later() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("bulkhead = { max_in_flight = 1, max_queue = 0 }", &behaviour).await;
        let (held, refused) = tokio::join!(users.send(Lookup(1)), users.send(Lookup(2)));
        held.expect("it has the place");
        assert!(matches!(refused.expect_err("it is full").reason(), Some(Reason::BulkheadFull { .. })));
        users.send(Lookup(2)).await.expect("the place is free");
        // Nor is code that panics.
        behaviour.react(|_| Reaction::Panic);
        users.send(Lookup(3)).await.expect_err("it panics");
        behaviour.react(|_| Reaction::Reply);
        users.send(Lookup(3)).await.expect("it does not any more");
        end(runtime).await;
    });
}

#[test]
fn trap_d_nothing_is_shared_for_ever() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let settings =
            "attempt_timeout = false\ncache = { ttl = \"1s\", jitter = \"0%\", stale_if_error = \"0s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Lookup(1)).await.expect("it is well");
        tokio::time::sleep(ms(1_001)).await;
        assert_eq!(users.send(Lookup(1)).await.expect("it is well").origin(), Origin::Fresh);
        end(runtime).await;
    });
}

#[test]
fn trap_e_nothing_is_an_answer_too() {
    virtual_time(async || {
        let (runtime, any) = guard("").await;
        any.run(|| async { Ok::<(), std::io::Error>(()) }).await.expect("it is well");
        let none = any.run(|| async { Ok::<Option<u8>, std::io::Error>(None) }).await.expect("it is well");
        assert_eq!(*none, None);
        assert_eq!((breaker(&runtime).calls, breaker(&runtime).failures), (2, 0));
        end(runtime).await;
    });
}

#[test]
fn trap_f_one_timeout_aborts_nothing_but_its_own_attempt() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &slow(ms(200))).await;
        let (hurried, other) = tokio::join!(users.send(Ask(1)).deadline(ms(100)), users.send(Ask(2)));
        assert!(hurried.expect_err("it has no time").is_timeout());
        other.expect("it has");
        users.send(Ask(3)).await.expect("and so has the next");
        end(runtime).await;
    });
}

#[test]
fn trap_g_a_late_success_of_before_closes_nothing() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.id {
            0 => Reaction::Reply.after(ms(2_000)),
            1 => Reaction::Fail(down()),
            _ => Reaction::Reply.after(ms(1_000)),
        });
        let settings =
            "retry = false\nbreaker = { minimum_calls = 1, reset_timeout = \"1s\", reset_jitter = \"0%\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        tokio::join!(
            async { users.send(Ask(0)).await.map(drop).expect("it is late, and well") },
            async {
                tokio::time::sleep(ms(1)).await;
                users.send(Ask(1)).await.expect_err("it opens it");
                tokio::time::sleep(ms(1_500)).await;
                users.send(Ask(2)).await.map(drop).expect("it is the trial, until 2.5 s");
            },
            async {
                tokio::time::sleep(ms(2_100)).await;
                assert_eq!(state(&runtime), State::HalfOpen);
                assert!(users.send(Ask(3)).await.expect_err("the trial is under way").is_rejection());
            }
        );
        assert_eq!(state(&runtime), State::Closed, "by the trial");
        end(runtime).await;
    });
}

/// Nothing opens it in the warm-up, so that there is no trial then; after it a trial counts as ever.
#[test]
fn trap_h_no_trial_of_the_warm_up_is_stuck() {
    virtual_time(async || {
        let behaviour = fails();
        let settings =
            "retry = false\nbreaker = { minimum_calls = 1, warm_up = \"1m\", reset_jitter = \"0%\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..59 {
            users.send(Ask(1)).await.expect_err("it fails");
            assert_eq!(state(&runtime), State::Closed);
            tokio::time::sleep(ms(1_000)).await;
        }
        tokio::time::sleep(ms(1_000)).await;
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(state(&runtime), State::Open);
        tokio::time::sleep(ms(30_000)).await;
        assert!(!users.send(Ask(1)).await.expect_err("the trial fails").is_rejection());
        assert_eq!(state(&runtime), State::Open);
        behaviour.react(|_| Reaction::Reply);
        tokio::time::sleep(ms(60_000)).await;
        users.send(Ask(1)).await.expect("the trial succeeds");
        assert_eq!(state(&runtime), State::Closed);
        end(runtime).await;
    });
}

#[test]
fn trap_i_a_trial_that_never_ends_does_not_hold_the_gate() {
    virtual_time(async || {
        let behaviour = fails();
        let settings = format!("{AT_ONCE}\ntimeout = \"60s\"");
        let (runtime, users) = start(&settings, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(30_000)).await;
        behaviour.react(|asked| if asked.id == 2 { Reaction::Hang } else { Reaction::Reply });
        let (hangs, ()) = tokio::join!(users.send(Ask(2)), async {
            tokio::time::sleep(ms(9_999)).await;
            assert!(users.send(Ask(3)).await.expect_err("there is a trial").is_rejection());
            tokio::time::sleep(ms(1)).await;
            users.send(Ask(3)).await.expect("it is another trial");
        });
        assert!(hangs.expect_err("its time ran out").is_timeout());
        assert_eq!(state(&runtime), State::Closed);
        end(runtime).await;
    });
}

#[test]
fn trap_j_and_k_a_windows_settings_are_in_force_or_refused() {
    virtual_time(async || {
        for wrong in ["breaker.window = \"0s\"", "breaker.buckets = 0", "breaker.window = { calls = 0 }"] {
            let settings = format!("[services.users]\nkind = \"scripted\"\n{wrong}");
            let builder = Runtime::builder().kind::<Scripted>().parse(settings).expect("it is TOML");
            let error = builder.current_thread().start().await.expect_err(wrong).to_string();
            assert!(error.contains("breaker"), "{error}");
        }
        let asked = AtomicU64::new(0);
        let behaviour = Behaviour::new(move |_| {
            if asked.fetch_add(1, Ordering::Relaxed) < 4 { Reaction::Fail(down()) } else { Reaction::Reply }
        });
        let settings = "retry = false\nbreaker = { window = { calls = 4 }, minimum_calls = 5 }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..8 {
            let _ = users.send(Ask(1)).await;
        }
        let counted = (breaker(&runtime).calls, breaker(&runtime).failures);
        assert_eq!(counted, (4, 0), "the last four, and no others");
        end(runtime).await;
    });
}
