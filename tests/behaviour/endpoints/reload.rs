//! Endpoints that come and go.

use super::*;

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

/// The rules change while attempts are under way: what they find out counts by the new ones.
#[test]
fn what_was_under_way_when_the_rules_changed_is_told_to_the_new_ones() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.endpoint {
            1 => broken().after(ms(100)),
            _ => Reaction::Reply.after(ms(100)),
        });
        let settings = Written::new("endpoints-told");
        let decay =
            |seconds| settings.write(&format!("{THREE}retry = false\nbalance.decay = \"{seconds}s\""));
        decay(9);
        let (runtime, users) = settings.start(&behaviour).await;
        let calls: FuturesUnordered<_> = (0..30).map(|n| users.send(Ask(n))).collect();
        let reload = async {
            sleep(ms(50)).await;
            assert_eq!(behaviour.attempts(), 30, "all are under way");
            decay(8);
            runtime.reload().expect("it is right");
        };
        let (failed, ()) =
            tokio::join!(calls.filter(|ended| std::future::ready(ended.is_err())).count(), reload);
        assert!(failed >= 5, "{failed}");
        assert_eq!(behaviour.attempts(), 30);
        assert!(health(&runtime)[1].ejected_for_ms.is_some(), "{:?}", health(&runtime));
        end(runtime).await;
    });
}

#[test]
fn who_joins_others_starts_slowly() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_: &Asked| Reaction::Reply.after(ms(10)));
        let settings = Written::new("endpoints-join");
        settings.write("endpoints = [\"a\", \"b\"]");
        let (runtime, users) = settings.start(&behaviour).await;
        load(&users, 12, Duration::from_secs(1)).await;
        assert!(attempts(&runtime).iter().all(|of| *of > 400), "who starts together has nobody to wait for");
        settings.write(THREE);
        runtime.reload().expect("it is right");
        let mut shares = Vec::new();
        for _ in 0..12 {
            let before = attempts(&runtime);
            load(&users, 12, Duration::from_secs(1)).await;
            let of: Vec<_> =
                attempts(&runtime).iter().zip(before).map(|(after, before)| after - before).collect();
            shares.push(of[2] as f64 / of.iter().sum::<u64>() as f64);
        }
        assert!(shares[0] < 0.1, "{shares:?}");
        assert!(shares[5] > shares[0] && shares[11] > 0.28, "{shares:?}");
        end(runtime).await;
    });
}
