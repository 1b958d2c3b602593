//! Errors of a real server, and whose fault each is.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall::{
    Failure,
    downstream::{
        Blame::{self, Caller, Downstream, Local, Overload, Topology},
        Reached::{self, Maybe, No, Yes},
        Symptom,
    },
};
use seawall_redis::{Command, Get, Incr, Script, Set, Transaction, Value};
use seawall_testkit::{FaultProxy, RedisServer};
use support::{Subject, failure, run};

/// What policies go by.
fn seen(failure: &Failure) -> (Blame, Reached, &str) {
    (failure.blame(), failure.has_reached(), failure.get_code().unwrap_or_default())
}

#[test]
fn what_the_call_got_wrong_is_the_callers_fault() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        let cache = &subject.cache;
        redis.cli(&["LPUSH", "list", "x"]);
        let failed = failure(cache.send(Get::<String>::new("list")).await);
        assert_eq!(seen(&failed), (Caller, Yes, "WRONGTYPE"));
        let failed = failure(cache.send(Command::<()>::new("NOSUCH").arg("canary")).await);
        assert_eq!(seen(&failed), (Caller, Yes, "ERR"));
        assert!(
            failed.to_string().contains("NOSUCH") && !format!("{failed:?}").contains("canary"),
            "{failed:?}"
        );
        let failed = failure(cache.send(Script::<()>::new("no lua")).await);
        assert_eq!(seen(&failed), (Caller, Yes, "ERR"));
        let failed = failure(cache.send(Command::<()>::new("EVALSHA").arg("x".repeat(40)).arg(0)).await);
        assert_eq!(seen(&failed), (Caller, Yes, "NOSCRIPT"));
        subject.end().await;
    });
}

#[test]
fn no_memory_is_overload_and_reads_go_on() {
    run(async {
        let redis = RedisServer::builder().set("maxmemory-policy", &["noeviction"]).start().await;
        let subject = Subject::at(&redis.url()).await;
        redis.cli(&["SET", "user", "ann"]);
        redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        let failed = failure(subject.cache.send(Incr::new("count")).await);
        assert_eq!(seen(&failed), (Overload, No, "OOM"));
        assert_eq!(failed.looked_like(), Symptom::Overload);
        assert_eq!(subject.cache.send(Get::<String>::new("user")).await.unwrap().as_deref(), Some("ann"));
        let aborted = Transaction::<Value>::new().and(Incr::new("count"));
        assert_eq!(seen(&failure(subject.cache.send(aborted).await)), (Overload, No, "OOM"));
        subject.end().await;
    });
}

#[test]
fn a_busy_server_is_overload() {
    run(async {
        let redis = RedisServer::builder().set("busy-reply-threshold", &["50"]).start().await;
        let subject = Subject::start(&format!("url = \"{}\"\nredis.check = \"20s\"", redis.url())).await;
        subject.cache.send(Set::new("user", "ann")).await.unwrap();
        let endless = subject.cache.send(Script::<()>::new("while true do end"));
        let busy = async {
            loop {
                // On the script's own connection a command waits for the script.
                let asked = subject.cache.send(Incr::new("count")).deadline(Duration::from_millis(100)).await;
                match asked.err().and_then(|error| error.failure().cloned()) {
                    Some(failure) if failure.get_code().is_some() => break failure,
                    _ => {}
                }
            }
        };
        let ended = async {
            let failed = busy.await;
            redis.cli(&["SCRIPT", "KILL"]);
            failed
        };
        let (killed, failed) = tokio::join!(endless, ended);
        assert_eq!(seen(&failed), (Overload, No, "BUSY"));
        failure(killed);
        subject.end().await;
    });
}

#[test]
fn too_many_clients_are_overload() {
    run(async {
        let redis = RedisServer::builder().set("maxclients", &["2"]).start().await;
        let first = Subject::at(&redis.url()).await;
        first.cache.send(Get::<String>::new("user")).await.unwrap();
        redis.wait_for(&["PING"], "max number of clients").await;
        let second = Subject::at(&redis.url()).await;
        let failed = failure(second.cache.send(Get::<String>::new("user")).await);
        assert_eq!(seen(&failed), (Overload, No, "MAXCLIENTS"));
        second.end().await;
        first.end().await;
    });
}

#[test]
fn a_replica_is_another_servers_topology() {
    run(async {
        let primary = RedisServer::start().await;
        let replica = RedisServer::builder().replica_of(&primary).start().await;
        let subject = Subject::at(&replica.url()).await;
        let failed = failure(subject.cache.send(Set::new("user", "ann")).await);
        assert_eq!(seen(&failed), (Topology, No, "READONLY"));
        replica.cli(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
        primary.kill();
        replica.wait_for(&["GET", "user"], "MASTERDOWN").await;
        let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
        assert_eq!(seen(&failed), (Topology, No, "MASTERDOWN"));
        subject.end().await;
    });
}

/// The name leads elsewhere by now: what was answered READONLY is asked anew over a connection made anew.
#[test]
fn after_readonly_connections_are_made_anew() {
    run(async {
        let (old, new) = (RedisServer::start().await, RedisServer::start().await);
        let subject = Subject::at(&old.url()).await;
        subject.cache.send(Set::new("user", "ann")).await.unwrap();
        let made = old.cli(&["INFO", "stats"]);
        old.cli(&["REPLICAOF", "127.0.0.1", &new.addr().port().to_string()]);
        assert_eq!(failure(subject.cache.send(Set::new("user", "bob")).await).get_code(), Some("READONLY"));
        old.cli(&["REPLICAOF", "NO", "ONE"]);
        subject.cache.send(Set::new("user", "bob")).await.unwrap();
        let connections = |stats: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
            line.unwrap().trim().parse::<u32>().unwrap()
        };
        // Of those that came since, three are redis-cli's.
        assert!(connections(&old.cli(&["INFO", "stats"])) > connections(&made) + 3, "none was made");
        subject.end().await;
    });
}

#[test]
fn a_write_whose_connection_breaks_is_of_unknown_outcome() {
    run(async {
        let redis = RedisServer::start().await;
        let proxy = FaultProxy::start(redis.addr());
        let subject = Subject::at(&format!("redis://{}", proxy.addr())).await;
        subject.cache.send(Incr::new("count")).await.unwrap();
        let sent = proxy.stats().to_server.bytes_read;
        proxy.hang();
        let write = subject.cache.send(Incr::new("count"));
        let breaks = async {
            proxy.wait_for("the command", move |stats| stats.to_server.bytes_read > sent).await;
            proxy.reset_open().await;
        };
        let (failed, ()) = tokio::join!(write, breaks);
        let failed = failure(failed);
        assert_eq!(seen(&failed), (Downstream, Maybe, "reset"));
        assert!(failed.to_string().contains("unknown"), "{failed}");
        subject.end().await;
    });
}

#[test]
fn what_is_no_redis_says_so() {
    run(async {
        let server = seawall_testkit::TestServer::start(|_| seawall_testkit::Reply::text("hello"));
        let subject = Subject::at(&format!("redis://{}", server.addr())).await;
        let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
        assert_eq!((failed.blame(), failed.has_reached()), (Downstream, No), "{failed:?}");
        subject.end().await;
        let subject = Subject::at("redis://no-such-host.invalid").await;
        let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
        assert_eq!(seen(&failed), (Downstream, No, "dns"), "{failed:?}");
        subject.end().await;
    });
}

#[test]
fn passwords_and_permissions_come_with_advice_and_without_the_secret() {
    run(async {
        let redis = RedisServer::builder().password("canary-right").start().await;
        let folder = std::env::temp_dir().join(format!("seawall-acl-{}", std::process::id()));
        let at = |password: &str, more: &str| {
            std::fs::write(&folder, password).unwrap();
            format!(
                "url = \"{}\"\nredis = {{ password = {{ file = \"{}\" }}{more} }}",
                redis.url(),
                folder.display()
            )
        };

        let subject = Subject::at(&redis.url()).await;
        let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
        assert_eq!(seen(&failed), (Local, No, "NOAUTH"));
        assert!(failed.to_string().contains("`redis.password`"), "{failed}");
        subject.end().await;

        let subject = Subject::start(&at("canary-wrong", "")).await;
        let error = subject.cache.send(Get::<String>::new("user")).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        assert_eq!(seen(error.failure().unwrap()), (Local, No, "WRONGPASS"));
        // One that is renewed is noticed, without a restart.
        std::fs::write(&folder, "canary-right").unwrap();
        subject.cache.send(Set::new("user", "ann")).await.unwrap();
        assert!(!format!("{:?}", subject.runtime.explain_settings("cache").unwrap()).contains("canary"));
        subject.end().await;

        redis.cli(&["ACL", "SETUSER", "shop", "on", ">canary-shop", "+@all", "-del", "~user*"]);
        let subject = Subject::start(&at("canary-shop", ", username = \"shop\", database = 3")).await;
        subject.cache.send(Set::new("user", "bob")).await.unwrap();
        assert_eq!(redis.cli(&["-n", "3", "GET", "user"]), "bob", "in its database");
        let failed = failure(subject.cache.send(seawall_redis::Del::new("user")).await);
        assert_eq!(seen(&failed), (Caller, No, "NOPERM"));
        assert!(failed.to_string().contains("ACL SETUSER"), "{failed}");
        subject.end().await;
        std::fs::remove_file(&folder).unwrap();
    });
}
