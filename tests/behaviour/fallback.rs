use std::error::Error;

use seawall::{Failure, Origin, downstream::Blame};
use seawall_testkit::{Ask, Echo, Lookup, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, start};

const SPARE: Echo = Echo { id: 0, serial: 0, number: 0 };

#[test]
fn a_fallback_may_be_a_value_a_result_or_a_future_of_either() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false\nbreaker = false", &fails()).await;
        let value = users.send(Ask(1)).fallback(|_| SPARE).await.expect("a value");
        let result = users.send(Ask(1)).fallback(|_| Ok::<_, std::io::Error>(SPARE)).await.expect("a result");
        let future = users.send(Ask(1)).fallback(|_| async { SPARE }).await.expect("a future");
        let both = users
            .send(Ask(1))
            .fallback(|_| async { Ok::<_, std::io::Error>(SPARE) })
            .await
            .expect("a future of a result");
        for answer in [value, result, future, both] {
            assert_eq!((*answer, answer.origin()), (SPARE, Origin::Fallback));
        }
        end(runtime).await;
    });
}

#[test]
fn a_fallback_is_told_the_error() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let mut told = None;
        let _ = users
            .send(Ask(1))
            .fallback(|error| {
                told = Some(error.to_string());
                SPARE
            })
            .await;
        assert_eq!(told.as_deref(), Some("users Ask failed"));
        end(runtime).await;
    });
}

#[test]
fn an_open_breaker_still_falls_back_and_counts_it() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false", &behaviour).await;
        for _ in 0..100 {
            users.send(Ask(1)).fallback(|_| SPARE).await.expect("always an answer");
        }
        assert_eq!(behaviour.attempts(), 5);
        let snapshot = runtime.snapshot();
        let ask = snapshot.service("users").and_then(|users| users.call("Ask")).expect("it was called");
        assert_eq!((ask.fallback, ask.total()), (100, 100));
        end(runtime).await;
    });
}

#[test]
fn a_callers_own_fault_is_no_reason_to_fall_back() {
    virtual_time(async || {
        let behaviour = fails();
        behaviour.react(|_| Reaction::Fail(Failure::new(Blame::Caller, "there is no such user")));
        let (runtime, users) = start("", &behaviour).await;
        let error =
            users.send(Ask(1)).fallback(|_| SPARE).await.expect_err("a deleted user does not come back");
        assert_eq!(error.blame(), Blame::Caller);
        assert_eq!(behaviour.attempts(), 1, "nor to try again");
        end(runtime).await;
    });
}

#[test]
fn a_fallback_that_fails_or_panics_or_is_slow_carries_the_first_error() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false\nbreaker = false", &fails()).await;
        let failed = users.send(Ask(1)).fallback(|_| Err::<Echo, _>("no spare")).await;
        let panicked = users.send(Ask(1)).fallback(|_| -> Echo { panic!("no spare") }).await;
        let late = users
            .send(Ask(1))
            .fallback(|_| async {
                tokio::time::sleep(ms(60_000)).await;
                SPARE
            })
            .await;
        let panicked_late = users.send(Ask(1)).fallback(|_| async { panic!("no spare") as Echo }).await;
        for result in [failed, panicked, late, panicked_late] {
            let error = result.expect_err("the fallback failed");
            assert_eq!(
                error.source().map(ToString::to_string).as_deref(),
                Some("users Ask failed"),
                "{error}"
            );
        }
        end(runtime).await;
    });
}

#[test]
fn a_fallback_that_calls_the_same_service_does_not_fall_back_into_itself() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false\nbreaker = false", &behaviour).await;
        let again = users.clone();
        let result = users
            .send(Ask(1))
            .fallback(move |_| async move {
                again.send(Ask(2)).fallback(|_| SPARE).await.map(|answer| answer.into_inner())
            })
            .await;
        assert!(result.is_err());
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn a_stale_reply_comes_before_the_callers_fallback() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("retry = false", &behaviour).await;
        users.send(Lookup(1)).await.expect("it is loaded");
        behaviour.react(|_| Reaction::Fail(down()));
        tokio::time::sleep(ms(310_000)).await;
        let answer = users.send(Lookup(1)).fallback(|_| SPARE).await.expect("it is stale");
        assert_eq!((answer.serial, answer.origin(), answer.age().as_secs()), (1, Origin::Stale, 310));
        tokio::time::sleep(ms(300_000)).await;
        let answer = users.send(Lookup(1)).fallback(|_| SPARE).await.expect("a fallback");
        assert_eq!(answer.origin(), Origin::Fallback, "what is too old is not served");
        end(runtime).await;
    });
}
