//! Kept and shared replies.

use seawall::Origin;
use seawall_testkit::{Ask, Lookup, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, slow, start};

#[test]
fn case_36_the_same_call_twice_is_one_attempt() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        let origins = [users.send(Lookup(1)).await, users.send(Lookup(1)).await];
        let origins = origins.map(|answer| answer.expect("it is well").origin());
        assert_eq!((origins, behaviour.attempts()), ([Origin::Fresh, Origin::Cached], 1));
        assert_eq!(runtime.snapshot().services[0].call("Lookup").map(|call| call.total()), Some(2));
        end(runtime).await;
    });
}

#[test]
fn case_37_past_its_time_it_is_asked_for_again() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("cache = { ttl = \"100ms\", jitter = \"0%\" }", &behaviour).await;
        users.send(Lookup(1)).await.expect("it is well");
        users.send(Lookup(1)).await.expect("it is kept");
        assert_eq!(behaviour.attempts(), 1);
        tokio::time::sleep(ms(101)).await;
        assert_eq!(users.send(Lookup(1)).await.expect("it is well").origin(), Origin::Fresh);
        end(runtime).await;
    });
}

#[test]
fn case_41_what_is_forgotten_is_asked_for_again() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        users.send(Lookup(1)).await.expect("it is well");
        users.invalidate_all();
        assert_eq!(users.send(Lookup(1)).await.expect("it is well").origin(), Origin::Fresh);
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn case_42_three_at_once_are_one_attempt() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("", &behaviour).await;
        let answers = futures_util::future::join_all((0..3).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(behaviour.attempts(), 1);
        let calls = runtime.snapshot().services[0].call("Lookup").map(|call| (call.coalesced, call.total()));
        assert_eq!(calls, Some((2, 3)));
        end(runtime).await;
    });
}

#[test]
fn case_44_a_load_is_shared_only_while_it_is_under_way() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let settings = "cache = { ttl = \"1ms\", jitter = \"0%\", stale_if_error = \"0s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..2 {
            users.send(Lookup(1)).await.expect("it is well");
            tokio::time::sleep(ms(2)).await;
        }
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn case_46_a_failure_is_never_kept() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false", &behaviour).await;
        users.send(Lookup(1)).await.expect_err("it fails");
        behaviour.react(|_| Reaction::Reply);
        assert_eq!(users.send(Lookup(1)).await.expect("it is well").origin(), Origin::Fresh);
        end(runtime).await;
    });
}

#[test]
fn kept_replies_are_served_while_the_breaker_is_open() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("retry = false", &behaviour).await;
        users.send(Lookup(1)).await.expect("it is well");
        behaviour.react(|_| Reaction::Fail(down()));
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection());
        assert_eq!(users.send(Lookup(1)).await.expect("it is kept").origin(), Origin::Cached);
        end(runtime).await;
    });
}
