//! Redis as the tier that processes share: two runtimes, one server, and what can go wrong with it.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use seawall::{
    Downstream, Origin, Runtime, Service,
    downstream::{OpenContext, PoolSettings},
    runtime::{SharedSnapshot, TierSnapshot},
};
use seawall_redis::{Redis, RedisSettings};
use seawall_testkit::{
    Behaviour, Change, Lookup, Reaction, RedisCluster, RedisServer, Scripted, tier_conformance,
};
use support::run;
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

struct Process {
    runtime: Runtime,
    users: Service<Scripted>,
}

impl Process {
    async fn start(tier: &str, behaviour: &Behaviour) -> Self {
        Self::start_with(tier, behaviour, "").await
    }

    async fn start_with(tier: &str, behaviour: &Behaviour, cache: &str) -> Self {
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .kind::<Redis>()
            .extension("users", behaviour.clone())
            .parse(format!(
                "[services.redis-main]\nkind = \"redis\"\n{tier}\n\
                 [services.users]\nkind = \"scripted\"\n\
                 cache = {{ shared = {{ service = \"redis-main\", budget = \"200ms\" }}{cache} }}"
            ))
            .unwrap()
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let users = runtime.service("users").unwrap();
        Self { runtime, users }
    }

    /// Two, that hear the tier's news.
    async fn two(server: &RedisServer, behaviour: &Behaviour) -> (Self, Self) {
        let tier = format!("url = \"{}\"\nredis = {{ check = \"200ms\" }}", server.url());
        let two = (Self::start(&tier, behaviour).await, Self::start(&tier, behaviour).await);
        until("both hear the news", || two.0.tier().heard && two.1.tier().heard).await;
        two
    }

    async fn ask(&self, id: u64) -> u64 {
        self.users.send(Lookup(id)).await.unwrap_or_else(|error| panic!("{error}")).serial
    }

    fn tier(&self) -> TierSnapshot {
        self.runtime.snapshot().service("redis-main").unwrap().tier.clone().unwrap()
    }

    fn figures(&self) -> SharedSnapshot {
        self.runtime.snapshot().service("users").unwrap().call("Lookup").unwrap().shared.unwrap()
    }

    async fn end(self) {
        until("nothing is under way", || self.runtime.snapshot().active == 0).await;
        assert_eq!(self.runtime.drain().await.cut_off, 0);
    }
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(10), "in vain: {what}");
        sleep(MS).await;
    }
}

fn replies() -> Behaviour {
    Behaviour::new(|_| Reaction::Reply)
}

#[test]
fn redis_is_a_tier() {
    run(async {
        let server = RedisServer::start().await;
        let settings: RedisSettings = toml::from_str(&format!("url = \"{}\"", server.url())).unwrap();
        let context = OpenContext::new("tier", 1_000 * MS, PoolSettings::default());
        let tier = Redis::open(&settings, &context).await.unwrap();
        tier_conformance(&tier, "conformance").await;
        tier.close().await;
    });
}

/// K1: a thousand callers in each of two processes, one cold key, one load.
#[test]
fn two_processes_of_a_thousand_callers_make_one_load() {
    run(async {
        let (server, behaviour) =
            (RedisServer::start().await, Behaviour::new(|_| Reaction::Reply.after(300 * MS)));
        let (one, other) = Process::two(&server, &behaviour).await;
        let of_one = join_all((0..1_000).map(|_| one.ask(1)));
        let of_other = join_all((0..1_000).map(|_| other.ask(1)));
        let (of_one, of_other) = tokio::join!(of_one, of_other);
        assert!(of_one.iter().chain(&of_other).all(|serial| *serial == 1));
        assert_eq!(behaviour.attempts(), 1);
        one.end().await;
        other.end().await;
    });
}

/// A write in one process is seen by the other within 50 ms, and nothing older is seen after.
#[test]
fn a_write_is_seen_by_the_other_process_within_fifty_milliseconds() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        let mut worst = Duration::ZERO;
        for _ in 0..200 {
            let before = other.ask(1).await;
            let written = one.users.send(Change(1)).await.unwrap().serial;
            let began = Instant::now();
            assert!(one.ask(1).await > written, "its own write is visible at once");
            let mut seen = other.ask(1).await;
            while seen <= before {
                tokio::task::yield_now().await;
                seen = other.ask(1).await;
            }
            worst = worst.max(began.elapsed());
            let after = join_all((0..20).map(|i| if i % 2 == 0 { one.ask(1) } else { other.ask(1) })).await;
            assert!(after.iter().all(|serial| *serial > written), "{after:?} after {written}");
        }
        assert!(worst < 50 * MS, "{worst:?}");
        one.end().await;
        other.end().await;
    });
}

/// K13: a slow load, in whichever process, does not put back what a write has voided.
#[test]
fn a_slow_load_is_refused_by_the_tier() {
    run(async {
        let (server, value) = (RedisServer::start().await, Arc::new(AtomicU64::new(1)));
        let behaviour = replies();
        let reads = Arc::clone(&value);
        behaviour.react(move |asked| {
            let late = asked.call == "Lookup" && reads.load(Ordering::Relaxed) == 1;
            Reaction::Reply.after(if late { 300 * MS } else { MS })
        });
        let (one, other) = Process::two(&server, &behaviour).await;
        let writing = async {
            until("the load has begun", || behaviour.attempts() == 1).await;
            value.store(2, Ordering::Relaxed);
            other.users.send(Change(1)).await.unwrap().serial
        };
        let (_, written) = tokio::join!(one.ask(1), writing);
        until("it was refused", || one.figures().outdated == 1).await;
        assert!(one.ask(1).await > written && other.ask(1).await > written);
        one.end().await;
        other.end().await;
    });
}

/// K8: FLUSHALL is told, costs loads, and nobody's error.
#[test]
fn a_flush_empties_the_memory_of_all() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        one.ask(1).await;
        until("it is kept", || one.figures().kept == 1).await;
        assert_eq!(other.ask(1).await, 1);
        let flushes = (one.tier().flushes, other.tier().flushes);
        server.cli(&["FLUSHALL"]);
        until("both were told", || one.tier().flushes > flushes.0 && other.tier().flushes > flushes.1).await;
        assert_eq!((one.ask(1).await, behaviour.attempts()), (2, 2));
        until("it is kept again", || one.figures().kept == 2).await;
        assert_eq!((other.ask(1).await, behaviour.attempts()), (2, 2));
        one.end().await;
        other.end().await;
    });
}

/// K14: the connection of the news is cut; what was missed meanwhile is served by nobody once it is back.
#[test]
fn a_cut_connection_of_news_is_made_again_and_the_memory_flushed() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        for _ in 0..5 {
            let before = other.ask(1).await;
            // Its lease would otherwise stay with a connection that is gone.
            let kept = || one.figures_or_none().map_or(0, |one| one.kept) + other.figures().kept;
            until("it is kept", || kept() == before.div_ceil(2)).await;
            let flushes = (one.tier().flushes, other.tier().flushes);
            server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
            one.users.send(Change(1)).await.unwrap();
            let began = Instant::now();
            until("both hear again", || one.tier().flushes > flushes.0 && other.tier().flushes > flushes.1)
                .await;
            until("it was told", || one.tier().pending == 0).await;
            assert!(other.ask(1).await > before);
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
        one.end().await;
        other.end().await;
    });
}

/// K9: frozen, it costs its budget some times and then nothing; thawed, it is used again, and what was voided meanwhile has
/// not come back.
#[test]
fn a_frozen_server_costs_its_budget_and_no_old_value() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        one.ask(1).await;
        until("it is kept", || one.figures().kept == 1).await;
        server.freeze();
        let written = one.users.send(Change(1)).await.unwrap().serial;
        let mut slow = 0;
        for id in 100..300 {
            let began = Instant::now();
            one.ask(id).await;
            slow += usize::from(began.elapsed() > 100 * MS);
            assert!(began.elapsed() < 400 * MS, "{:?}", began.elapsed());
        }
        assert!(slow <= 6, "{slow} calls paid");
        assert!(one.ask(1).await > written);
        server.thaw();
        until("it was told", || one.tier().pending == 0).await;
        until("the other hears", || other.tier().heard).await;
        assert!(other.ask(1).await > written);
        one.end().await;
        other.end().await;
    });
}

/// It dies, and comes back empty: loads, and no errors.
#[test]
fn a_killed_server_costs_loads_alone() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        one.ask(1).await;
        server.kill();
        for id in 0..200 {
            one.ask(id).await;
            other.ask(id).await;
        }
        let kept = one.figures().kept;
        server.restart().await;
        let mut id = 1_000;
        let began = Instant::now();
        while one.figures().kept == kept {
            one.ask(id).await;
            id += 1;
            sleep(10 * MS).await;
            assert!(began.elapsed() < Duration::from_secs(20), "it is not used again");
        }
        until("both hear again", || one.tier().heard && other.tier().heard).await;
        one.end().await;
        other.end().await;
    });
}

/// It begins anew from a copy that is older than a write: what was voided since does not come back with it.
#[test]
fn a_server_that_comes_back_from_a_copy_revives_nothing() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        let before = one.ask(1).await;
        until("it is kept", || one.figures().kept == 1).await;
        server.cli(&["SAVE"]);
        let written = one.users.send(Change(1)).await.unwrap().serial;
        until("it was told", || one.tier().pending == 0).await;
        let flushes = (one.tier().flushes, other.tier().flushes);
        server.kill();
        server.restart().await;
        assert_ne!(server.cli(&["DBSIZE"]).trim(), "0", "it has the copy");
        until("both hear again", || one.tier().flushes > flushes.0 && other.tier().flushes > flushes.1).await;
        let after = [one.ask(1).await, other.ask(1).await];
        assert!(after.iter().all(|after| *after > written), "{after:?} after {before}, {written}");
        one.end().await;
        other.end().await;
    });
}

/// What is no epoch, where one should be, is taken away like one, and holds nothing else up.
#[test]
fn what_is_no_epoch_does_not_keep_others_from_being_told() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        one.ask(1).await;
        until("it is kept", || one.figures().kept == 1).await;
        for epoch in server.cli(&["KEYS", "seawall:e:*:t*"]).lines() {
            server.cli(&["DEL", epoch]);
            server.cli(&["HSET", epoch, "of", "another"]);
        }
        let written = one.users.send(Change(1)).await.unwrap().serial;
        until("it was told", || one.tier().pending == 0).await;
        assert!(other.ask(1).await > written);
        one.end().await;
        other.end().await;
    });
}

/// P13: full, and allowed to evict nothing: it goes on to answer with what it has, and to forget what is voided.
#[test]
fn a_full_server_answers_what_it_has_and_forgets_what_it_must() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        one.ask(1).await;
        until("it is kept", || one.figures().kept == 1).await;
        server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        for id in 100..130 {
            one.ask(id).await;
        }
        assert_eq!(one.figures().kept, 1);
        assert_eq!(other.ask(1).await, 1, "it answers");
        let written = one.users.send(Change(1)).await.unwrap().serial;
        until("it was told", || one.tier().pending == 0).await;
        until("the other heard", || other.tier().news > 0).await;
        assert!(other.ask(1).await > written, "it forgot");
        one.end().await;
        other.end().await;
    });
}

/// A key of somebody else's, of another type, where an entry should be.
#[test]
fn what_somebody_else_put_there_is_a_miss() {
    run(async {
        let (server, behaviour) = (RedisServer::start().await, replies());
        let (one, other) = Process::two(&server, &behaviour).await;
        one.ask(1).await;
        until("it is kept", || one.figures().kept == 1).await;
        let keys = server.cli(&["KEYS", "seawall:v:*"]);
        let key = keys.lines().next().unwrap().to_owned();
        assert!(key.starts_with("seawall:v:{users}:"), "{key}");
        // The printed key is quoted where it is no text: all are replaced, by a script.
        let spoil =
            "for _, k in ipairs(redis.call('KEYS', 'seawall:v:*')) do redis.call('SET', k, 'rubbish') end";
        server.cli(&["EVAL", spoil, "0"]);
        assert_eq!((other.ask(1).await, other.figures().unreadable), (2, 1));
        until("it is replaced", || other.figures().kept == 1).await;
        let spoil = "for _, k in ipairs(redis.call('KEYS', 'seawall:v:*')) do redis.call('DEL', k); redis.call('LPUSH', k, 'x') end";
        server.cli(&["EVAL", spoil, "0"]);
        let third = Process::start(&format!("url = \"{}\"", server.url()), &behaviour).await;
        assert_eq!((third.ask(1).await, third.figures().failed), (3, 1));
        for process in [one, other, third] {
            process.end().await;
        }
    });
}

/// In a cluster too, but for the news: what is kept there is not kept in memory besides, and so nothing in it is old.
#[test]
fn a_cluster_is_shared_without_memory() {
    run(async {
        let (cluster, behaviour) = (RedisCluster::start().await, replies());
        let tier = format!(
            "urls = [\"{}\"]\nredis = {{ topology = \"cluster\", check = \"200ms\" }}",
            cluster.urls().join("\", \"")
        );
        let (one, other) = (Process::start(&tier, &behaviour).await, Process::start(&tier, &behaviour).await);
        let began = Instant::now();
        // Until the cluster is known, look-ups fail.
        while one.figures_or_none().is_none_or(|figures| figures.kept == 0) {
            one.ask(1_000 + behaviour.attempts()).await;
            assert!(began.elapsed() < Duration::from_secs(10));
            sleep(10 * MS).await;
        }
        let first = one.ask(1).await;
        until("it is kept", || one.figures().kept >= 2).await;
        let found = other.users.send(Lookup(1)).await.unwrap();
        assert_eq!((found.serial, found.origin()), (first, Origin::Cached));
        let written = other.users.send(Change(1)).await.unwrap().serial;
        until("it was told", || other.tier().pending == 0).await;
        assert!(one.ask(1).await > written, "at once, without news");
        one.end().await;
        other.end().await;
    });
}

impl Process {
    fn figures_or_none(&self) -> Option<SharedSnapshot> {
        self.runtime.snapshot().service("users")?.call("Lookup")?.shared
    }
}
