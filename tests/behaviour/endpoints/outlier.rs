//! Who is left alone, and until when.

use super::*;

/// P5: each of three replicas is down for two seconds, in turn.
#[test]
fn a_rolling_restart_costs_no_call_that_may_be_made_twice() {
    virtual_time(async || {
        let began = Instant::now();
        let behaviour = Behaviour::new(move |asked: &Asked| {
            let now = began.elapsed();
            let down_from = Duration::from_secs(10 + 20 * asked.endpoint as u64);
            if now >= down_from && now < down_from + Duration::from_secs(2) {
                refused()
            } else {
                Reaction::Reply.after(ms(20))
            }
        });
        let (runtime, users) = start(THREE, &behaviour).await;
        let ended = load(&users, 8, Duration::from_secs(90)).await;
        assert_eq!(ended.failed, 0, "{ended:?}");
        let now = health(&runtime);
        assert!(now.iter().all(|one| one.failures > 0 && one.failures < 30), "{now:?}");
        assert!(now.iter().all(|one| one.ejected_for_ms.is_none()), "{now:?}");
        let before = attempts(&runtime);
        load(&users, 8, Duration::from_secs(1)).await;
        let took_part: Vec<_> =
            attempts(&runtime).iter().zip(before).map(|(after, before)| after - before).collect();
        assert!(took_part.iter().all(|took| *took > 60), "{took_part:?}");
        let breaker =
            runtime.snapshot().service("users").and_then(|users| users.breaker).expect("it has one");
        assert_eq!(breaker.open_count, 0);
        end(runtime).await;
    });
}

#[test]
fn never_more_than_half_are_ejected() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_: &Asked| broken().after(ms(20)));
        let settings = "endpoints = [\"a\", \"b\", \"c\", \"d\", \"e\"]\nbreaker = false";
        let (runtime, users) = start(settings, &behaviour).await;
        let mut events = runtime.events();
        let watch = async {
            for _ in 0..1_000 {
                sleep(ms(20)).await;
                let out = health(&runtime).iter().filter(|one| one.ejected_for_ms.is_some()).count();
                assert!(out <= 2, "{out} of 5");
            }
        };
        tokio::join!(load(&users, 20, Duration::from_secs(20)), watch);
        assert_eq!(health(&runtime).iter().filter(|one| one.ejected_for_ms.is_some()).count(), 2);
        assert!(!told(&mut events).iter().any(|told| told.contains("all used")));
        end(runtime).await;
    });
}

#[test]
fn with_too_few_left_all_are_used_and_it_is_said() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            2 => Reaction::Reply.after(ms(5)),
            _ => broken().after(ms(5)),
        });
        let settings =
            format!("{THREE}breaker = false\noutlier = {{ max_ejected = \"100%\", eject = \"60s\" }}");
        let (runtime, users) = start(&settings, &behaviour).await;
        let mut events = runtime.events();
        load(&users, 9, Duration::from_secs(5)).await;
        let told = told(&mut events);
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[2], "2 of 3: all used");
        let before = attempts(&runtime);
        load(&users, 9, Duration::from_secs(5)).await;
        let after = attempts(&runtime);
        assert!(after.iter().zip(&before).all(|(after, before)| after > before), "{before:?}, {after:?}");
        end(runtime).await;
    });
}

/// A probe whose caller does not wait for its end tells nothing: it must not be made with every call.
#[test]
fn who_hangs_and_is_ejected_costs_impatient_callers_little() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            0 => Reaction::Hang,
            _ => Reaction::Reply.after(ms(5)),
        });
        let (runtime, users) = start(&format!("{THREE}timeout = \"500ms\"\nretry = false"), &behaviour).await;
        load(&users, 20, Duration::from_secs(5)).await;
        assert!(health(&runtime)[0].ejections > 0, "{:?}", health(&runtime));
        let mut given_up = 0;
        for id in 0..2_000 {
            given_up += u32::from(tokio::time::timeout(ms(100), users.send(Ask(id))).await.is_err());
        }
        assert!(given_up <= 6, "{given_up} in ten seconds");
        end(runtime).await;
    });
}

#[test]
fn a_breaker_of_an_endpoint_closes_only_that_one() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            1 => broken().after(ms(1)),
            _ => Reaction::Reply.after(ms(10)),
        });
        let settings = format!("{THREE}outlier = false\nbreaker = {{ scope = \"endpoint\", ramp = \"0s\" }}");
        let (runtime, users) = start(&settings, &behaviour).await;
        let ended = load(&users, 20, Duration::from_secs(20)).await;
        assert!(ended.failed <= 12, "{ended:?}");
        let snapshot = runtime.snapshot();
        let service = snapshot.service("users").expect("it is there");
        assert!(service.breaker.is_none(), "the service has none");
        let states: Vec<_> =
            health(&runtime).iter().map(|one| one.breaker.expect("each has one").state.word()).collect();
        assert_eq!(states, ["closed", "open", "closed"]);
        let metrics = runtime.metrics();
        for (state, count) in [("closed", 2), ("open", 1), ("half_open", 0)] {
            let line = format!(
                "seawall_breaker_state{{service=\"users\",scope=\"endpoint\",state=\"{state}\"}} {count}\n"
            );
            assert!(metrics.contains(&line), "{line}");
        }

        behaviour.react(|_| broken());
        load(&users, 20, Duration::from_secs(1)).await;
        let before = behaviour.attempts();
        let error = users.send(Ask(1)).await.expect_err("all are open");
        assert!(matches!(error.reason(), Some(Reason::Breaker(_))), "{error}");
        assert!(error.retry_after().is_some_and(|after| after <= Duration::from_secs(32)));
        assert_eq!(behaviour.attempts(), before);

        behaviour.react(|_| Reaction::Reply.after(ms(10)));
        sleep(Duration::from_secs(70)).await;
        let ended = load(&users, 3, Duration::from_secs(30)).await;
        assert_eq!(ended.failed, 0);
        assert!(
            health(&runtime).iter().all(|one| one.breaker.expect("each has one").state.word() == "closed")
        );
        end(runtime).await;
    });
}

#[test]
fn a_shadow_ejects_nobody_and_says_whom_it_would() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            1 => broken().after(ms(20)),
            _ => Reaction::Reply.after(ms(20)),
        });
        let settings = format!("{THREE}breaker = false\noutlier = {{ mode = \"shadow\" }}");
        let (runtime, users) = start(&settings, &behaviour).await;
        let mut events = runtime.events();
        load(&users, 30, Duration::from_secs(20)).await;
        let told = told(&mut events);
        assert_eq!(told[0], "b would be ejected: consecutive_failures");
        let bad = &health(&runtime)[1];
        assert!(bad.ejected_for_ms.is_none() && bad.ejections > 0 && bad.failures > 5, "{bad:?}");
        assert!(runtime.metrics().contains("seawall_endpoint_ejected{service=\"users\"} 0"));
        end(runtime).await;
    });
}

/// By a call, and by hand: either way whoever waits at the bulkhead is not kept waiting for a refusal.
#[test]
fn who_waits_is_sent_away_when_the_last_endpoints_breaker_opens() {
    for by_hand in [false, true] {
        virtual_time(async move || {
            let behaviour = Behaviour::new(|_: &Asked| broken().after(ms(100)));
            let settings = "endpoints = [\"a\", \"b\"]\noutlier = false\nretry = false\n\
                            breaker = { scope = \"endpoint\", consecutive_failures = 1 }\n\
                            bulkhead = { max_in_flight = 2, queue_timeout = \"20s\" }";
            let (runtime, users) = start(settings, &behaviour).await;
            let began = Instant::now();
            let calls: FuturesUnordered<_> = (0..10).map(|n| users.send(Ask(n))).collect();
            let force = async {
                sleep(ms(50)).await;
                if by_hand {
                    users.force_breakers(seawall::service::Forced::Open);
                    assert_eq!(runtime.snapshot().services[0].bulkhead.map(|gate| gate.waiting), Some(0));
                }
            };
            let (ended, ()) = tokio::join!(calls.collect::<Vec<_>>(), force);
            let refused = ended.iter().filter(|ended| {
                let reason = ended.as_ref().err().and_then(|error| error.reason());
                matches!(reason, Some(Reason::Breaker(_)))
            });
            assert_eq!(refused.count(), 8, "{ended:?}");
            assert_eq!((behaviour.attempts(), began.elapsed()), (2, ms(100)));
            end(runtime).await;
        });
    }
}
