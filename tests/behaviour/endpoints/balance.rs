//! Who is asked.

use super::*;

#[test]
fn load_is_spread_and_a_slow_one_gets_less() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| {
            Reaction::Reply.after(if asked.endpoint == 2 { ms(100) } else { ms(10) })
        });
        let (runtime, users) = start(THREE, &behaviour).await;
        let ended = load(&users, 12, Duration::from_secs(30)).await;
        assert_eq!(ended.failed, 0);
        let shares = attempts(&runtime);
        let (fast, slow) = (shares[0] + shares[1], shares[2]);
        assert!(shares[0].abs_diff(shares[1]) < fast / 10, "{shares:?}");
        assert!(slow * 5 < fast, "{shares:?}");
        assert!(slow > 0);
        assert_eq!(health(&runtime).iter().map(|health| health.outstanding).sum::<u32>(), 0);
        end(runtime).await;
    });
}

/// P15: one of three answers 500 in a millisecond, the others 200 in twenty.
#[test]
fn a_fast_failing_endpoint_attracts_no_load_and_is_ejected() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            1 => broken().after(ms(1)),
            _ => Reaction::Reply.after(ms(20)),
        });
        let (runtime, users) = start(THREE, &behaviour).await;
        let mut events = runtime.events();
        let ended = load(&users, 20, Duration::from_secs(60)).await;
        let share = ended.answered as f64 / (ended.answered + ended.failed) as f64;
        assert!(share >= 0.99, "{ended:?}");
        let bad = &health(&runtime)[1];
        // The first ones go there at once, before any of them has ended; from then on each ejection costs one probe.
        let at_once = 10;
        assert!(bad.ejections >= 3 && bad.failures < at_once + bad.ejections, "{bad:?}");
        assert!(bad.ejected_for_ms.is_some());
        let told = told(&mut events);
        assert_eq!(told[0], "b ejected: consecutive_failures");
        assert!(told[1..].iter().all(|told| told == "b ejected: probe_failed"), "{told:?}");
        assert!(runtime.metrics().contains("seawall_endpoint_ejected{service=\"users\"} 1"));
        end(runtime).await;
    });
}

/// P15 at a trickle: with no two calls at once, and so no failures in a row.
#[test]
fn a_fast_failing_endpoint_attracts_no_trickle_either() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            1 => broken().after(ms(1)),
            _ => Reaction::Reply.after(ms(20)),
        });
        let (runtime, users) = start(THREE, &behaviour).await;
        let ended = load(&users, 1, Duration::from_secs(300)).await;
        assert!(ended.failed * 100 < ended.answered, "{ended:?}");
        assert!(health(&runtime)[1].failures < 50, "{:?}", health(&runtime));
        end(runtime).await;
    });
}

#[test]
fn who_returns_starts_slowly() {
    virtual_time(async || {
        let began = Instant::now();
        let behaviour = Behaviour::new(move |asked: &Asked| match asked.endpoint {
            1 if began.elapsed() < Duration::from_secs(1) => broken().after(ms(1)),
            _ => Reaction::Reply.after(ms(10)),
        });
        let (runtime, users) = start(THREE, &behaviour).await;
        let mut events = runtime.events();
        load(&users, 12, Duration::from_secs(1)).await;
        for _ in 0..1_000 {
            load(&users, 12, ms(10)).await;
            if told(&mut events).iter().any(|told| told == "b returned") {
                break;
            }
        }
        let mut seconds = Vec::new();
        for _ in 0..20 {
            let before = attempts(&runtime);
            load(&users, 12, Duration::from_secs(1)).await;
            let after = attempts(&runtime);
            let all: u64 = after.iter().sum::<u64>() - before.iter().sum::<u64>();
            seconds.push((after[1] - before[1]) as f64 / all as f64);
        }
        assert!(seconds[0] < 0.1, "{seconds:?}");
        assert!(seconds[5] > seconds[0] && seconds[5] < seconds[19], "{seconds:?}");
        assert!(seconds[19] > 0.28, "{seconds:?}");
        end(runtime).await;
    });
}

#[test]
fn a_retry_goes_elsewhere() {
    virtual_time(async || {
        for (more, always) in [("", true), ("retry = { other_endpoint = false }", false)] {
            let again = Arc::new(AtomicU64::new(0));
            let seen = Arc::clone(&again);
            let first = parking_lot::Mutex::new(0);
            let behaviour = Behaviour::new(move |asked: &Asked| match asked.number {
                1 => {
                    *first.lock() = asked.endpoint;
                    Reaction::Fail(down())
                }
                _ => {
                    seen.fetch_add(u64::from(asked.endpoint == *first.lock()), Ordering::Relaxed);
                    Reaction::Reply
                }
            });
            let settings = format!("{THREE}breaker = false\nretry_budget = false\noutlier = false\n{more}");
            let (runtime, users) = start(&settings, &behaviour).await;
            for id in 0..200 {
                assert_eq!(users.send(Ask(id)).await.expect("the second time").number, 2);
            }
            assert_eq!(again.load(Ordering::Relaxed) == 0, always);
            end(runtime).await;
        }
    });
}

#[test]
fn who_says_that_it_moved_is_marked_and_others_are_asked_at_once() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            0 => Reaction::Fail(
                Failure::new(Blame::Topology, "read only").symptom(Symptom::Reset).reached(Reached::No),
            ),
            _ => Reaction::Reply.after(ms(1)),
        });
        let (runtime, users) = start("endpoints = [\"a\", \"b\"]", &behaviour).await;
        let began = Instant::now();
        for id in 0..20 {
            users.send(Change(id)).await.expect("the other one takes it");
        }
        assert!(began.elapsed() < ms(40), "nobody waited before asking the other one");
        let health = health(&runtime);
        assert!(health[0].changed && !health[1].changed);
        assert_eq!((health[0].failures, health[0].ejections), (0, 0));
        assert!(behaviour.attempts() < 25, "few were asked twice: {}", behaviour.attempts());

        behaviour.react(|_| Reaction::Reply.after(ms(1)));
        for id in 0..600 {
            users.send(Ask(id)).await.expect("it answers");
            sleep(ms(100)).await;
        }
        assert!(!self::health(&runtime)[0].changed, "it answered");
        end(runtime).await;
    });
}

#[test]
fn what_is_the_callers_fault_is_no_fault_of_the_endpoint() {
    virtual_time(async || {
        let behaviour =
            Behaviour::new(|_: &Asked| Reaction::Fail(Failure::new(Blame::Caller, "not found").code("404")));
        let (runtime, users) = start(THREE, &behaviour).await;
        for id in 0..100 {
            users.send(Ask(id)).await.expect_err("there is none");
        }
        let health = health(&runtime);
        assert_eq!(health.iter().map(|one| one.successes).sum::<u64>(), 100);
        assert!(health.iter().all(|one| (one.failures, one.ejections) == (0, 0)));
        end(runtime).await;
    });
}

#[test]
fn who_hangs_is_avoided_though_only_impatient_callers_notice() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            0 => Reaction::Hang,
            _ => Reaction::Reply.after(ms(5)),
        });
        let (runtime, users) = start(THREE, &behaviour).await;
        let mut given_up = 0;
        for id in 0..1_000 {
            given_up += u32::from(tokio::time::timeout(ms(200), users.send(Ask(id))).await.is_err());
        }
        assert!(given_up < 20, "{given_up}");
        assert_eq!(health(&runtime)[0].failures, 0);
        assert_eq!(health(&runtime)[0].outstanding, 0);
        end(runtime).await;
    });
}
