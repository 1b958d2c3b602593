//! What answers in place of a failure.

use std::error::Error as _;

use seawall::{CallError, Origin};
use seawall_testkit::{Ask, Echo, virtual_time};

use crate::support::{end, fails, start};

const SPARE: Echo = Echo { id: 9, serial: 0, number: 0 };

#[test]
fn case_30_and_34_a_fallback_is_told_the_error_and_chains() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let mut told = None;
        let answer = users
            .send(Ask(1))
            .fallback(|error| {
                told = Some(error.to_string());
                SPARE
            })
            .deadline(std::time::Duration::from_secs(1))
            .await
            .expect("it falls back");
        assert_eq!((*answer, answer.origin()), (SPARE, Origin::Fallback));
        assert_eq!(told.as_deref(), Some("users Ask failed"));
        end(runtime).await;
    });
}

#[test]
fn case_31_it_runs_while_the_breaker_is_open_and_that_is_no_failure() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        users.send(Ask(1)).fallback(|_| SPARE).await.expect("it falls back");
        let service = &runtime.snapshot().services[0];
        let breaker = service.breaker.expect("it has one");
        assert_eq!((breaker.rejected, breaker.failures), (1, 5));
        assert_eq!(service.call("Ask").map(|call| (call.fallback, call.error)), Some((1, 5)));
        end(runtime).await;
    });
}

#[test]
fn case_32_a_fallbacks_own_failure_keeps_the_first_error_as_its_source() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let failed = users
            .send(Ask(1))
            .fallback(|_| Err::<Echo, _>(std::io::Error::other("no spare")))
            .await
            .expect_err("both fail");
        let panicked =
            users.send(Ask(1)).fallback(|_| -> Echo { panic!("no spare") }).await.expect_err("both fail");
        for error in [failed, panicked] {
            assert!(matches!(error, CallError::FallbackFailed(_)), "{error:?}");
            assert!(error.to_string().contains("no spare"), "{error}");
            assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("users Ask failed"));
        }
        end(runtime).await;
    });
}
