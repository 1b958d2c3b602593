//! opossum's traps, each as what somebody would meet there, and does not here.

use std::sync::atomic::{AtomicU64, Ordering};

use seawall::{Origin, Runtime, call::Reason, policy::breaker::State, service::Func};
use seawall_testkit::{Ask, Behaviour, Lookup, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, slow, start};

const AT_ONCE: &str =
    "retry = false\nbreaker = { minimum_calls = 1, error_threshold = \"10%\", reset_jitter = \"0%\" }";

#[test]
fn trap_a_how_long_it_is_open_is_counted_from_its_opening() {
    virtual_time(async || {
        let (runtime, users) = start(AT_ONCE, &fails()).await;
        tokio::time::sleep(ms(600_000)).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(10_000)).await;
        let breaker = runtime.snapshot().services[0].breaker.expect("it has one");
        assert_eq!((breaker.since_ms, breaker.retry_after_ms), (10_000, 20_000));
        end(runtime).await;
    });
}

#[test]
fn trap_b_no_check_outlives_the_shutdown() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("health = { interval = \"1s\", failures = 1 }", &behaviour).await;
        users.send(Ask(1)).await.expect("it is well");
        runtime.drain().await;
        behaviour.check(|| Err(down()));
        tokio::time::sleep(ms(60_000)).await;
        let breaker = runtime.snapshot().services[0].breaker.expect("it has one");
        assert_eq!((breaker.state, breaker.generation), (State::Closed, 0));
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
        let runtime = Runtime::builder().parse("[services.any]\nkind = \"func\"").expect("it is TOML");
        let runtime = runtime.current_thread().start().await.expect("it is right");
        let any: seawall::Service<Func> = runtime.guard("any").expect("it is there");
        any.run(|| async { Ok::<(), std::io::Error>(()) }).await.expect("it is well");
        let none = any.run(|| async { Ok::<Option<u8>, std::io::Error>(None) }).await.expect("it is well");
        assert_eq!(*none, None);
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
            _ => Reaction::Hang,
        });
        let settings = format!(
            "{AT_ONCE}\ntimeout = \"10s\"\n[services.users.calls.Ask.breaker]\nreset_timeout = \"1s\""
        );
        let (runtime, users) = start(&settings, &behaviour).await;
        let state = || {
            let service = &runtime.snapshot().services[0];
            service.call("Ask").and_then(|call| call.breaker).expect("it has one").state
        };
        tokio::join!(async { users.send(Ask(0)).await.expect("it is late, and well") }, async {
            tokio::time::sleep(ms(1)).await;
            users.send(Ask(1)).await.expect_err("it opens it");
            tokio::time::sleep(ms(1_500)).await;
            let trial = users.send(Ask(2)).deadline(ms(2_000)).await;
            assert!(trial.expect_err("it hangs").is_timeout());
        });
        assert_eq!(state(), State::HalfOpen);
        end(runtime).await;
    });
}

#[test]
fn trap_h_a_trial_in_the_warm_up_is_not_stuck() {
    virtual_time(async || {
        // A check may make it half open at any time; in the warm-up it is not even opened.
        let behaviour = replies();
        behaviour.check(|| Err(down()));
        let settings = "health = { interval = \"1s\", failures = 1 }\nbreaker.warm_up = \"1m\"\nrestart = { intensity = 1000, backoff = \"1ms\", backoff_max = \"1ms\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..50 {
            tokio::time::sleep(ms(1_000)).await;
            users.send(Ask(1)).await.expect("it is not open");
        }
        tokio::time::sleep(ms(20_000)).await;
        users.send(Ask(1)).await.expect_err("now it is");
        behaviour.check(|| Ok(()));
        tokio::time::sleep(ms(1_100)).await;
        users.send(Ask(1)).await.expect("and now it is closed");
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
        assert_eq!(runtime.snapshot().services[0].breaker.map(|breaker| breaker.state), Some(State::Closed));
        end(runtime).await;
    });
}

#[test]
fn trap_j_and_k_a_windows_settings_are_in_force_or_refused() {
    virtual_time(async || {
        for wrong in ["breaker.window = \"0s\"", "breaker.buckets = 0", "breaker.window = { calls = 0 }"] {
            let settings = format!("[services.users]\nkind = \"scripted\"\n{wrong}");
            let builder =
                Runtime::builder().kind::<seawall_testkit::Scripted>().parse(settings).expect("TOML");
            builder.current_thread().start().await.expect_err(wrong);
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
        let breaker = runtime.snapshot().services[0].breaker.expect("it has one");
        assert_eq!((breaker.calls, breaker.failures), (4, 0), "the last four, and no others");
        end(runtime).await;
    });
}

#[test]
fn trap_l_and_case_40_the_room_is_bounded_and_what_is_used_stays() {
    virtual_time(async || {
        let runtime = Runtime::builder()
            .kind::<seawall_testkit::Scripted>()
            .extension("users", replies())
            .parse("[runtime]\ncache_max_bytes = \"64KiB\"\n[services.users]\nkind = \"scripted\"")
            .expect("it is TOML")
            .current_thread()
            .seed(7)
            .start()
            .await
            .expect("it is right");
        let users: seawall::Service<seawall_testkit::Scripted> =
            runtime.service("users").expect("it is there");
        for id in 0..5_000 {
            users.send(Lookup(id)).await.expect("it is well");
            users.send(Lookup(0)).await.expect("it is well");
        }
        let snapshot = runtime.snapshot();
        assert!(snapshot.cache.bytes <= 64 << 10, "{:?}", snapshot.cache);
        assert!(snapshot.cache.entries < 5_000);
        // In opossum the first that came would be the first to go, however often it is used.
        assert_eq!(users.send(Lookup(0)).await.expect("it is well").origin(), Origin::Cached);
        end(runtime).await;
    });
}
