//! Kept replies.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use seawall::Origin;
use seawall_testkit::{Ask, Change, Lookup, Reaction, virtual_time};

use crate::{
    shop::{Quote, guard},
    support::{down, end, fails, ms, replies, start},
    watch::{call, state},
};

#[test]
fn case_36_the_same_call_twice_is_a_miss_and_a_hit() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        let answers = [users.send(Lookup(1)).await, users.send(Lookup(1)).await];
        let origins = answers.map(|answer| answer.expect("it is well").origin());
        assert_eq!((origins, behaviour.attempts()), ([Origin::Fresh, Origin::Cached], 1));
        let lookup = call(&runtime, "Lookup");
        assert_eq!((lookup.misses, lookup.cached, lookup.total()), (1, 1, 2));
        end(runtime).await;
    });
}

#[test]
fn case_37_past_its_time_it_is_asked_for_again() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("cache = { ttl = \"100ms\", jitter = \"0%\" }", &behaviour).await;
        users.send(Lookup(1)).await.expect("it is well");
        tokio::time::sleep(ms(99)).await;
        assert_eq!(users.send(Lookup(1)).await.expect("it is kept").origin(), Origin::Cached);
        tokio::time::sleep(ms(2)).await;
        assert_eq!(users.send(Lookup(1)).await.expect("it is well").origin(), Origin::Fresh);
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn case_38_a_call_says_what_its_answer_depends_on() {
    virtual_time(async || {
        let (runtime, any) = guard("").await;
        let asked = Arc::new(AtomicU64::new(0));
        let quote = |order, asker| Quote { asker, asked: Arc::clone(&asked), ..Quote::new(order, 5) };
        assert_eq!(any.send(quote(1, "alice")).await.expect("it is well").origin(), Origin::Fresh);
        assert_eq!(any.send(quote(1, "bob")).await.expect("it is kept").origin(), Origin::Cached);
        assert_eq!(any.send(quote(2, "bob")).await.expect("it is another").origin(), Origin::Fresh);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        end(runtime).await;
    });
}

/// The room is bounded by bytes, over all services. In opossum the first that came is the first to go, however often it is
/// used, since an update does not refresh it.
#[test]
fn case_40_and_trap_l_the_room_is_bounded_and_what_is_used_stays() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = "[runtime]\ncache_max_bytes = \"64KiB\"";
        let (runtime, users) = start(settings, &behaviour).await;
        for id in 1..5_000 {
            users.send(Lookup(id)).await.expect("it is well");
            users.send(Lookup(0)).await.expect("it is well");
        }
        let kept = runtime.snapshot().cache;
        assert!(kept.bytes <= 64 << 10 && kept.entries < 4_999, "{kept:?}");
        assert_eq!(users.send(Lookup(0)).await.expect("it is kept").origin(), Origin::Cached);
        end(runtime).await;
    });
}

#[test]
fn case_41_what_is_forgotten_is_asked_for_again() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        for forget in 0..4 {
            users.send(Lookup(1)).await.expect("it is well");
            assert_eq!(users.send(Lookup(1)).await.expect("it is kept").origin(), Origin::Cached);
            match forget {
                0 => users.invalidate_all(),
                1 => users.invalidate(&Lookup(1)).expect("it has a key"),
                2 => users.invalidate_tag("item:1"),
                _ => drop(users.send(Change(1)).await.expect("a write says what it changes")),
            }
            assert_eq!(users.send(Lookup(1)).await.expect("it is well").origin(), Origin::Fresh, "{forget}");
        }
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
fn difference_kept_replies_are_served_while_it_is_open_and_stale_ones_too() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = "retry = false\ncache = { ttl = \"1s\", jitter = \"0%\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Lookup(1)).await.expect("it is well");
        behaviour.react(|_| Reaction::Fail(down()));
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        assert!(state(&runtime).refuses());
        assert_eq!(users.send(Lookup(1)).await.expect("it is kept").origin(), Origin::Cached);
        // opossum would refuse it from here on.
        tokio::time::sleep(ms(2_000)).await;
        assert_eq!(users.send(Lookup(1)).await.expect("it is stale").origin(), Origin::Stale);
        end(runtime).await;
    });
}
