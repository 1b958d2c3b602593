//! What answers in place of a failure.

use std::error::Error as _;

use seawall::{CallError, Origin, Runtime};
use seawall_testkit::{Ask, Echo, Lookup, Reaction, Scripted, virtual_time};

use crate::{
    shop::{LIST_PRICE, Quote, guard},
    support::{down, end, fails, ms, replies, start},
    watch::{breaker, call},
};

const SPARE: Echo = Echo { id: 9, serial: 0, number: 0 };

/// A closure has what it needs of the arguments, so that it is given the error alone.
#[test]
fn case_30_and_34_a_fallback_is_told_the_error_and_chains() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let (asked, mut told) = (4, None);
        let answer = users
            .send(Ask(asked))
            .fallback(|error| {
                told = Some(error.to_string());
                Echo { id: asked, ..SPARE }
            })
            .deadline(ms(1_000))
            .await
            .expect("it falls back");
        assert_eq!((answer.id, answer.origin()), (4, Origin::Fallback));
        assert_eq!(told.as_deref(), Some("users Ask failed"));
        end(runtime).await;
    });
}

#[test]
fn case_31_it_answers_while_the_breaker_is_open_and_that_is_no_failure() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        let answer = users.send(Ask(1)).fallback(|error| {
            assert!(error.is_rejection());
            SPARE
        });
        assert_eq!(*answer.await.expect("it falls back"), SPARE);
        assert_eq!((breaker(&runtime).rejected, breaker(&runtime).failures), (1, 5));
        assert_eq!((call(&runtime, "Ask").fallback, call(&runtime, "Ask").error), (1, 5));
        end(runtime).await;
    });
}

/// In opossum the first error is lost. Here it stays what the error is about, and its source.
#[test]
fn case_32_a_fallback_that_fails_keeps_the_first_error_as_its_source() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let failed = users.send(Ask(1)).fallback(|_| Err::<Echo, _>(std::io::Error::other("no spare"))).await;
        let panicked = users.send(Ask(1)).fallback(|_| -> Echo { panic!("no spare") }).await;
        let rejected = users.send(Ask(1)).fallback(|_| async {
            tokio::task::yield_now().await;
            Err::<Echo, _>(std::io::Error::other("no spare"))
        });
        for answer in [failed, panicked, rejected.await] {
            let error = answer.expect_err("both fail");
            assert!(matches!(error, CallError::FallbackFailed(_)), "{error:?}");
            assert!(error.to_string().contains("no spare"), "{error}");
            assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("users Ask failed"));
        }
        assert_eq!((call(&runtime, "Ask").fallback, call(&runtime, "Ask").error), (0, 3));
        end(runtime).await;
    });
}

#[test]
fn case_33_a_fallback_may_be_a_call_behind_another_breaker() {
    virtual_time(async || {
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .extension("users", fails())
            .extension("spare", replies())
            .parse("[services.users]\nkind = \"scripted\"\n[services.spare]\nkind = \"scripted\"")
            .expect("the settings are TOML")
            .current_thread()
            .start()
            .await
            .expect("they are right");
        let users = runtime.service::<Scripted>("users").expect("it is there");
        let spare = runtime.service::<Scripted>("spare").expect("it is there");
        let answer = users
            .send(Ask(1))
            .fallback(move |_| async move { spare.send(Ask(2)).await.map(|answer| *answer) });
        assert_eq!(answer.await.expect("the other answers").id, 2);
        let snapshot = runtime.snapshot();
        let calls = |name| snapshot.service(name).and_then(|service| service.call("Ask")).map(|c| c.total());
        assert_eq!((calls("users"), calls("spare")), (Some(1), Some(1)));
        end(runtime).await;
    });
}

#[test]
fn difference_a_stale_reply_comes_before_the_callers_fallback_and_that_before_the_calls_own() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("retry = false\ncache.ttl = \"1s\"", &behaviour).await;
        users.send(Lookup(1)).await.expect("it is well");
        behaviour.react(|_| Reaction::Fail(down()));
        tokio::time::sleep(ms(1_500)).await;
        let answer = users.send(Lookup(1)).fallback(|_| SPARE).await.expect("it is stale");
        assert_eq!((answer.id, answer.origin()), (1, Origin::Stale));
        end(runtime).await;

        let (runtime, any) = guard("retry = false").await;
        let answer = any.send(Quote::new(1, -1)).fallback(|_| 99).await.expect("it falls back");
        assert_eq!(*answer, 99);
        assert_eq!(*any.send(Quote::new(1, -1)).await.expect("the call's own"), LIST_PRICE);
        end(runtime).await;
    });
}
