//! Settings that code overrides at run time: in force at once, whole or not at all, and never for ever.

use std::time::Duration;

use seawall::{
    Runtime,
    runtime::{LONGEST_OVERRIDE, MOST_OVERRIDES, OverrideError, ReloadError},
    telemetry::{Ended, EventStream, What},
};
use seawall_testkit::{Ask, Change, Lookup, Reaction, Scripted, virtual_time};
use tokio::time::{Instant, sleep};

use crate::{
    reload::{Files, USERS},
    support::{down, end, fails, ms, replies, settle, slow, start},
};

const HOUR: Duration = Duration::from_secs(3600);

/// What is in force for a key, and where it comes from.
fn row(runtime: &Runtime, key: &str) -> (String, String) {
    let explained = runtime.explain_settings("users").expect("it is there");
    let row = explained.rows.into_iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no {key}"));
    (row.value, row.origin.to_string())
}

/// The overrides that began and ended by now.
fn told(events: &mut EventStream) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        let service = event.service.as_deref().unwrap_or("").to_owned();
        match event.what {
            What::OverrideSet { key, value, by, because, lasting } => {
                told.push(format!("{service}: {key} = {value} by {by}, {because}, {lasting:?}"));
            }
            What::OverrideExpired { key, by, cause } => {
                told.push(format!("{service}: {key} by {by} ended: {}", cause.word()));
            }
            _ => {}
        }
    }
    told
}

/// How long a call to a downstream that never answers takes.
async fn patience(users: &seawall::Service<seawall_testkit::Scripted>) -> Duration {
    let began = Instant::now();
    users.send(Change(1)).await.expect_err("nothing answers");
    began.elapsed()
}

#[test]
fn an_override_holds_at_once_and_ends_by_itself() {
    virtual_time(async || {
        let hangs = seawall_testkit::Behaviour::new(|_| Reaction::Hang);
        let (runtime, users) = start("timeout = \"3s\"\nbreaker = false", &hangs).await;
        let mut events = runtime.events();
        let set = runtime.set("users.timeout", "1s").lasting(2 * HOUR).by("alice").because("it is slow");
        let set = set.expect("it is right");
        assert_eq!((set.key.as_str(), set.value.as_str()), ("services.users.timeout", "\"1s\""));
        assert_eq!(patience(&users).await, ms(1000));

        let (value, origin) = row(&runtime, "services.users.timeout");
        assert_eq!(value, "\"1s\"");
        assert!(origin.starts_with("override by alice, because it is slow, until 2"), "{origin}");
        assert_eq!(runtime.overrides().first(), Some(&set));
        assert_eq!(runtime.snapshot().overrides, [set]);
        assert!(runtime.metrics().contains("seawall_config_overrides 1\n"));

        sleep(2 * HOUR).await;
        settle().await;
        assert_eq!(patience(&users).await, ms(3000));
        assert_eq!(row(&runtime, "services.users.timeout").0, "\"3s\"");
        assert_eq!(runtime.overrides(), []);
        assert!(runtime.metrics().contains("seawall_config_overrides 0\n"));
        assert_eq!(
            told(&mut events),
            [
                "users: services.users.timeout = \"1s\" by alice, it is slow, 7200s",
                "users: services.users.timeout by alice ended: time",
            ]
        );
        end(runtime).await;
    });
}

#[test]
fn each_ends_in_its_own_time_whatever_the_order_they_were_set_in() {
    virtual_time(async || {
        let (runtime, _users) = start("", &replies()).await;
        for (key, hours) in [("timeout", 3), ("max_timeout", 1), ("connect_timeout", 2)] {
            let set = runtime.set(format!("users.{key}"), "10s").lasting(hours * HOUR);
            set.because("a test").expect("it is right");
        }
        for left in [3, 2, 1, 0] {
            settle().await;
            assert_eq!(runtime.overrides().len(), left);
            sleep(HOUR).await;
        }
        end(runtime).await;
    });
}

#[test]
fn what_was_said_later_wins_and_lasts_as_long_as_it_says() {
    virtual_time(async || {
        let (runtime, _users) = start("", &replies()).await;
        runtime.set("users.timeout", "1s").lasting(HOUR).because("a test").expect("right");
        runtime.set("services.users.timeout", "2s").lasting(3 * HOUR).because("no, longer").expect("right");
        assert_eq!(runtime.overrides().len(), 1);
        sleep(2 * HOUR).await;
        assert_eq!(row(&runtime, "services.users.timeout").0, "\"2s\"");
        end(runtime).await;
    });
}

#[test]
fn unset_ends_it_early() {
    virtual_time(async || {
        let (runtime, _users) = start("", &replies()).await;
        let mut events = runtime.events();
        runtime.set("users.bulkhead.max_in_flight", 3).because("a test").expect("right");
        assert_eq!(runtime.snapshot().services[0].bulkhead.expect("it has one").max_in_flight, 3);
        assert_eq!(runtime.unset("users.bulkhead.max_in_flight").expect("it is there").value, "3");
        assert_eq!(runtime.snapshot().services[0].bulkhead.expect("it has one").max_in_flight, 100);
        assert_eq!(told(&mut events)[1], "users: services.users.bulkhead.max_in_flight by code ended: unset");
        assert!(matches!(runtime.unset("users.bulkhead.max_in_flight"), Err(OverrideError::NotSet(_))));
        end(runtime).await;
    });
}

#[test]
fn one_that_is_unset_keeps_no_other_from_ending() {
    virtual_time(async || {
        let (runtime, _users) = start("", &replies()).await;
        runtime.set("users.timeout", "1s").lasting(HOUR).because("a test").expect("right");
        runtime.set("users.connect_timeout", "1s").lasting(2 * HOUR).because("a test").expect("right");
        runtime.unset("users.timeout").expect("it is there");
        sleep(2 * HOUR).await;
        settle().await;
        assert_eq!(runtime.overrides(), []);
        end(runtime).await;
    });
}

#[test]
fn a_call_is_overridden_by_itself_and_beats_its_service() {
    virtual_time(async || {
        let hangs = seawall_testkit::Behaviour::new(|_| Reaction::Hang);
        let (runtime, users) = start("breaker = false\nretry = false", &hangs).await;
        // Known since it was made: nobody registered it.
        assert_eq!(patience(&users).await, ms(3000));
        runtime.set("users.timeout", "2s").because("a test").expect("it is right");
        runtime.set("users.calls.Change.timeout", "1s").because("a test").expect("it is right");
        assert_eq!(patience(&users).await, ms(1000));
        let began = Instant::now();
        users.send(Ask(1)).await.expect_err("nothing answers");
        assert_eq!(began.elapsed(), ms(2000));
        assert!(row(&runtime, "services.users.calls.Change.timeout").1.contains("override by code"));
        end(runtime).await;
    });
}

#[test]
fn what_is_wrong_changes_nothing() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        users.send(Ask(1)).await.expect("it answers");
        let before = runtime.explain_settings("users").expect("there").to_string();
        let generation = runtime.snapshot().config_generation;
        let mut events = runtime.events();
        let set = |path: &str, value: &str| runtime.set(path, value).because("a test");
        for (path, value) in [
            ("users.timout", "1s"),
            ("users.timeout", "1 parsec"),
            ("users.timeout", "90s"),
            ("user.timeout", "1s"),
            ("users.calls.Aks.timeout", "1s"),
            ("users.kind", "http"),
            ("runtime.drain", "1s"),
        ] {
            assert!(matches!(set(path, value), Err(OverrideError::Settings(_))), "{path} = {value}");
        }
        for lasting in [Duration::ZERO, LONGEST_OVERRIDE + ms(1), Duration::MAX] {
            let set = runtime.set("users.timeout", "1s").lasting(lasting).because("a test");
            assert!(matches!(set, Err(OverrideError::Lasting(_))), "{lasting:?}");
        }
        assert!(matches!(runtime.set("users.timeout", "1s").because(" \n"), Err(OverrideError::NoReason)));
        assert_eq!(runtime.explain_settings("users").expect("there").to_string(), before);
        assert_eq!(runtime.snapshot().config_generation, generation);
        assert_eq!((runtime.overrides(), told(&mut events)), (vec![], vec![]));
        end(runtime).await;
    });
}

#[test]
fn there_are_no_more_than_may_be() {
    virtual_time(async || {
        let calls: String = (0..=MOST_OVERRIDES)
            .map(|n| format!("[services.users.calls.C{n}]\ntimeout = \"2s\"\n"))
            .collect();
        let (runtime, _users) = start(&calls, &replies()).await;
        let set = |n: usize| runtime.set(format!("users.calls.C{n}.timeout"), "1s").because("a test");
        for n in 0..MOST_OVERRIDES {
            set(n).expect("there is room");
        }
        assert!(matches!(set(MOST_OVERRIDES), Err(OverrideError::TooMany)));
        set(0).expect("it takes the place of the one before");
        sleep(HOUR).await;
        settle().await;
        set(MOST_OVERRIDES).expect("there is room again");
        end(runtime).await;
    });
}

#[test]
fn pool_and_state_are_kept_as_by_a_reload() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        behaviour.react(|asked| if asked.call == "Ask" { Reaction::Fail(down()) } else { Reaction::Reply });
        users.send(Ask(1)).await.expect_err("it fails");
        runtime.set("users.timeout", "7s").because("a test").expect("right");
        settle().await;
        let breaker = runtime.snapshot().services[0].breaker.expect("it has one");
        assert_eq!((breaker.calls, breaker.failures), (3, 2));
        assert_eq!(users.send(Lookup(1)).await.expect("kept").serial, 1);
        assert_eq!((behaviour.opened(), behaviour.closed()), (1, 0));

        runtime.set("users.pool.max", 7).because("a test").expect("right");
        settle().await;
        users.send(Lookup(2)).await.expect("it answers");
        assert_eq!(
            (behaviour.opened(), behaviour.closed()),
            (2, 1),
            "a pool of another size is another pool"
        );
        runtime.unset("users.pool.max").expect("it is there");
        settle().await;
        users.send(Lookup(3)).await.expect("it answers");
        assert_eq!((behaviour.opened(), behaviour.closed()), (3, 2));
        end(runtime).await;
    });
}

#[test]
fn an_open_breaker_stays_open_through_it() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        for _ in 0..5 {
            users.send(Ask(1)).await.expect_err("it fails");
        }
        runtime.set("users.bulkhead.max_in_flight", 5).because("a test").expect("right");
        assert!(users.send(Ask(1)).await.expect_err("it is open").is_rejection());
        end(runtime).await;
    });
}

#[test]
fn calls_under_way_are_not_disturbed() {
    virtual_time(async || {
        let (runtime, users) = start("", &slow(ms(500))).await;
        let (reply, set) = tokio::join!(users.send(Ask(1)), async {
            sleep(ms(100)).await;
            runtime.set("users.timeout", "200ms").because("a test")
        });
        set.expect("right");
        reply.expect("it was sent by the old settings");
        users.send(Ask(1)).await.expect_err("by the new ones it takes too long");
        end(runtime).await;
    });
}

#[test]
fn one_that_makes_no_sense_without_another_ends_with_it() {
    virtual_time(async || {
        let (runtime, _users) = start("", &replies()).await;
        let mut events = runtime.events();
        runtime.set("users.max_timeout", "5m").lasting(HOUR).because("reports").expect("right");
        runtime.set("users.timeout", "2m").lasting(3 * HOUR).because("reports").expect("right");
        runtime.set("users.rate", false).lasting(3 * HOUR).because("reports").expect("right");
        let refused = runtime.unset("users.max_timeout").expect_err("whoever asks is there to be told");
        assert!(refused.to_string().contains("timeout = 2m is longer than max_timeout = 1m"), "{refused}");
        assert_eq!(runtime.overrides().len(), 3);
        sleep(HOUR).await;
        settle().await;
        assert_eq!(row(&runtime, "services.users.timeout").0, "\"3s\"");
        assert_eq!(runtime.overrides().len(), 1);
        let ended: Vec<_> = told(&mut events).split_off(3);
        let cause = Ended::Contradicts.word();
        assert_eq!(
            ended,
            [
                "users: services.users.max_timeout by code ended: time".to_owned(),
                format!("users: services.users.timeout by code ended: {cause}"),
            ]
        );
        end(runtime).await;
    });
}

#[test]
fn a_reload_keeps_overrides_and_what_somebody_saved_is_not_read_by_one() {
    virtual_time(async || {
        let files = Files::new("overridden");
        files.write(USERS);
        let (runtime, _users) = files.start(&replies()).await;
        runtime.set("users.timeout", "5s").because("a test").expect("right");
        files.write(&format!("{USERS}timeout = \"7s\"\nconnect_timeout = \"1s\""));
        runtime.set("users.rate", false).because("a test").expect("right");
        assert_eq!(row(&runtime, "services.users.connect_timeout").0, "\"2s\"", "it was not reloaded");
        runtime.reload().expect("right");
        assert_eq!(row(&runtime, "services.users.connect_timeout").0, "\"1s\"");
        assert_eq!(row(&runtime, "services.users.timeout").0, "\"5s\"");
        runtime.unset("users.timeout").expect("there");
        assert_eq!(row(&runtime, "services.users.timeout").0, "\"7s\"");
        end(runtime).await;
    });
}

#[test]
fn a_reload_that_an_override_contradicts_is_refused_and_says_so() {
    virtual_time(async || {
        let files = Files::new("contradicted");
        files.write(USERS);
        let (runtime, _users) = files.start(&replies()).await;
        runtime.set("users.timeout", "20s").by("alice").because("reports").expect("right");
        files.write(&format!("{USERS}max_timeout = \"10s\""));
        let Err(ReloadError::Config(errors)) = runtime.reload() else { panic!("it was taken") };
        let text = errors.to_string();
        assert!(text.contains("timeout = 20s is longer than max_timeout = 10s"), "{text}");
        assert!(text.contains("--> override by alice, because reports, until "), "{text}");
        runtime.unset("users.timeout").expect("there");
        runtime.reload().expect("nothing is in its way");
        end(runtime).await;
    });
}

#[test]
fn overrides_of_a_service_that_is_gone_end() {
    virtual_time(async || {
        let files = Files::new("gone");
        files.write(USERS);
        let (runtime, _users) = files.start(&replies()).await;
        let mut events = runtime.events();
        runtime.set("users.timeout", "5s").because("a test").expect("right");
        files.write("[services.orders]\nkind = \"scripted\"");
        runtime.reload().expect("right");
        assert_eq!(runtime.overrides(), []);
        assert_eq!(told(&mut events)[1], "users: services.users.timeout by code ended: service_removed");
        end(runtime).await;
    });
}

#[test]
fn those_of_a_service_that_is_gone_keep_no_other_from_ending() {
    virtual_time(async || {
        let files = Files::new("gone-first");
        let orders = "[services.orders]\nkind = \"scripted\"\n";
        files.write(&format!("{orders}{USERS}"));
        let (runtime, _users) = files.start(&replies()).await;
        runtime.set("orders.timeout", "1s").lasting(HOUR).because("a test").expect("right");
        runtime.set("users.timeout", "1s").lasting(2 * HOUR).because("a test").expect("right");
        files.write(USERS);
        runtime.reload().expect("right");
        assert_eq!(runtime.overrides().len(), 1);
        sleep(2 * HOUR).await;
        settle().await;
        assert_eq!(runtime.overrides(), []);
        end(runtime).await;
    });
}

#[test]
fn a_runtime_that_is_dropped_waits_for_no_end() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        runtime.set("users.timeout", "5s").because("a test").expect("right");
        let mut events = runtime.events();
        drop((runtime, users));
        settle().await;
        while events.try_next().is_some() {}
        assert!(events.next().await.is_none(), "nothing keeps it alive");
    });
}

/// A runtime with threads of its own, on which the supervisor ends overrides.
async fn threaded() -> Runtime {
    let started = Runtime::builder()
        .kind::<Scripted>()
        .extension("users", replies())
        .parse("[services.users]\nkind = \"scripted\"")
        .expect("TOML")
        .start()
        .await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_supervisor_ends_it_on_a_thread_of_its_own() {
    actix_rt::System::new().block_on(async {
        let runtime = threaded().await;
        let mut events = runtime.events();
        runtime.set("users.timeout", "1s").lasting(ms(20)).because("a test").expect("right");
        while !matches!(
            events.next().await.expect("it runs").what,
            What::OverrideExpired { cause: Ended::Time, .. }
        ) {}
        assert_eq!(runtime.overrides(), []);
        assert_eq!(row(&runtime, "services.users.timeout").0, "\"3s\"");
        runtime.drain().await;
    });
}

#[test]
fn threads_that_override_at_once_lose_nothing() {
    actix_rt::System::new().block_on(async {
        let runtime = threaded().await;
        let keys = ["timeout", "connect_timeout", "attempt_timeout", "bulkhead.queue_timeout"];
        std::thread::scope(|scope| {
            for key in keys {
                let runtime = &runtime;
                scope.spawn(move || {
                    for seconds in 10..20 {
                        let set = runtime.set(format!("users.{key}"), format!("{seconds}s"));
                        // From a thread without any async runtime.
                        set.because("a test").expect("it is right");
                        runtime.snapshot();
                        runtime.metrics();
                    }
                });
            }
        });
        assert_eq!(runtime.overrides().len(), keys.len());
        for key in keys {
            assert_eq!(row(&runtime, &format!("services.users.{key}")).0, "\"19s\"");
        }
        runtime.drain().await;
    });
}
