//! Faults on purpose: seen by every policy as real, and by every observer as made up.

use std::time::Duration;

use seawall::{
    Runtime, Service,
    call::Reason,
    downstream::{Blame, Reached},
    telemetry::{EventStream, What},
};
use seawall_testkit::{Ask, Behaviour, Change, Echo, Lookup, Mock, Scripted, virtual_time};
use tokio::time::Instant;

use crate::support::{end, ms, replies, settle, start_under};

/// A runtime that allows faults, with one service `users` of these settings.
async fn start(settings: &str, behaviour: &Behaviour) -> (Runtime, Service<Scripted>) {
    start_under("[runtime]\nallow_faults = true", settings, behaviour).await
}

/// What was told of faults by now.
fn told(events: &mut EventStream) -> Vec<String> {
    let events = std::iter::from_fn(|| events.try_next());
    events
        .filter_map(|event| match event.what {
            What::FaultsOn { scope, faults } => Some(format!("{scope} on: {faults}")),
            What::FaultsOff { scope } => Some(format!("{scope} off")),
            _ => None,
        })
        .collect()
}

#[test]
fn a_failure_is_the_downstreams_and_says_that_it_was_injected() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("retry = false\nfaults = { fail = \"100%\" }", &behaviour).await;
        let error = users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!((error.blame(), error.reached()), (Blame::Downstream, Reached::Maybe));
        let failure = error.failure().expect("it was an attempt");
        assert_eq!(failure.get_code(), Some("injected"));
        assert!(failure.to_string().contains("injected"), "{failure}");
        assert_eq!(behaviour.attempts(), 0, "nothing is asked of the downstream");
        end(runtime).await;
    });
}

#[test]
fn breaker_retry_and_fallback_see_it_as_real() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("faults = { fail = \"100%\" }", &behaviour).await;
        for _ in 0..3 {
            let answer = users.send(Ask(1)).fallback(|_| Echo { id: 9, serial: 0, number: 0 }).await;
            assert_eq!(answer.expect("it falls back").id, 9);
        }
        assert!(users.send(Ask(1)).await.expect_err("the breaker is open").is_rejection());
        let snapshot = runtime.snapshot();
        let service = snapshot.service("users").expect("there");
        assert_eq!(service.call("Ask").expect("made").attempts, 5, "two tries a call, until it opened");
        assert_eq!(service.breaker.expect("it has one").failures, 5);
        assert_eq!(service.injected.failed, 5);
        end(runtime).await;
    });
}

#[test]
fn a_write_that_failed_so_is_not_made_again() {
    virtual_time(async || {
        let (runtime, users) = start("faults = { fail = \"100%\" }", &replies()).await;
        users.send(Change(1)).await.expect_err("it fails");
        assert_eq!(runtime.snapshot().services[0].injected.failed, 1);
        end(runtime).await;
    });
}

#[test]
fn classify_may_lay_its_blame_elsewhere() {
    virtual_time(async || {
        let settings =
            "retry = false\nfaults = { fail = \"100%\" }\nclassify = { overload = [\"injected\"] }";
        let (runtime, users) = start(settings, &replies()).await;
        assert_eq!(users.send(Ask(1)).await.expect_err("it fails").blame(), Blame::Overload);
        end(runtime).await;
    });
}

#[test]
fn a_delay_comes_before_the_attempt_and_within_the_deadline() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("faults = { delay = \"200ms\" }", &behaviour).await;
        let began = Instant::now();
        users.send(Ask(1)).await.expect("it answers");
        assert_eq!(began.elapsed(), ms(200));
        let began = Instant::now();
        let error = users.send(Ask(1)).deadline(ms(50)).await.expect_err("there is no time");
        assert!(error.is_timeout() && began.elapsed() == ms(50), "{error}");
        assert_eq!((behaviour.attempts(), runtime.snapshot().services[0].injected.delayed), (1, 2));
        end(runtime).await;
    });
}

#[test]
fn a_hang_ends_with_the_deadline_and_counts_as_the_downstreams() {
    virtual_time(async || {
        let settings = "timeout = \"1s\"\nattempt_timeout = \"400ms\"\nfaults = { hang = \"100%\" }\n";
        let (runtime, users) = start(settings, &replies()).await;
        let began = Instant::now();
        let error = users.send(Change(1)).await.expect_err("nothing answers");
        assert!(error.is_timeout(), "{error}");
        assert_eq!((error.reached(), began.elapsed()), (Reached::Maybe, ms(400)));
        let service = &runtime.snapshot().services[0];
        assert_eq!((service.breaker.expect("it has one").failures, service.injected.hung), (1, 1));
        end(runtime).await;
    });
}

#[test]
fn a_rejection_has_its_own_reason_and_is_no_attempt() {
    virtual_time(async || {
        let (runtime, users) = start("faults = { reject = \"100%\" }", &replies()).await;
        let error = users.send(Ask(1)).await.expect_err("it is refused");
        assert!(matches!(error.reason(), Some(Reason::Injected)), "{error:?}");
        assert_eq!(error.reached(), Reached::No);
        let service = &runtime.snapshot().services[0];
        assert_eq!((service.call("Ask").expect("made").attempts, service.injected.rejected), (0, 1));
        let metrics = runtime.metrics();
        let refused = "seawall_rejections_total{service=\"users\",policy=\"faults\",mode=\"enforce\",priority=\"normal\"} 1";
        assert!(metrics.contains(refused), "{metrics}");
        assert!(metrics.contains("seawall_faults_injected_total{service=\"users\",fault=\"reject\"} 1"));
        assert!(metrics.contains("seawall_faults_on{service=\"users\"} 1"));
        end(runtime).await;
    });
}

/// Whether each of 100 calls fails.
async fn pattern(seed: u64) -> Vec<bool> {
    let settings = format!("retry = false\nbreaker = false\nfaults = {{ fail = \"30%\", seed = {seed} }}");
    let (runtime, users) = start(&settings, &replies()).await;
    let mut failed = Vec::new();
    for id in 0..100 {
        failed.push(users.send(Ask(id)).await.is_err());
    }
    end(runtime).await;
    failed
}

#[test]
fn a_seed_gives_the_same_faults_again() {
    virtual_time(async || {
        let one = pattern(1).await;
        assert_eq!(pattern(1).await, one);
        assert_ne!(pattern(2).await, one);
        let failed = one.iter().filter(|failed| **failed).count();
        assert!((15..=45).contains(&failed), "{failed} of 100");
    });
}

#[test]
fn a_kept_reply_suffers_nothing() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        users.send(Lookup(1)).await.expect("loaded");
        runtime.set("users.faults.fail", "100%").because("a test").expect("allowed");
        users.send(Lookup(1)).await.expect("kept: the downstream is not asked");
        users.send(Lookup(2)).await.expect_err("it would be asked");
        end(runtime).await;
    });
}

#[test]
fn they_come_and_go_at_run_time() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false\nbreaker = false", &replies()).await;
        let mut events = runtime.events();
        let on = |runtime: &Runtime| runtime.metrics().contains("seawall_faults_on{service=\"users\"} 1");
        users.send(Ask(1)).await.expect("off by default");
        assert!(!on(&runtime) && runtime.snapshot().services[0].faults.is_none());

        let set = runtime.set("users.faults.fail", "100%").lasting(Duration::from_secs(60));
        set.because("a test").expect("it is allowed");
        users.send(Ask(1)).await.expect_err("it fails");
        assert!(on(&runtime) && runtime.snapshot().services[0].faults.is_some());
        runtime.set("users.calls.Ask.faults", false).because("not these").expect("right");
        users.send(Ask(1)).await.expect("not these");
        users.send(Change(1)).await.expect_err("but those");

        tokio::time::sleep(Duration::from_secs(60)).await;
        settle().await;
        users.send(Change(1)).await.expect("they are over");
        assert_eq!(told(&mut events), ["service on: fail 100%", "service off"]);
        assert!(!on(&runtime));
        assert_eq!(runtime.snapshot().services[0].injected.failed, 2, "what was counted stays counted");
        end(runtime).await;
    });
}

#[test]
fn a_call_has_its_own() {
    virtual_time(async || {
        let settings = "retry = false\n[services.users.calls.Change]\nfaults = { fail = \"100%\" }";
        let (runtime, users) = start(settings, &replies()).await;
        users.send(Change(1)).await.expect_err("it fails");
        users.send(Ask(1)).await.expect("it has none");
        let snapshot = runtime.snapshot();
        let service = snapshot.service("users").expect("there");
        assert!(service.faults.is_none() && service.call("Change").expect("made").faults.is_some());
        assert!(runtime.metrics().contains("seawall_faults_on{service=\"users\"} 1"));
        let mut events = runtime.events();
        runtime.set("users.calls.Change.faults.delay", "1ms").because("more").expect("right");
        runtime.set("users.calls.Change.faults", false).because("none").expect("right");
        assert_eq!(told(&mut events), ["Change on: delay 1ms, fail 100%", "Change off"]);
        end(runtime).await;
    });
}

#[test]
fn a_reload_of_something_else_goes_on_where_the_draws_were() {
    virtual_time(async || {
        let expected = pattern(1).await;
        let settings = "retry = false\nbreaker = false\nfaults = { fail = \"30%\", seed = 1 }";
        let (runtime, users) = start(settings, &replies()).await;
        let mut failed = Vec::new();
        for id in 0..100 {
            if id == 50 {
                runtime.set("users.timeout", "2s").because("something else").expect("right");
            }
            failed.push(users.send(Ask(id)).await.is_err());
        }
        assert_eq!(failed, expected);
        end(runtime).await;
    });
}

#[test]
fn whoever_goes_away_while_it_hangs_leaves_nothing_behind() {
    virtual_time(async || {
        let (runtime, users) = start("faults = { hang = \"100%\" }", &replies()).await;
        let gone = tokio::time::timeout(ms(100), users.send(Change(1))).await;
        assert!(gone.is_err(), "it hangs");
        let service = &runtime.snapshot().services[0];
        assert_eq!(service.call("Change").expect("made").cancelled, 1);
        assert_eq!(service.breaker.expect("it has one").failures, 0);
        end(runtime).await;
    });
}

#[test]
fn a_drain_does_not_wait_for_what_hangs() {
    virtual_time(async || {
        let settings = "timeout = \"50s\"\nfaults = { hang = \"100%\", delay = \"10s\" }";
        let (runtime, users) = start(settings, &replies()).await;
        let began = Instant::now();
        let (sent, drained) = tokio::join!(users.send(Change(1)), async {
            settle().await;
            runtime.drain_within(ms(500)).await
        });
        sent.expect_err("it was cut off");
        assert_eq!((drained.cut_off, began.elapsed()), (1, ms(500)));
    });
}

#[test]
fn a_mock_with_policies_has_them_without_leave() {
    virtual_time(async || {
        let mock = Mock::<Scripted>::with_policies("users", "retry = false\nfaults = { fail = \"100%\" }");
        let mock = mock.expect("it is for tests");
        mock.on(|ask: &Ask| Ok(Echo { id: ask.0, serial: 0, number: 0 }));
        assert_eq!(mock.service().send(Ask(1)).await.expect_err("it fails").blame(), Blame::Downstream);
        assert_eq!(mock.calls::<Ask>(), 0);
    });
}
