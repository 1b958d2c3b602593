//! Health checks, shutdown, and what outlives what.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use seawall::{
    Runtime,
    call::Reason,
    policy::breaker::{Cause, State},
    telemetry::What,
};
use seawall_testkit::{Ask, Behaviour, Lookup, Reaction, Scripted, virtual_time};

use crate::{
    support::{down, end, fails, ms, replies, settle, slow, start},
    watch::{AT_ONCE, breaker, state},
};

/// In opossum one failed check opens it, and only the reset time ends that. Here three do unless settings say otherwise, and a
/// check that is well lets the next call try.
#[test]
fn case_48_a_health_check_that_fails_opens_it() {
    virtual_time(async || {
        let behaviour = replies();
        let well = Arc::new(AtomicBool::new(true));
        let says = Arc::clone(&well);
        behaviour.check(move || if says.load(Ordering::SeqCst) { Ok(()) } else { Err(down()) });
        let (runtime, users) = start("health = { interval = \"5s\", failures = 1 }", &behaviour).await;
        let mut events = runtime.events();
        users.send(Ask(1)).await.expect("it is well");
        well.store(false, Ordering::SeqCst);
        tokio::time::sleep(ms(5_100)).await;
        assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection());
        assert_eq!(behaviour.attempts(), 1);
        let mut opened = std::iter::from_fn(|| events.try_next()).filter_map(|event| match event.what {
            What::Breaker { transition, last_error, .. } => Some((transition, last_error)),
            _ => None,
        });
        let (transition, error) = opened.next().expect("it is told");
        assert_eq!((transition.to, transition.cause), (State::Open, Cause::HealthCheck));
        assert!(error.is_some_and(|error| error.contains("the connection broke")));
        well.store(true, Ordering::SeqCst);
        tokio::time::sleep(ms(10_000)).await;
        users.send(Ask(1)).await.expect("it need not wait for the reset time");
        end(runtime).await;

        let wrong = "[services.users]\nkind = \"scripted\"\nhealth.interval = \"often\"";
        let builder = Runtime::builder().kind::<Scripted>().parse(wrong).expect("it is TOML");
        let error = builder.current_thread().start().await.expect_err("that is no time");
        assert!(error.to_string().contains("health.interval"), "{error}");
    });
}

#[test]
fn case_49_after_the_shutdown_calls_are_refused_and_nothing_is_left_over() {
    virtual_time(async || {
        for _ in 0..100 {
            let behaviour = replies();
            let (runtime, users) = start("health.interval = \"1s\"", &behaviour).await;
            let mut events = runtime.events();
            users.send(Lookup(1)).await.expect("it is well");
            assert!(runtime.is_running());
            end(runtime.clone()).await;
            assert_eq!((runtime.is_running(), runtime.snapshot().phase), (false, "stopped"));
            let told: Vec<_> = std::iter::from_fn(|| events.try_next()).map(|event| event.what).collect();
            assert!(told.iter().any(|what| matches!(what, What::DrainStarted)), "{told:?}");
            assert!(told.iter().any(|what| matches!(what, What::DrainEnded { cut_off: 0 })), "{told:?}");
            // Not even what was kept.
            let error = users.send(Lookup(1)).await.expect_err("it has ended");
            assert!(matches!(error.reason(), Some(Reason::NotRunning)), "{error:?}");
            assert_eq!((behaviour.opened(), behaviour.closed()), (1, 1));
        }
    });
}

#[test]
fn case_50_what_is_under_way_at_the_shutdown_ends_well() {
    virtual_time(async || {
        let (runtime, users) = start("", &slow(ms(100))).await;
        let (answer, late, drained) = tokio::join!(
            users.send(Ask(1)),
            async {
                tokio::time::sleep(ms(50)).await;
                users.send(Ask(2)).await
            },
            async {
                settle().await;
                runtime.drain().await
            }
        );
        answer.expect("it was under way");
        let error = late.expect_err("it came too late");
        assert!(matches!(error.reason(), Some(Reason::Draining)), "{error:?}");
        assert_eq!(drained.cut_off, 0);
    });
}

/// There is nothing to import: what would be, lives as long as the process.
#[test]
fn case_55_the_state_is_exported_whole_and_outlives_the_pool() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        tokio::time::sleep(ms(1_000)).await;
        let exported = serde_json::to_value(runtime.snapshot()).expect("it can be written");
        let exported = &exported["services"][0]["breaker"];
        assert_eq!(exported["state"], "open");
        assert_eq!((&exported["since_ms"], &exported["retry_after_ms"]), (&1_000.into(), &29_000.into()));
        users.reopen();
        settle().await;
        assert_eq!((behaviour.opened(), state(&runtime)), (2, State::Open));
        end(runtime).await;
    });
}

#[test]
fn difference_each_key_may_have_a_breaker_of_its_own() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.id {
            1 => Reaction::Fail(down()),
            _ => Reaction::Reply,
        });
        let (runtime, users) = start("retry = false", &behaviour).await;
        for _ in 0..5 {
            users.keyed("one").send(Ask(1)).await.expect_err("it fails");
        }
        assert!(users.keyed("one").send(Ask(1)).await.expect_err("its key's is open").is_rejection());
        users.keyed("two").send(Ask(2)).await.expect("another's is not");
        assert_eq!(breaker(&runtime).state, State::Closed);
        end(runtime).await;
    });
}
