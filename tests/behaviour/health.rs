//! What a service's own health checks do to its breaker.

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
use seawall_testkit::{Ask, Behaviour, Opening, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, start};

/// Checks are well for as long as this says so.
fn checked(behaviour: &Behaviour) -> Arc<AtomicBool> {
    let well = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&well);
    behaviour.check(move || if says.load(Ordering::SeqCst) { Ok(()) } else { Err(down()) });
    well
}

fn state(runtime: &Runtime) -> State {
    runtime.snapshot().service("users").and_then(|users| users.breaker).expect("it has one").state
}

#[test]
fn checks_that_fail_open_the_breaker_before_calls_find_out() {
    virtual_time(async || {
        let behaviour = replies();
        let well = checked(&behaviour);
        let settings = "health = { interval = \"1s\", failures = 2 }\nbreaker = { reset_jitter = \"0%\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        let mut events = runtime.events();
        users.send(Ask(1)).await.expect("all is well");
        well.store(false, Ordering::SeqCst);
        tokio::time::sleep(ms(1_100)).await;
        users.send(Ask(1)).await.expect("one that fails is borne");
        tokio::time::sleep(ms(1_000)).await;
        let error = users.send(Ask(1)).await.expect_err("two are not");
        let Some(Reason::Breaker(open)) = error.reason() else { panic!("{error:?}") };
        assert_eq!((open.state, open.cause), (State::Open, Cause::HealthCheck));
        assert!(error.to_string().contains("after its health checks had failed"), "{error}");
        let told = std::iter::from_fn(|| events.try_next()).find_map(|event| match event.what {
            What::Breaker { last_error, .. } => last_error,
            _ => None,
        });
        assert_eq!(told.as_deref(), Some("the connection broke"));

        well.store(true, Ordering::SeqCst);
        tokio::time::sleep(ms(1_000)).await;
        assert_eq!(state(&runtime), State::HalfOpen, "a check did it, and no call");
        users.send(Ask(1)).await.expect("it is the probe");
        assert_eq!(state(&runtime), State::Closed);
        end(runtime).await;
    });
}

#[test]
fn behind_a_health_gate_no_call_is_a_probe_before_a_check_is_well() {
    virtual_time(async || {
        let behaviour = fails();
        let well = checked(&behaviour);
        well.store(false, Ordering::SeqCst);
        let settings =
            "retry = false\nhealth = { interval = \"1s\", failures = 1000000 }\nbreaker.health_gate = true";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        behaviour.react(|_| Reaction::Reply);
        tokio::time::sleep(ms(600_000)).await;
        assert!(users.send(Ask(1)).await.expect_err("no check was well").is_rejection());
        well.store(true, Ordering::SeqCst);
        tokio::time::sleep(ms(1_100)).await;
        users.send(Ask(1)).await.expect("one was");
        assert_eq!(behaviour.attempts(), 6);
        end(runtime).await;
    });
}

#[test]
fn a_gate_opens_even_if_the_shard_that_was_checked_is_gone() {
    virtual_time(async || {
        let behaviour = fails();
        let settings = "retry = false\nstartup.mode = \"lazy\"\nhealth = { interval = \"1s\", failures = 1 }\n\
                        breaker.health_gate = true\nrestart.backoff_max = \"1s\"";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        behaviour.react(|_| Reaction::Reply);
        let well = checked(&behaviour);
        behaviour.open(|_| Opening::Fails);
        well.store(false, Ordering::SeqCst);
        tokio::time::sleep(ms(120_000)).await;
        behaviour.open(|_| Opening::Succeeds);
        well.store(true, Ordering::SeqCst);
        tokio::time::sleep(ms(10_000)).await;
        users.send(Ask(1)).await.expect("it was opened, and a check of it was well");
        end(runtime).await;
    });
}

#[test]
fn who_waits_is_sent_away_when_a_check_opens_it() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Reply.after(ms(2_900)));
        let well = checked(&behaviour);
        let settings = "health = { interval = \"100ms\", failures = 1 }\nbulkhead = { max_in_flight = 1 }";
        let (runtime, users) = start(settings, &behaviour).await;
        let began = tokio::time::Instant::now();
        let (_, waited, ()) = tokio::join!(users.send(Ask(1)), users.send(Ask(2)), async {
            tokio::time::sleep(ms(150)).await;
            well.store(false, Ordering::SeqCst);
        });
        assert!(matches!(waited.expect_err("it was sent away").reason(), Some(Reason::Breaker(_))));
        assert_eq!(behaviour.attempts(), 1);
        assert!(began.elapsed() <= ms(2_900));
        end(runtime).await;
    });
}

#[test]
fn a_check_of_a_shard_that_is_replaced_meanwhile_says_nothing() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = "health = { interval = \"1s\", timeout = \"400ms\", failures = 1 }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Ask(1)).await.expect("it is open");
        let inner = users.clone();
        behaviour.check(move || {
            inner.reopen();
            Err(down())
        });
        tokio::time::sleep(ms(1_100)).await;
        assert_eq!(state(&runtime), State::Closed);
        assert_eq!(behaviour.opened(), 2, "by request, and not for a check");
        behaviour.check(|| Ok(()));
        end(runtime).await;
    });
}
