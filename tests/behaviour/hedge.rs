//! A call that takes longer than nearly all do is asked once more, and the first answer counts.

use futures_util::{FutureExt, future::join_all};
use seawall::{
    Failure, Runtime,
    downstream::{Blame, Reached},
    runtime::CallSnapshot,
};
use seawall_testkit::{Ask, Behaviour, Change, Lookup, Reaction, Scripted, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, replies, start};

/// The first try takes this long, and every other attempt 5 ms.
fn first_takes(time: u64) -> Behaviour {
    Behaviour::new(move |asked| Reaction::Reply.after(ms(if asked.number == 1 { time } else { 5 })))
}

fn of(runtime: &Runtime, call: &str) -> CallSnapshot {
    runtime.snapshot().service("users").and_then(|users| users.call(call).cloned()).expect("it is known")
}

/// Hedges sent, and those that won.
fn hedges(runtime: &Runtime) -> (u64, u64) {
    of(runtime, "Ask").hedge.map(|hedge| (hedge.sent, hedge.won)).expect("it is hedged")
}

#[test]
fn the_first_answer_counts_and_the_loser_is_cancelled() {
    virtual_time(async || {
        let behaviour = first_takes(1_000);
        let (runtime, users) = start("hedge = { delay = \"50ms\" }", &behaviour).await;
        users.send(Ask(0)).await.expect("it opens the pool");
        let began = Instant::now();
        let answer = users.send(Ask(1)).await.expect("the hedge's");
        assert_eq!((answer.number, began.elapsed().as_millis()), (2, 55));
        sleep(ms(2_000)).await;
        assert_eq!((behaviour.attempts(), behaviour.finished()), (4, 2), "the first tries were cut off");
        assert_eq!(hedges(&runtime), (2, 2));
        let breaker = runtime.snapshot().service("users").and_then(|users| users.breaker);
        assert_eq!(
            breaker.map(|breaker| (breaker.calls, breaker.failures)),
            Some((2, 0)),
            "a loser is neutral"
        );
        let metrics = runtime.metrics();
        for (labels, count) in [("hedge\",result=\"success", 2), ("first\",result=\"cancelled", 2)] {
            let line = format!("call=\"Ask\",try=\"{labels}\"}} {count}");
            assert!(
                metrics.lines().any(|it| it.contains("duration_seconds_count") && it.ends_with(&line)),
                "{line}"
            );
        }
        end(runtime).await;
    });
}

#[test]
fn a_first_try_that_is_faster_cancels_its_hedge() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Reply.after(ms(80)));
        let (runtime, users) = start("hedge = { delay = \"50ms\" }", &behaviour).await;
        assert_eq!(users.send(Ask(1)).await.expect("the first's").number, 1);
        sleep(ms(1_000)).await;
        assert_eq!((behaviour.attempts(), behaviour.finished()), (2, 1));
        assert_eq!(hedges(&runtime), (1, 0));
        end(runtime).await;
    });
}

#[test]
fn what_is_not_late_is_not_hedged() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Reply.after(ms(40)));
        let (runtime, users) = start("hedge = { delay = \"50ms\" }", &behaviour).await;
        for id in 0..10 {
            users.send(Ask(id)).await.expect("it is in time");
        }
        assert_eq!((behaviour.attempts(), hedges(&runtime)), (10, (0, 0)));
        end(runtime).await;
    });
}

#[test]
fn nothing_is_hedged_unless_asked_for() {
    virtual_time(async || {
        let behaviour = first_takes(1_000);
        let (runtime, users) = start("", &behaviour).await;
        users.send(Ask(1)).await.expect("it is slow");
        assert_eq!((behaviour.attempts(), of(&runtime, "Ask").hedge.is_none()), (1, true));
        end(runtime).await;
    });
}

#[test]
fn a_write_is_never_made_twice_nor_a_retry_of_the_callers() {
    virtual_time(async || {
        let behaviour = first_takes(1_000);
        let (runtime, users) = start("hedge = { delay = \"50ms\" }", &behaviour).await;
        users.send(Change(1)).await.expect("it is slow");
        assert_eq!(behaviour.attempts(), 1);
        let context = seawall::Context::new().retried();
        context.in_scope(async { users.send(Ask(1)).await }).await.expect("it is slow");
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn a_load_for_the_cache_is_hedged_like_a_call() {
    virtual_time(async || {
        let behaviour = first_takes(1_000);
        let (runtime, users) = start("hedge = { delay = \"50ms\" }", &behaviour).await;
        let answers = join_all((0..100).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.number == 2)));
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn the_delay_is_what_nearly_all_calls_take_and_is_measured() {
    virtual_time(async || {
        // One in fifty is slow.
        let behaviour = Behaviour::new(|asked| {
            Reaction::Reply.after(ms(if asked.number == 1 && asked.id % 50 == 7 { 2_000 } else { 20 }))
        });
        let (runtime, users) = start("hedge = {}", &behaviour).await;
        for id in 100..200 {
            users.send(Ask(id)).await.expect("it answers");
        }
        let delay = of(&runtime, "Ask").hedge.and_then(|hedge| hedge.delay_us).expect("enough is known");
        assert!((20_000..=21_300).contains(&delay), "{delay} us");
        let before = hedges(&runtime).0;
        let began = Instant::now();
        for id in 0..1_000 {
            users.send(Ask(id)).await.expect("it answers");
        }
        let took = began.elapsed();
        assert!(took < ms(21_000), "{took:?}: without hedges it is 60 s");
        assert_eq!(hedges(&runtime).0 - before, 20);
        end(runtime).await;
    });
}

#[test]
fn until_enough_is_known_nothing_is_hedged() {
    virtual_time(async || {
        let behaviour = first_takes(1_000);
        let (runtime, users) = start("hedge = {}", &behaviour).await;
        for id in 0..19 {
            users.send(Ask(id)).await.expect("it is slow");
        }
        assert_eq!(hedges(&runtime), (0, 0));
        end(runtime).await;
    });
}

#[test]
fn hedges_stay_within_the_budget_that_retries_have() {
    virtual_time(async || {
        // It has become slow as a whole: every call is late.
        let behaviour = Behaviour::new(|_| Reaction::Reply.after(ms(500)));
        let settings = "hedge = { delay = \"50ms\" }\nbulkhead = { max_in_flight = 10000 }\n\
                        retry_budget = { ratio = \"10%\", minimum_per_second = 1, window = \"10s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        let calls = join_all((0..1_000).map(|id| users.send(Ask(id)))).await;
        assert!(calls.iter().all(Result::is_ok));
        let attempts = behaviour.attempts();
        assert_eq!(attempts, 1_000 + 100 + 10, "a tenth of the calls, and the floor");
        end(runtime).await;
    });
}

#[test]
fn a_downstream_that_may_be_ill_is_not_hedged() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.id {
            0 => Reaction::Fail(down()),
            _ => Reaction::Reply.after(ms(200)),
        });
        let settings = "retry = false\nhedge = { delay = \"50ms\" }\n\
                        breaker = { consecutive_failures = 3, reset_timeout = \"1s\", reset_jitter = \"0%\", half_open_calls = 2 }";
        let (runtime, users) = start(settings, &behaviour).await;
        let mut slow = Box::pin(users.send(Ask(1)));
        assert!((&mut slow).now_or_never().is_none());
        for _ in 0..3 {
            users.send(Ask(0)).await.expect_err("it fails");
        }
        slow.await.expect("it had been admitted before the breaker opened");
        assert_eq!(hedges(&runtime), (0, 0), "open");
        sleep(ms(1_000)).await;
        users.send(Ask(1)).await.expect("a probe");
        assert_eq!(hedges(&runtime), (0, 0), "half-open");
        users.send(Ask(1)).await.expect("the last probe");
        users.send(Ask(1)).await.expect("it is closed again");
        assert_eq!(hedges(&runtime), (1, 0), "closed");
        end(runtime).await;
    });
}

#[test]
fn a_hedge_takes_no_place_that_others_wait_for() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Reply.after(ms(200)));
        let settings = "hedge = { delay = \"50ms\" }\nbulkhead = { max_in_flight = 2 }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Ask(0)).await.expect("it opens the pool");
        assert_eq!(hedges(&runtime), (1, 0), "there is room for one");
        let began = Instant::now();
        let calls = join_all((0..4).map(|id| users.send(Ask(id)))).await;
        assert!(calls.iter().all(Result::is_ok));
        assert_eq!((hedges(&runtime), began.elapsed().as_millis()), ((1, 0), 400));
        end(runtime).await;
    });
}

#[test]
fn the_delay_is_counted_from_when_the_downstream_is_asked() {
    virtual_time(async || {
        let behaviour =
            Behaviour::new(|asked| Reaction::Reply.after(ms(if asked.id == 0 { 100 } else { 60 })));
        let settings =
            "hedge = { delay = \"70ms\" }\n[services.users.calls.Ask.bulkhead]\nmax_in_flight = 1\n";
        let (runtime, users) = start(settings, &behaviour).await;
        let (first, second) = tokio::join!(users.send(Ask(0)), users.send(Ask(1)));
        first.expect("it takes its time");
        second.expect("it waited for 100 ms, and took 60");
        assert_eq!((behaviour.attempts(), hedges(&runtime)), (2, (0, 0)));
        end(runtime).await;
    });
}

#[test]
fn nothing_is_hedged_past_the_deadline() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Hang);
        let (runtime, users) = start("retry = false\nhedge = { delay = \"50ms\" }", &behaviour).await;
        for _ in 0..3 {
            users.send(Ask(1)).deadline(ms(50)).await.expect_err("it hangs");
        }
        assert_eq!(behaviour.attempts(), 3);
        let began = Instant::now();
        users.send(Ask(1)).deadline(ms(80)).await.expect_err("both hang");
        assert_eq!((behaviour.attempts(), began.elapsed().as_millis()), (5, 80));
        end(runtime).await;
    });
}

#[test]
fn a_failure_waits_for_the_hedge_that_is_under_way_and_counts_if_that_fails_too() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match (asked.id, asked.number) {
            (_, 1) => Reaction::Fail(down()).after(ms(100)),
            (1, _) => Reaction::Reply.after(ms(100)),
            _ => Reaction::Fail(down().reached(Reached::No)).after(ms(100)),
        });
        let (runtime, users) = start("retry = false\nhedge = { delay = \"50ms\" }", &behaviour).await;
        users.send(Ask(0)).await.expect_err("it opens the pool");
        let began = Instant::now();
        assert_eq!(users.send(Ask(1)).await.expect("the hedge's").number, 2);
        assert_eq!(began.elapsed().as_millis(), 150);
        let error = users.send(Ask(2)).await.expect_err("both fail");
        assert_eq!(error.reached(), Reached::Maybe, "the first's failure");
        assert_eq!(began.elapsed().as_millis(), 300);
        end(runtime).await;
    });
}

#[test]
fn a_retry_comes_after_both_and_has_a_number_of_its_own() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.number {
            1 | 2 => Reaction::Fail(down()).after(ms(100)),
            _ => Reaction::Reply,
        });
        let (runtime, users) = start("hedge = { delay = \"50ms\" }", &behaviour).await;
        assert_eq!(users.send(Ask(1)).await.expect("the retry's").number, 3);
        end(runtime).await;
    });
}

#[test]
fn an_answer_that_says_no_is_an_answer() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.number {
            1 => Reaction::Hang,
            _ => Reaction::Fail(Failure::new(Blame::Caller, "no such user")),
        });
        let (runtime, users) = start("hedge = { delay = \"50ms\" }", &behaviour).await;
        let began = Instant::now();
        let error = users.send(Ask(1)).await.expect_err("there is none");
        assert!(error.blame() == Blame::Caller && began.elapsed() < ms(60), "{:?}", began.elapsed());
        end(runtime).await;
    });
}

#[test]
fn a_call_that_is_dropped_takes_its_hedge_along() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Hang);
        let (runtime, users) = start("hedge = { delay = \"50ms\", attempts = 3 }", &behaviour).await;
        let call = users.send(Ask(1));
        tokio::time::timeout(ms(1_000), call).await.expect_err("it hangs");
        assert_eq!(behaviour.attempts(), 4);
        sleep(ms(10)).await;
        end(runtime).await;
    });
}

#[test]
fn a_hedge_whose_first_try_is_refused_is_not_made() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = "hedge = { delay = \"50ms\" }\nrate = { limit = 1, per = \"10s\", burst = 1 }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Ask(1)).await.expect("the only one");
        users.send(Ask(1)).await.expect_err("one too many");
        sleep(ms(100)).await;
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

#[test]
fn calls_from_threads_that_have_no_shard_are_hedged_too() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let behaviour = Behaviour::new(|asked| match asked.number {
            1 => Reaction::Hang,
            _ => Reaction::Reply,
        });
        let settings =
            "[runtime]\narbiters = 1\n[services.users]\nkind = \"scripted\"\nhedge = { delay = \"20ms\" }";
        let builder = Runtime::builder().kind::<Scripted>().extension("users", behaviour.clone());
        let runtime = builder.parse(settings).expect("it is TOML").start().await.expect("it is right");
        let users = runtime.service::<Scripted>("users").expect("there");
        let calls = (0..20).map(|id| {
            let users = users.clone();
            tokio::spawn(async move { users.send(Ask(id)).await.map(|answer| answer.number) })
        });
        for answer in join_all(calls).await {
            assert_eq!(answer.expect("it does not panic").expect("the hedge's"), 2);
        }
        assert_eq!((behaviour.attempts(), behaviour.finished()), (40, 20));
        let bulkhead = runtime.snapshot().service("users").and_then(|users| users.bulkhead);
        assert_eq!(bulkhead.map(|bulkhead| bulkhead.in_flight), Some(0));
        assert_eq!(runtime.drain().await.cut_off, 0);
    });
}
