use futures_util::FutureExt;
use seawall_testkit::{Ask, Change, Lookup, Reaction, virtual_time};

use crate::support::{down, end, ms, replies, settle, slow, start};

/// Polls a call until its attempt is under way: first the pool is opened for it.
async fn begin<F: Future + Unpin>(call: &mut F) {
    for _ in 0..3 {
        assert!(call.now_or_never().is_none());
        settle().await;
    }
}

#[test]
fn an_attempt_is_cancelled_with_its_caller() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("", &behaviour).await;
        let mut call = users.send(Ask(1));
        begin(&mut call).await;
        assert_eq!(behaviour.attempts(), 1);
        drop(call);
        tokio::time::sleep(ms(1000)).await;
        assert_eq!(behaviour.finished(), 0);
        end(runtime).await;
    });
}

#[test]
fn a_write_that_has_been_sent_is_finished_and_its_outcome_recorded() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("", &behaviour).await;
        let mut call = users.send(Change(1));
        begin(&mut call).await;
        drop(call);
        tokio::time::sleep(ms(1000)).await;
        assert_eq!(behaviour.finished(), 1);
        let breaker =
            runtime.snapshot().service("users").and_then(|users| users.breaker).expect("it has one");
        assert_eq!((breaker.calls, breaker.failures), (1, 0));
        end(runtime).await;
    });
}

#[test]
fn ten_thousand_calls_dropped_at_random_points_leave_nothing_behind() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour.react(|asked| {
            let delay = ms(asked.serial * 7 % 40);
            match asked.serial % 11 {
                0 => Reaction::Panic.after(delay),
                1 => Reaction::Fail(down()).after(delay),
                2 => Reaction::Panic,
                3 => Reaction::Reply,
                4 => Reaction::Fail(down()),
                _ => Reaction::Reply.after(delay),
            }
        });
        let settings = "bulkhead = { max_in_flight = 10, max_queue = 20 }\n\
                        breaker = { reset_timeout = \"20ms\", reset_max = \"40ms\", half_open_calls = 2 }";
        let (runtime, users) = start(settings, &behaviour).await;
        let mut tasks = Vec::new();
        for id in 0..10_000_u64 {
            let users = users.clone();
            let patience = ms(id * 31 % 60);
            tasks.push(actix_rt::spawn(async move {
                let _ = match id % 3 {
                    0 => tokio::time::timeout(patience, users.send(Ask(id))).await.map(drop),
                    1 => tokio::time::timeout(patience, users.send(Change(id))).await.map(drop),
                    _ => tokio::time::timeout(patience, users.send(Lookup(id % 50))).await.map(drop),
                };
            }));
            if id % 16 == 0 {
                tokio::time::sleep(ms(1)).await;
            }
        }
        for task in tasks {
            task.await.expect("no call panics its caller");
        }
        tokio::time::sleep(ms(10_000)).await;
        // No probe's slot is held: the next one closes the breaker.
        behaviour.react(|_| Reaction::Reply);
        for _ in 0..3 {
            users.send(Ask(1)).await.expect("it is well again");
        }
        end(runtime).await;
    });
}

#[test]
fn a_write_that_goes_on_without_its_caller_invalidates_when_it_ends() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour.react(|asked| {
            if asked.call == "Change" { Reaction::Reply.after(ms(500)) } else { Reaction::Reply }
        });
        let (runtime, users) = start("", &behaviour).await;
        let mut write = users.send(Change(1));
        begin(&mut write).await;
        drop(write);
        let before = users.send(Lookup(1)).await.expect("loaded before it is written").serial;
        assert_eq!(users.send(Lookup(1)).await.expect("kept").serial, before);
        tokio::time::sleep(ms(1000)).await;
        assert_ne!(users.send(Lookup(1)).await.expect("loaded after it").serial, before);
        end(runtime).await;
    });
}
