//! What each key has for itself: a breaker and limits of its own, within the service's.

use seawall::{
    Runtime,
    call::Reason,
    policy::{breaker::State, keys::KeysSnapshot},
    telemetry::What,
};
use seawall_testkit::{Ask, Behaviour, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, settle, slow, start};

/// Fails for what is asked with an odd number.
fn odd_fails() -> Behaviour {
    Behaviour::new(|asked| if asked.id % 2 == 1 { Reaction::Fail(down()) } else { Reaction::Reply })
}

fn keys(runtime: &Runtime) -> KeysSnapshot {
    runtime.snapshot().service("users").and_then(|users| users.keys).expect("it was called with keys")
}

fn breaker_of_service(runtime: &Runtime) -> State {
    runtime.snapshot().service("users").and_then(|users| users.breaker).expect("it has one").state
}

#[test]
fn one_key_that_fails_costs_the_others_nothing() {
    virtual_time(async || {
        let behaviour = odd_fails();
        let (runtime, users) = start("retry = false", &behaviour).await;
        // Alone, for long: no failures in a row of the service's.
        for _ in 0..100 {
            users.keyed("bad").send(Ask(1)).await.expect_err("it fails, or is refused");
        }
        assert_eq!(behaviour.attempts(), 5);
        let error = users.keyed("bad").send(Ask(1)).await.expect_err("its breaker is open");
        assert!(matches!(error.reason(), Some(Reason::Breaker(_))), "{error:?}");
        for id in 0..20 {
            users.keyed(format_args!("good {id}")).send(Ask(2)).await.expect("it is well");
        }
        users.send(Ask(2)).await.expect("and so is the service");
        assert_eq!(breaker_of_service(&runtime), State::Closed);
        let refusals = runtime.explain("users").expect("it is there").refusals;
        let told = serde_json::to_value(&refusals).expect("it can be written");
        assert_eq!((refusals.len(), &told[0]["scope"]["key"]), (1, &serde_json::json!("key:bad")));

        tokio::time::sleep(ms(35_000)).await;
        users.keyed("bad").send(Ask(2)).await.expect("its probe is well");
        users.keyed("bad").send(Ask(2)).await.expect("its breaker is closed");
        end(runtime).await;
    });
}

#[test]
fn an_outage_of_all_keys_opens_the_services_breaker() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("retry = false", &behaviour).await;
        for id in 0..5 {
            assert_eq!(breaker_of_service(&runtime), State::Closed);
            users.keyed(id).send(Ask(id)).await.expect_err("it fails");
        }
        assert_eq!(breaker_of_service(&runtime), State::Open, "five in a row, of five keys");
        users.keyed("another").send(Ask(1)).await.expect_err("it is open for all");
        assert_eq!(behaviour.attempts(), 5);
        end(runtime).await;
    });
}

#[test]
fn who_waits_for_a_place_of_its_key_holds_none_of_the_services() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let settings = "bulkhead = { max_in_flight = 2, max_queue = 0 }\nkeyed.bulkhead = { max_in_flight = 1, max_queue = 1 }";
        let (runtime, users) = start(settings, &behaviour).await;
        let (first, second, third, other) = tokio::join!(
            users.keyed("a").send(Ask(1)),
            users.keyed("a").send(Ask(2)),
            users.keyed("a").send(Ask(3)),
            users.keyed("b").send(Ask(4)),
        );
        first.expect("it has a's place");
        second.expect("it waited for it");
        let error = third.expect_err("that is all that may wait");
        assert!(matches!(error.reason(), Some(Reason::BulkheadFull { max_in_flight: 1, .. })), "{error:?}");
        other.expect("b has a place of its own, and there was one of the service's");
        end(runtime).await;
    });
}

#[test]
fn a_key_that_floods_spends_none_of_the_services_tokens() {
    virtual_time(async || {
        let settings = "rate = { limit = 1, per = \"1h\", burst = 5 }\nkeyed.rate = { limit = 1, per = \"1h\", burst = 2 }";
        let (runtime, users) = start(settings, &replies()).await;
        let mut passed = 0;
        for _ in 0..100 {
            passed += usize::from(users.keyed("flood").send(Ask(1)).await.is_ok());
        }
        assert_eq!(passed, 2);
        for key in ["a", "b", "c"] {
            users.keyed(key).send(Ask(1)).await.expect("there are three left");
        }
        let error = users.keyed("d").send(Ask(1)).await.expect_err("there are none");
        assert!(matches!(error.reason(), Some(Reason::Rate { .. })), "{error:?}");
        end(runtime).await;
    });
}

#[test]
fn a_flood_of_keys_neither_grows_nor_closes_an_open_breaker() {
    virtual_time(async || {
        let behaviour = odd_fails();
        let settings = "retry = false\nkeyed = { max = 16 }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..5 {
            users.keyed("bad").send(Ask(1)).await.expect_err("it fails");
        }
        for id in 0..5_000 {
            users.keyed(id).send(Ask(2)).await.expect("it is well");
        }
        assert!(users.keyed("bad").send(Ask(2)).await.expect_err("it is open still").is_rejection());
        assert_eq!(keys(&runtime), KeysSnapshot { keys: 16, max: 16, forgotten: 4_985, forgotten_early: 0 });
        end(runtime).await;
    });
}

#[test]
fn keys_that_are_not_used_are_forgotten() {
    virtual_time(async || {
        let (runtime, users) = start("keyed.idle = \"1m\"", &replies()).await;
        for id in 0..100 {
            users.keyed(id).send(Ask(1)).await.expect("it is well");
        }
        tokio::time::sleep(ms(61_000)).await;
        for id in 1_000..1_030 {
            users.keyed(id).send(Ask(1)).await.expect("it is well");
        }
        assert_eq!(keys(&runtime).keys, 30);
        end(runtime).await;
    });
}

#[test]
fn who_goes_away_gives_its_keys_place_back() {
    virtual_time(async || {
        let settings = "keyed.bulkhead = { max_in_flight = 1, max_queue = 1 }";
        let (runtime, users) = start(settings, &slow(ms(100))).await;
        for _ in 0..10 {
            let both =
                futures_util::future::join(users.keyed("a").send(Ask(1)), users.keyed("a").send(Ask(2)));
            tokio::time::timeout(ms(10), both).await.expect_err("they take longer");
            settle().await;
        }
        users.keyed("a").send(Ask(1)).await.expect("the place is free");
        users.keyed("a").do_send(Ask(1));
        settle().await;
        users.keyed("a").send(Ask(1)).await.expect("it waits for that one");
        end(runtime).await;
    });
}

#[test]
fn turned_off_a_key_has_nothing_for_itself() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false\nkeyed = false", &odd_fails()).await;
        for _ in 0..5 {
            users.keyed("bad").send(Ask(1)).await.expect_err("it fails");
        }
        assert!(users.keyed("good").send(Ask(2)).await.expect_err("there is one breaker").is_rejection());
        assert!(runtime.snapshot().services[0].keys.is_none());
        end(runtime).await;
    });
}

#[test]
fn a_thousand_keys_that_open_at_once_make_no_thousand_lines() {
    virtual_time(async || {
        let behaviour =
            Behaviour::new(|asked| if asked.id % 4 == 0 { Reaction::Fail(down()) } else { Reaction::Reply });
        let settings = "retry = false\nkeyed.max = 2000\nbreaker = { consecutive_failures = 2, error_threshold = \"60%\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        let mut events = runtime.events();
        for id in 0..4_000 {
            for _ in 0..2 {
                let _ = users.keyed(id).send(Ask(id)).await;
            }
        }
        let told = std::iter::from_fn(|| events.try_next());
        let told = told.filter(|event| matches!(event.what, What::Breaker { .. })).count();
        assert_eq!(told, 10);
        let opened = runtime.metrics().lines().any(|line| {
            line.starts_with("seawall_breaker_transitions_total")
                && line.contains("to=\"open\"")
                && line.ends_with(" 1000")
        });
        assert!(opened, "all are counted");
        end(runtime).await;
    });
}

#[test]
fn keys_survive_a_reload_that_changes_nothing_of_theirs() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &odd_fails()).await;
        for _ in 0..5 {
            users.keyed("bad").send(Ask(1)).await.expect_err("it fails");
        }
        runtime.reload().expect("nothing changed");
        assert!(users.keyed("bad").send(Ask(2)).await.expect_err("it is open still").is_rejection());
        end(runtime).await;
    });
}

#[test]
fn a_key_is_shown_short_and_on_one_line() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let mut events = runtime.events();
        let key = format!("a\nb{}", "x".repeat(10_000));
        for _ in 0..5 {
            users.keyed(&key).send(Ask(1)).await.expect_err("it fails");
        }
        let scope = std::iter::from_fn(|| events.try_next()).find_map(|event| match event.what {
            What::Breaker { scope, .. } => Some(scope),
            _ => None,
        });
        assert_eq!(scope.as_deref(), Some(&*format!("key:a?b{}", "x".repeat(61))));
        end(runtime).await;
    });
}
