use std::time::Duration;

use futures_util::FutureExt;
use seawall::{call::Reason, policy::breaker::State, service::Forced, telemetry::What};
use seawall_testkit::{Ask, Change, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, settle, slow, start};

#[test]
fn an_open_breaker_refuses_at_once_and_closes_by_a_probe() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false\nbreaker = { reset_jitter = \"0%\" }", &behaviour).await;
        let mut events = runtime.events();
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        let error = users.send(Ask(1)).await.expect_err("five in a row opened it");
        let Some(Reason::Breaker(open)) = error.reason() else { panic!("{error:?}") };
        assert_eq!((open.state, open.retry_after.as_secs()), (State::Open, 30));
        assert_eq!(behaviour.attempts(), 5, "nothing was sent");

        behaviour.react(|_| Reaction::Reply);
        tokio::time::sleep(ms(30_000)).await;
        users.send(Ask(1)).await.expect("the probe is well");
        users.send(Ask(1)).await.expect("it is closed");
        let states: Vec<_> = std::iter::from_fn(|| events.try_next())
            .filter_map(|event| match event.what {
                What::Breaker { transition, .. } => Some(transition.to),
                _ => None,
            })
            .collect();
        assert_eq!(states, [State::Open, State::HalfOpen, State::Closed]);
        end(runtime).await;
    });
}

#[test]
fn those_who_wait_are_sent_away_when_it_opens() {
    virtual_time(async || {
        let behaviour = fails();
        behaviour.react(|_| Reaction::Fail(down()).after(ms(100)));
        let settings = "retry = false\nbulkhead = { max_in_flight = 5, max_queue = 50 }";
        let (runtime, users) = start(settings, &behaviour).await;
        let began = tokio::time::Instant::now();
        let results = futures_util::future::join_all((0..30).map(|id| users.send(Ask(id)))).await;
        assert!(results.iter().all(Result::is_err));
        assert_eq!(behaviour.attempts(), 5, "nobody who waited was sent");
        assert_eq!(began.elapsed().as_millis(), 100, "nor waited longer");
        end(runtime).await;
    });
}

#[test]
fn a_shadow_counts_and_lets_pass() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false\nbreaker = { mode = \"shadow\" }", &behaviour).await;
        for _ in 0..20 {
            assert!(!users.send(Ask(1)).await.expect_err("it fails").is_rejection());
        }
        assert_eq!(behaviour.attempts(), 20);
        let text = runtime.metrics();
        let line = "seawall_rejections_total{service=\"users\",policy=\"breaker\",mode=\"shadow\",priority=\"normal\"} 15";
        assert!(text.contains(line), "{text}");
        end(runtime).await;
    });
}

#[test]
fn one_call_may_have_a_breaker_of_its_own() {
    virtual_time(async || {
        let behaviour = fails();
        behaviour.react(|asked| if asked.call == "Ask" { Reaction::Fail(down()) } else { Reaction::Reply });
        let (runtime, users) = start("retry = false\nbreaker = { scope = \"call\" }", &behaviour).await;
        for _ in 0..6 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection());
        users.send(seawall_testkit::Lookup(1)).await.expect("the other call's is not");
        end(runtime).await;
    });
}

#[test]
fn a_callers_own_hurry_says_nothing_about_the_downstream() {
    virtual_time(async || {
        let (runtime, users) = start("", &slow(ms(500))).await;
        for _ in 0..20 {
            users.send(Ask(1)).deadline(ms(50)).await.expect_err("it has no time");
        }
        settle().await;
        let breaker =
            runtime.snapshot().service("users").and_then(|users| users.breaker).expect("it has one");
        assert_eq!((breaker.state, breaker.failures), (State::Closed, 0));
        end(runtime).await;
    });
}

#[test]
fn by_hand_it_is_opened_disabled_and_closed() {
    virtual_time(async || {
        let behaviour = slow(ms(10));
        let settings =
            "retry = false\nbulkhead = { max_in_flight = 1 }\ncalls.Change.breaker = { scope = \"call\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Change(1)).await.expect("it replies");
        let mut events = runtime.events();

        let began = tokio::time::Instant::now();
        let timed = async |id| (users.send(Ask(id)).await, began.elapsed());
        let ((first, took), (second, waited), ()) = tokio::join!(timed(1), timed(2), async {
            settle().await;
            users.force_breakers(Forced::Open);
        });
        first.expect("what is under way goes on");
        assert!(waited < took, "who waits is sent away at once, not at his turn: {waited:?}, {took:?}");
        assert!(
            matches!(second.expect_err("it waited").reason(), Some(Reason::Breaker(_))),
            "and is sent away"
        );
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(users.send(Ask(3)).await.expect_err("it is open for good").is_rejection());
        assert!(users.send(Change(2)).await.expect_err("and so is the call's own").is_rejection());

        users.force_breakers(Forced::Disabled);
        behaviour.react(|_| Reaction::Fail(down()));
        for id in 0..50 {
            assert!(!users.send(Ask(id)).await.expect_err("it fails").is_rejection(), "nothing opens it");
        }
        users.force_breakers(Forced::Closed);
        for id in 0..3 {
            assert!(
                !users.send(Ask(id)).await.expect_err("it fails").is_rejection(),
                "what was is forgotten"
            );
        }
        let states: Vec<_> = std::iter::from_fn(|| events.next().now_or_never().flatten())
            .filter_map(|event| match event.what {
                What::Breaker { scope, transition, .. } => Some(format!("{scope} {}", transition.to.word())),
                _ => None,
            })
            .collect();
        let both = |state: &str| [format!("service {state}"), format!("Change {state}")];
        assert_eq!(states, [both("forced_open"), both("disabled"), both("closed")].concat());
        end(runtime).await;
    });
}
