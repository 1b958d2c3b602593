use futures_util::{FutureExt, future::join_all};
use seawall::{Context, Origin};
use seawall_testkit::{Ask, Change, Lookup, Reaction, virtual_time};

use crate::support::{down, end, ms, replies, settle, slow, start};

#[test]
fn a_kept_reply_is_served_until_its_time_is_over() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("cache = { ttl = \"10s\", jitter = \"0%\" }", &behaviour).await;
        assert_eq!(users.send(Lookup(1)).await.expect("loaded").origin(), Origin::Fresh);
        tokio::time::sleep(ms(9_990)).await;
        let answer = users.send(Lookup(1)).await.expect("kept");
        assert_eq!((answer.origin(), answer.serial), (Origin::Cached, 1));
        assert_eq!(users.send(Lookup(2)).await.expect("another").serial, 2);
        tokio::time::sleep(ms(20)).await;
        assert_eq!(users.send(Lookup(1)).await.expect("loaded again").origin(), Origin::Fresh);
        users.send(Ask(1)).await.expect("it answers");
        assert_eq!(users.send(Ask(1)).await.expect("it did not opt in").origin(), Origin::Fresh);
        end(runtime).await;
    });
}

#[test]
fn ten_thousand_callers_of_one_cold_key_make_one_load() {
    virtual_time(async || {
        let behaviour = slow(ms(300));
        let (runtime, users) = start("", &behaviour).await;
        let results = join_all((0..10_000).map(|_| users.send(Lookup(1)))).await;
        assert!(results.iter().all(|result| result.as_ref().is_ok_and(|answer| answer.serial == 1)));
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

#[test]
fn a_load_outlives_the_caller_that_started_it() {
    virtual_time(async || {
        let behaviour = slow(ms(300));
        let (runtime, users) = start("", &behaviour).await;
        let mut first = users.send(Lookup(1));
        assert!((&mut first).now_or_never().is_none());
        let others = join_all((0..100).map(|_| users.send(Lookup(1))));
        drop(first);
        let results = others.await;
        assert!(results.iter().all(|result| result.as_ref().is_ok_and(|answer| answer.serial == 1)));
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

#[test]
fn a_load_that_panics_is_answered_to_all_who_wait() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour.react(|_| Reaction::Panic.after(ms(100)));
        let (runtime, users) = start("", &behaviour).await;
        let results = join_all((0..10_000).map(|_| users.send(Lookup(1)))).await;
        assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.failure().is_some())));
        assert_eq!(behaviour.attempts(), 1);
        behaviour.react(|_| Reaction::Reply);
        users.send(Lookup(1)).await.expect("an error is never kept");
        end(runtime).await;
    });
}

#[test]
fn a_stale_reply_is_served_while_a_newer_one_is_loaded() {
    virtual_time(async || {
        let behaviour = slow(ms(50));
        let settings = "cache = { ttl = \"10s\", jitter = \"0%\", stale_while_revalidate = \"5s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        tokio::time::sleep(ms(11_000)).await;
        for _ in 0..10 {
            let answer = users.send(Lookup(1)).await.expect("kept");
            assert_eq!((answer.origin(), answer.serial), (Origin::Stale, 1));
        }
        tokio::time::sleep(ms(100)).await;
        let answer = users.send(Lookup(1)).await.expect("the newer one");
        assert_eq!((answer.origin(), answer.serial), (Origin::Cached, 2));
        end(runtime).await;
    });
}

#[test]
fn a_write_is_seen_by_who_reads_after_it_and_a_slow_load_cannot_undo_that() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        users.send(Lookup(2)).await.expect("loaded");
        users.send(Change(1)).await.expect("written");
        assert_eq!(users.send(Lookup(1)).await.expect("anew").origin(), Origin::Fresh);
        assert_eq!(users.send(Lookup(2)).await.expect("kept").origin(), Origin::Cached);

        users.invalidate_tag("item:1");
        behaviour.react(|asked| {
            if asked.call == "Lookup" { Reaction::Reply.after(ms(500)) } else { Reaction::Reply }
        });
        let slow = users.send(Lookup(1));
        let write = async {
            tokio::time::sleep(ms(100)).await;
            users.send(Change(1)).await.expect("written");
            users.send(Lookup(1)).await.expect("a load of its own")
        };
        let (slow, after) = tokio::join!(slow, write);
        assert!(slow.expect("the old value").serial < after.serial);
        let kept = users.send(Lookup(1)).await.expect("kept");
        assert_eq!(kept.serial, after.serial, "the slow load did not put the old value back");
        end(runtime).await;
    });
}

#[test]
fn a_write_whose_outcome_is_unknown_invalidates_all_the_same() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        behaviour
            .react(|asked| if asked.call == "Change" { Reaction::Fail(down()) } else { Reaction::Reply });
        users.send(Change(1)).await.expect_err("who knows");
        assert_eq!(users.send(Lookup(1)).await.expect("anew").origin(), Origin::Fresh);

        behaviour.react(|asked| if asked.call == "Change" { Reaction::Hang } else { Reaction::Reply });
        let mut write = users.send(Change(1));
        assert!((&mut write).now_or_never().is_none());
        settle().await;
        drop(write);
        assert_eq!(users.send(Lookup(1)).await.expect("anew").origin(), Origin::Fresh);
        tokio::time::sleep(ms(4_000)).await;
        end(runtime).await;
    });
}

#[test]
fn everything_can_be_forgotten_by_key_call_tag_and_service() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        let origin = async |id| users.send(Lookup(id)).await.expect("it answers").origin();
        for forget in [
            (|users| users.invalidate(&Lookup(1)).expect("it is right")) as fn(&seawall::Service<_>),
            |users| users.invalidate_calls::<Lookup>().expect("it is right"),
            |users| users.invalidate_tag("item:1"),
            |users| users.invalidate_all(),
        ] {
            origin(1).await;
            assert_eq!(origin(1).await, Origin::Cached);
            forget(&users);
            assert_eq!(origin(1).await, Origin::Fresh);
        }
        end(runtime).await;
    });
}

#[test]
fn tenants_share_nothing_and_a_call_without_one_is_not_cached() {
    virtual_time(async || {
        let (runtime, users) = start("cache = { per = \"tenant\" }", &replies()).await;
        let of = async |tenant: &str| users.send(Lookup(1)).tenant(tenant).await.expect("it answers").serial;
        assert_eq!((of("a").await, of("b").await, of("a").await, of("b").await), (1, 2, 1, 2));
        let context = Context::new().tenant("a");
        assert_eq!(context.in_scope(async { users.send(Lookup(1)).await }).await.expect("kept").serial, 1);
        assert_eq!(users.send(Lookup(1)).await.expect("it answers").serial, 3);
        assert_eq!(users.send(Lookup(1)).await.expect("it answers").serial, 4);
        end(runtime).await;
    });
}

#[test]
fn a_refresh_asks_the_downstream_and_keeps_what_it_says() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        users.send(Lookup(1)).await.expect("loaded");
        assert_eq!(users.send(Lookup(1)).refresh().await.expect("anew").serial, 2);
        assert_eq!(users.send(Lookup(1)).await.expect("kept").serial, 2);
        end(runtime).await;
    });
}
