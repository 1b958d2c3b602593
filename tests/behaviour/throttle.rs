//! A client that sees its requests turned away turns some away by itself.

use std::sync::Arc;

use parking_lot::Mutex;
use seawall::{
    Failure, Priority, Runtime, Service, call::Reason, downstream::Blame, policy::throttle::ThrottleSnapshot,
};
use seawall_testkit::{Ask, Behaviour, Reaction, Scripted, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, start};

fn shed() -> Reaction {
    Reaction::Fail(Failure::new(Blame::Overload, "too many requests"))
}

/// Takes this many requests in each 100 ms, and turns the others away.
fn takes(most: u64) -> Behaviour {
    let taken = Arc::new(Mutex::new((0, 0)));
    let start = Mutex::new(None);
    Behaviour::new(move |_| {
        let start = *start.lock().get_or_insert_with(Instant::now);
        let period = start.elapsed().as_millis() / 100;
        let mut taken = taken.lock();
        if taken.0 != period {
            *taken = (period, 0);
        }
        taken.1 += 1;
        if taken.1 <= most { Reaction::Reply } else { shed() }
    })
}

fn snapshot(runtime: &Runtime) -> ThrottleSnapshot {
    runtime.snapshot().service("users").and_then(|users| users.throttle).expect("it has one")
}

/// Calls made and answered in a second, one a millisecond; how many were answered, and how many refused here.
async fn second(users: &Service<Scripted>, priority: impl Fn(u64) -> Priority) -> (u64, u64) {
    let (mut answered, mut refused) = (0, 0);
    for id in 0..1_000 {
        match users.send(Ask(id)).priority(priority(id)).await {
            Ok(_) => answered += 1,
            Err(error) if matches!(error.reason(), Some(Reason::Throttled(_))) => refused += 1,
            Err(error) => assert_eq!(error.blame(), Blame::Overload),
        }
        sleep(ms(1)).await;
    }
    (answered, refused)
}

#[test]
fn a_downstream_that_sheds_is_sent_about_twice_what_it_takes() {
    virtual_time(async || {
        let behaviour = takes(20);
        let (runtime, users) = start("retry = false\nthrottle = {}", &behaviour).await;
        for _ in 0..11 {
            second(&users, |_| Priority::Normal).await;
        }
        let before = behaviour.attempts();
        let mut answered = 0;
        for _ in 0..4 {
            answered += second(&users, |_| Priority::Normal).await.0;
        }
        let sent = behaviour.attempts() - before;
        assert!((1_300..=1_900).contains(&sent), "{sent} of 4000 were sent; it takes 800");
        assert!(answered > 750, "{answered}: what it takes, it is sent");
        assert!((0.5..0.7).contains(&snapshot(&runtime).refused[1]), "{:?}", snapshot(&runtime));
        end(runtime).await;
    });
}

#[test]
fn it_is_off_unless_asked_for() {
    virtual_time(async || {
        let behaviour = takes(0);
        let (runtime, users) = start("retry = false", &behaviour).await;
        assert_eq!(second(&users, |_| Priority::Normal).await, (0, 0));
        assert_eq!(behaviour.attempts(), 1_000);
        end(runtime).await;
    });
}

#[test]
fn a_refusal_says_why_and_when_to_come_back_and_falls_back() {
    virtual_time(async || {
        let behaviour = takes(0);
        let (runtime, users) =
            start("retry = false\nthrottle = { max_rejected = \"100%\" }", &behaviour).await;
        for _ in 0..200 {
            let _ = users.send(Ask(1)).await;
        }
        let sent = behaviour.attempts();
        assert!(sent < 40, "{sent} were sent before it was sure");
        let error = loop {
            let error = users.send(Ask(1)).await.expect_err("it takes nothing");
            if error.is_rejection() {
                break error;
            }
        };
        let Some(Reason::Throttled(throttled)) = error.reason() else { panic!("{error:?}") };
        assert!(throttled.requests >= 200 && throttled.accepted == 0, "{throttled:?}");
        assert_eq!((error.retry_after(), error.blame()), (Some(ms(1_000)), Blame::Overload));
        let told = error.to_string();
        assert!(told.contains("in 10s it took 0, so 100% of these calls are refused here"), "{told}");
        let metrics = runtime.metrics();
        assert!(metrics.contains("policy=\"throttle\",mode=\"enforce\",priority=\"normal\""), "{metrics}");
        let fallback = seawall_testkit::Echo { id: 7, serial: 0, number: 0 };
        let answer = users.send(Ask(1)).fallback(move |_| fallback).await.expect("it falls back");
        assert_eq!(answer.id, 7);
        end(runtime).await;
    });
}

#[test]
fn the_critical_are_refused_last() {
    virtual_time(async || {
        let behaviour = takes(40);
        let (runtime, users) = start("retry = false\nthrottle = {}", &behaviour).await;
        let mixed = |id: u64| if id.is_multiple_of(10) { Priority::Critical } else { Priority::Normal };
        for _ in 0..11 {
            second(&users, mixed).await;
        }
        let snapshot = snapshot(&runtime);
        assert!(snapshot.refused[0] == 0.0 && snapshot.refused[1] > 0.1, "{snapshot:?}");
        let metrics = runtime.metrics();
        assert!(!metrics.contains("policy=\"throttle\",mode=\"enforce\",priority=\"critical\""), "{metrics}");
        end(runtime).await;
    });
}

#[test]
fn a_shadow_counts_and_lets_pass() {
    virtual_time(async || {
        let behaviour = takes(10);
        let (runtime, users) = start("retry = false\nthrottle = { mode = \"shadow\" }", &behaviour).await;
        for _ in 0..3 {
            assert_eq!(second(&users, |_| Priority::Normal).await.1, 0);
        }
        assert_eq!(behaviour.attempts(), 3_000);
        let metrics = runtime.metrics();
        assert!(metrics.contains("policy=\"throttle\",mode=\"shadow\",priority=\"normal\""), "{metrics}");
        assert!(snapshot(&runtime).requests > 2_900, "its state goes on as if it had refused");
        end(runtime).await;
    });
}

#[test]
fn a_downstream_that_fails_is_the_breakers() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Fail(down()));
        let settings = "retry = false\nbreaker = false\nthrottle = { minimum_calls = 1 }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..100 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        assert_eq!((behaviour.attempts(), snapshot(&runtime).requests), (100, 0));
        end(runtime).await;
    });
}

#[test]
fn all_pass_soon_after_the_downstream_takes_everything_again() {
    virtual_time(async || {
        let behaviour = takes(0);
        let (runtime, users) = start("retry = false\nthrottle = {}", &behaviour).await;
        for _ in 0..11 {
            second(&users, |_| Priority::Normal).await;
        }
        behaviour.react(|_| Reaction::Reply);
        for _ in 0..10 {
            second(&users, |_| Priority::Normal).await;
        }
        assert_eq!(second(&users, |_| Priority::Normal).await, (1_000, 0));
        end(runtime).await;
    });
}

#[test]
fn what_is_cancelled_says_nothing() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Hang);
        let (runtime, users) = start("throttle = { minimum_calls = 1 }", &behaviour).await;
        for _ in 0..50 {
            tokio::time::timeout(ms(10), users.send(Ask(1))).await.expect_err("it hangs");
        }
        assert_eq!(snapshot(&runtime).requests, 0);
        end(runtime).await;
    });
}

#[test]
fn a_call_may_have_a_throttle_of_its_own() {
    virtual_time(async || {
        let behaviour = takes(0);
        let settings =
            "retry = false\nthrottle = {}\n[services.users.calls.Ask]\nthrottle = { minimum_calls = 5 }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it sheds");
        }
        let users_now = runtime.snapshot();
        let users_now = users_now.service("users").expect("there");
        let own = users_now.call("Ask").and_then(|call| call.throttle).expect("its own");
        assert_eq!((own.requests, users_now.throttle.map(|shared| shared.requests)), (5, Some(0)));
        end(runtime).await;
    });
}
