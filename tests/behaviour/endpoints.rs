//! A service with several endpoints: who is asked, who is left alone, and when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use seawall::{
    Failure, Runtime, Service,
    call::Reason,
    downstream::{Blame, Reached, Symptom},
    runtime::Builder,
    service::EndpointHealth,
    telemetry::{EventStream, What},
};
use seawall_testkit::{Ask, Asked, Behaviour, Change, Reaction, Scripted, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, start};

const THREE: &str = "endpoints = [\"a\", \"b\", \"c\"]\n";

/// The health of each endpoint.
fn health(runtime: &Runtime) -> Vec<EndpointHealth> {
    let users = runtime.snapshot().service("users").cloned().expect("it is there");
    users.endpoints.into_iter().map(|endpoint| endpoint.health.expect("there are several")).collect()
}

/// How many attempts each endpoint has ended.
fn attempts(runtime: &Runtime) -> Vec<u64> {
    health(runtime).iter().map(|health| health.successes + health.failures).collect()
}

/// An answer that says 500.
fn broken() -> Reaction {
    Reaction::Fail(Failure::new(Blame::Downstream, "it answered 500").symptom(Symptom::Response).code("500"))
}

fn refused() -> Reaction {
    Reaction::Fail(down().symptom(Symptom::Connect).reached(Reached::No))
}

/// What became of calls: answered, failed.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    answered: u64,
    failed: u64,
}

/// So many callers at once, one call after the other, each for this long.
async fn load(users: &Service<Scripted>, callers: u64, lasts: Duration) -> Ended {
    let until = Instant::now() + lasts;
    let mut calling: FuturesUnordered<_> = (0..callers)
        .map(|id| async move {
            let mut ended = Ended::default();
            while Instant::now() < until {
                match users.send(Ask(id)).await {
                    Ok(_) => ended.answered += 1,
                    Err(_) => {
                        ended.failed += 1;
                        // What is refused costs no time, and time must go on.
                        sleep(ms(1)).await;
                    }
                }
            }
            ended
        })
        .collect();
    let mut all = Ended::default();
    while let Some(ended) = calling.next().await {
        all.answered += ended.answered;
        all.failed += ended.failed;
    }
    all
}

/// What has been told of endpoints so far, in short.
fn told(events: &mut EventStream) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        match event.what {
            What::Ejected { endpoint, shadow, ejection } => {
                let mode = if shadow { "would be ejected" } else { "ejected" };
                told.push(format!("{endpoint} {mode}: {}", ejection.cause.word()));
            }
            What::Returned { endpoint, shadow, .. } => {
                told.push(format!("{endpoint} {}", if shadow { "would return" } else { "returned" }));
            }
            What::AllEjected { ejected, endpoints } => {
                told.push(format!("{ejected} of {endpoints}: all used"))
            }
            _ => {}
        }
    }
    told
}

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
fn ten_thousand_calls_dropped_at_random_points_leave_nobody_busy() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| {
            let delay = ms(asked.serial * 7 % 40);
            match asked.serial % 11 {
                0 => Reaction::Panic.after(delay),
                1 => Reaction::Fail(down()).after(delay),
                2 => Reaction::Panic,
                3 => Reaction::Reply,
                4 => Reaction::Fail(down()),
                5 => Reaction::Hang,
                _ => Reaction::Reply.after(delay),
            }
        });
        let settings = format!(
            "{THREE}bulkhead = {{ max_in_flight = 200, max_queue = 200 }}\nrate = {{ limit = 2000 }}\nbreaker = {{ scope = \"endpoint\", reset_timeout = \"100ms\" }}"
        );
        let (runtime, users) = start(&settings, &behaviour).await;
        for round in 0_u64..100 {
            let mut calling: FuturesUnordered<_> = (0..100)
                .map(|n| {
                    let users = users.clone();
                    let patience = ms((round * 31 + n * 17) % 60);
                    async move {
                        // A write that has been sent goes on without its caller.
                        if n % 5 == 0 {
                            drop(tokio::time::timeout(patience, users.send(Change(n))).await);
                        } else {
                            drop(tokio::time::timeout(patience, users.send(Ask(n))).await);
                        }
                    }
                })
                .collect();
            while calling.next().await.is_some() {}
        }
        // Those that are finished without their callers end within their own time.
        sleep(Duration::from_secs(10)).await;
        assert!(behaviour.attempts() > 2_000, "{}", behaviour.attempts());
        let health = health(&runtime);
        assert!(health.iter().all(|one| one.outstanding == 0), "{health:?}");
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

fn builder(behaviour: &Behaviour) -> Builder {
    Runtime::builder().kind::<Scripted>().extension("users", behaviour.clone()).current_thread().seed(7)
}

/// A file of settings that is gone when the test is.
struct Written(std::path::PathBuf);

impl Written {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("seawall-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory can be made");
        Self(path)
    }

    fn write(&self, settings: &str) {
        let text = format!("[services.users]\nkind = \"scripted\"\n{settings}");
        std::fs::write(self.0.join("default.toml"), text).expect("it can be written to");
    }

    async fn start(&self, behaviour: &Behaviour) -> (Runtime, Service<Scripted>) {
        let runtime =
            builder(behaviour).load(&self.0).expect("it is TOML").start().await.expect("it is right");
        let users = runtime.service("users").expect("it is there");
        (runtime, users)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_known_of_an_endpoint_outlives_shards_and_reloads() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            1 => broken().after(ms(1)),
            _ => Reaction::Reply.after(ms(10)),
        });
        let settings = Written::new("endpoints");
        let write = |endpoints: &str| {
            settings.write(&format!("endpoints = {endpoints}\noutlier = {{ eject = \"60s\" }}"));
        };
        write("[\"a\", \"b\", \"c\"]");
        let (runtime, users) = settings.start(&behaviour).await;
        load(&users, 12, Duration::from_secs(5)).await;
        let before = health(&runtime);
        assert!(before[1].ejected_for_ms.is_some());

        users.reopen();
        load(&users, 12, ms(100)).await;
        assert_eq!(behaviour.opened(), 2);
        assert_eq!(health(&runtime)[1].failures, before[1].failures, "it is still left alone");

        write("[\"d\", \"c\", \"b\"]");
        runtime.reload().expect("it is right");
        let after = health(&runtime);
        assert!(after[2].ejected_for_ms.is_some() && after[2].failures == before[1].failures, "{after:?}");
        assert!(after[1].successes >= before[2].successes, "c is what it was");
        assert_eq!((after[0].successes, after[0].ejections), (0, 0), "and d is new");

        write("[\"d\"]");
        runtime.reload().expect("it is right");
        let alone = runtime.snapshot().service("users").cloned().expect("it is there");
        assert!(alone.endpoints.len() == 1 && alone.endpoints[0].health.is_none());
        users.send(Ask(1)).await.expect("one is enough");
        end(runtime).await;
    });
}

/// The endpoints change under calls that are under way: each ends at the one that it was sent to.
#[test]
fn a_reload_in_the_midst_of_calls_leaves_nobody_busy() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_: &Asked| Reaction::Reply.after(ms(50)));
        let settings = Written::new("endpoints-under-way");
        settings.write(THREE);
        let (runtime, users) = settings.start(&behaviour).await;
        let reloads = async {
            for (endpoints, decay) in
                [("\"a\", \"b\"", 9), ("\"b\", \"c\", \"d\"", 8), ("\"d\"", 8), ("\"a\", \"b\", \"c\"", 7)]
            {
                sleep(ms(120)).await;
                settings.write(&format!("endpoints = [{endpoints}]\nbalance = {{ decay = \"{decay}s\" }}"));
                runtime.reload().expect("it is right");
            }
        };
        let (ended, ()) = tokio::join!(load(&users, 10, ms(800)), reloads);
        assert_eq!(ended.failed, 0);
        assert!(health(&runtime).iter().all(|one| one.outstanding == 0), "{:?}", health(&runtime));
        end(runtime).await;
    });
}

#[test]
fn breakers_follow_their_scope_through_reloads() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_: &Asked| Reaction::Reply);
        let settings = Written::new("endpoint-breakers");
        let scope = |scope: &str, endpoints: &str| {
            settings.write(&format!("endpoints = {endpoints}\nbreaker = {{ scope = \"{scope}\" }}"));
        };
        let (two, one) = ("[\"a\", \"b\"]", "[\"a\"]");
        scope("endpoint", two);
        let (runtime, users) = settings.start(&behaviour).await;
        // Whether the service has one, and each of its endpoints.
        let there = || {
            let users = runtime.snapshot().service("users").cloned().expect("it is there");
            let of_endpoints = users.endpoints.iter().filter_map(|one| one.health.as_ref());
            (users.breaker.is_some(), of_endpoints.filter(|health| health.breaker.is_some()).count())
        };
        assert_eq!(there(), (false, 2));
        for (words, endpoints, expected) in [
            ("service", two, (true, 0)),
            ("endpoint", two, (false, 2)),
            ("endpoint", one, (true, 0)),
            ("endpoint", two, (false, 2)),
        ] {
            scope(words, endpoints);
            runtime.reload().expect("it is right");
            assert_eq!(there(), expected, "{words}, {endpoints}");
            users.send(Ask(1)).await.expect("it answers");
        }
        end(runtime).await;
    });
}

/// Real threads, so that what they share is shared indeed.
#[test]
fn threads_lose_no_outcome_of_an_endpoint() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.serial % 3 {
            0 => Reaction::Fail(Failure::new(Blame::Downstream, "no").symptom(Symptom::Response)),
            _ => Reaction::Reply,
        });
        let settings =
            "[services.users]\nkind = \"scripted\"\nendpoints = [\"a\", \"b\", \"c\"]\nbreaker = false";
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .extension("users", behaviour.clone())
            .parse(settings)
            .expect("it is TOML")
            .start()
            .await
            .expect("it is right");
        let users: Service<Scripted> = runtime.service("users").expect("it is there");
        let calling: Vec<_> = (0..8)
            .map(|caller| {
                let users = users.clone();
                tokio::spawn(async move {
                    for id in 0..300 {
                        let _ = users.send(Ask(caller * 1_000 + id)).await;
                    }
                })
            })
            .collect();
        for caller in calling {
            caller.await.expect("it does not panic");
        }
        assert_eq!(attempts(&runtime).iter().sum::<u64>(), behaviour.attempts());
        assert!(health(&runtime).iter().all(|one| one.outstanding == 0), "{:?}", health(&runtime));
        assert!(health(&runtime).iter().filter(|one| one.ejected_for_ms.is_some()).count() <= 1);
        assert_eq!(runtime.drain().await.cut_off, 0);
    });
}

#[test]
fn endpoints_that_cannot_be_are_refused() {
    virtual_time(async || {
        let many: Vec<_> = (0..65).map(|n| format!("\"{n}\"")).collect();
        for (endpoints, part) in [
            ("\"a\", \"b\", \"a\"".to_owned(), "its endpoint a is there twice"),
            (many.join(","), "65 endpoints are more than the 64 a service may have"),
        ] {
            let settings = format!("[services.users]\nkind = \"scripted\"\nendpoints = [{endpoints}]");
            let started =
                builder(&Behaviour::new(|_| Reaction::Reply)).parse(settings).expect("it is TOML").start();
            let error = started.await.expect_err("it is wrong").to_string();
            assert!(error.contains(part), "{error}");
        }
    });
}
