//! Many who ask for the same at once: one load, whatever becomes of it and of who began it.

use futures_util::{FutureExt, future::join_all};
use seawall_testkit::{Behaviour, Lookup, Reaction, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, settle, slow, start};

const CALLERS: u64 = 10_000;

/// K1: one load, and all get the same reply.
#[test]
fn ten_thousand_callers_of_a_cold_key_make_one_load() {
    virtual_time(async || {
        let behaviour = slow(ms(300));
        let (runtime, users) = start("", &behaviour).await;
        let began = Instant::now();
        let answers = join_all((0..CALLERS).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.serial == 1)));
        assert_eq!(behaviour.attempts(), 1);
        assert!(began.elapsed() < ms(350));
        let snapshot = runtime.snapshot();
        let call = snapshot.service("users").and_then(|users| users.call("Lookup")).expect("known");
        assert_eq!((call.loads, call.coalesced, call.fresh), (1, CALLERS - 1, CALLERS));
        end(runtime).await;
    });
}

/// K2, cancelled: the load is not its leader's but a task of the service's, so nobody has to take it over, and it is not
/// made a second time.
#[test]
fn a_leader_that_goes_away_leaves_its_load_to_the_others() {
    virtual_time(async || {
        let behaviour = slow(ms(300));
        let (runtime, users) = start("", &behaviour).await;
        let began = Instant::now();
        let mut leader = users.send(Lookup(1));
        assert!((&mut leader).now_or_never().is_none());
        let others = join_all((1..CALLERS).map(|_| users.send(Lookup(1))));
        let (answers, ()) = tokio::join!(others, async {
            sleep(ms(100)).await;
            drop(leader);
        });
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.serial == 1)));
        assert_eq!(behaviour.attempts(), 1);
        assert!(began.elapsed() < ms(350), "nobody began anew: {:?}", began.elapsed());
        end(runtime).await;
    });
}

/// K2, panicked: all are told, at once and once. What panicked for one would for the next, so nobody takes over; who
/// comes afterwards loads anew.
#[test]
fn a_load_that_panics_ends_for_all_and_the_next_one_loads_anew() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.serial {
            1 => Reaction::Panic.after(ms(100)),
            _ => Reaction::Reply.after(ms(100)),
        });
        let (runtime, users) = start("", &behaviour).await;
        let began = Instant::now();
        let answers = join_all((0..CALLERS).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(Result::is_err));
        assert!(began.elapsed() < ms(150), "nobody hangs: {:?}", began.elapsed());
        assert_eq!(behaviour.attempts(), 1);
        let answers = join_all((0..CALLERS).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.serial == 2)));
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

/// K3: a load that fails is made again as often as its retries say, not as often as there are callers.
#[test]
fn a_load_that_fails_is_retried_once_for_all() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Fail(down()).after(ms(100)));
        let (runtime, users) = start("", &behaviour).await;
        let answers = join_all((0..CALLERS).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.failure().is_some())));
        assert_eq!(behaviour.attempts(), 2, "one, and its retry");
        settle().await;
        end(runtime).await;
    });
}

/// Background loads are loads: those who ask for the same meanwhile start none.
#[test]
fn a_thousand_hits_of_a_stale_reply_make_one_load() {
    virtual_time(async || {
        let behaviour = slow(ms(300));
        let settings = "cache = { ttl = \"1s\", jitter = \"0%\", stale_while_revalidate = \"10s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        sleep(ms(1_500)).await;
        for _ in 0..1_000 {
            users.send(Lookup(1)).await.expect("stale");
        }
        sleep(ms(400)).await;
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn a_stale_reply_is_not_loaded_anew_while_the_breaker_is_open() {
    virtual_time(async || {
        let behaviour = slow(ms(10));
        let settings = "retry = false\ncache = { ttl = \"1s\", jitter = \"0%\", stale_while_revalidate = \"1h\" }\n\
                        breaker = { consecutive_failures = 3, reset_timeout = \"1s\", reset_jitter = \"0%\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        behaviour.react(|_| Reaction::Fail(down()));
        let loads = || {
            let snapshot = runtime.snapshot();
            snapshot.service("users").and_then(|users| users.call("Lookup")).map_or(0, |call| call.loads)
        };
        sleep(ms(1_500)).await;
        for _ in 0..40 {
            users.send(Lookup(1)).await.expect("stale");
            sleep(ms(10)).await;
        }
        assert_eq!((behaviour.attempts(), loads()), (4, 4), "three that failed, and then none");
        behaviour.react(|_| Reaction::Reply);
        sleep(ms(1_000)).await;
        users.send(Lookup(1)).await.expect("stale");
        sleep(ms(100)).await;
        assert_eq!(users.send(Lookup(1)).await.expect("a probe loaded it").serial, 5);
        end(runtime).await;
    });
}

/// K13: of two loads of one key, the older one ends last, and puts nothing in the place of the newer one's reply.
#[test]
fn a_load_that_was_overtaken_leaves_the_newer_reply_where_it_is() {
    virtual_time(async || {
        let behaviour =
            Behaviour::new(|asked| Reaction::Reply.after(ms(if asked.serial == 1 { 500 } else { 10 })));
        let (runtime, users) = start("", &behaviour).await;
        let overtaken = users.send(Lookup(1));
        let newer = async {
            sleep(ms(100)).await;
            users.invalidate_tag("item:1");
            users.send(Lookup(1)).await.expect("a load of its own").serial
        };
        let (overtaken, newer) = tokio::join!(overtaken, newer);
        assert_eq!((overtaken.expect("the old one").serial, newer), (1, 2));
        let kept = users.send(Lookup(1)).await.expect("kept");
        assert_eq!((kept.serial, behaviour.attempts()), (2, 2), "it was not loaded a third time");
        end(runtime).await;
    });
}
