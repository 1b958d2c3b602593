//! A tier that processes share: what one has loaded the others need not, and of many who want the same one loads it.

use futures_util::future::join_all;
use seawall::Origin;
use seawall_testkit::{Lookup, Reaction, TierFault, TierStore, virtual_time};
use tokio::time::{Instant, sleep};

use crate::{
    shared_support::{Process, figures},
    support::{down, ms, replies, slow},
};

const CALLERS: u64 = 1_000;

#[test]
fn what_one_process_loaded_another_finds() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let one = Process::start(&store, &behaviour, "").await;
        let other = Process::start(&store, &behaviour, "").await;
        assert_eq!(one.users.send(Lookup(1)).await.expect("loaded").origin(), Origin::Fresh);
        sleep(ms(1_000)).await;
        let found = other.users.send(Lookup(1)).await.expect("found");
        assert_eq!((found.serial, found.origin()), (1, Origin::Cached));
        assert!((ms(900)..=ms(1_100)).contains(&found.age()), "{:?}", found.age());
        // From now on it is in memory.
        let asked = store.asked().all();
        assert_eq!(other.users.send(Lookup(1)).await.expect("found").origin(), Origin::Cached);
        assert_eq!((behaviour.attempts(), store.asked().all()), (1, asked));
        assert_eq!((figures(&one).kept, figures(&other).hits), (1, 1));
        one.end().await;
        other.end().await;
    });
}

/// K1, over processes.
#[test]
fn a_thousand_callers_in_each_of_two_processes_make_one_load() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), slow(ms(300)));
        store.latency(ms(1));
        let one = Process::start(&store, &behaviour, "").await;
        let other = Process::start(&store, &behaviour, "").await;
        let began = Instant::now();
        let of_one = join_all((0..CALLERS).map(|_| one.users.send(Lookup(1))));
        let of_other = join_all((0..CALLERS).map(|_| other.users.send(Lookup(1))));
        let (of_one, of_other) = tokio::join!(of_one, of_other);
        let all = of_one.iter().chain(&of_other);
        assert!(all.clone().all(|answer| answer.as_ref().is_ok_and(|answer| answer.serial == 1)));
        assert_eq!((all.count() as u64, behaviour.attempts()), (2 * CALLERS, 1));
        assert!(began.elapsed() < ms(370), "{:?}", began.elapsed());
        assert_eq!(figures(&one).waited + figures(&other).waited, 1);
        assert!(store.asked().all() < 40, "who waits looks seldom: {:?}", store.asked());
        one.end().await;
        other.end().await;
    });
}

/// K2, over processes: the lease of one that is gone costs the others its time, and no more.
#[test]
fn a_process_that_dies_while_it_loads_costs_the_others_its_lease() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        behaviour.react(|asked| match asked.serial {
            1 => Reaction::Hang,
            _ => Reaction::Reply.after(ms(100)),
        });
        let settings = "shared = { service = \"tier\", lease = \"500ms\" }";
        let doomed = Process::start(&store, &behaviour, settings).await;
        let other = Process::start(&store, &behaviour, settings).await;
        let lost = doomed.users.clone();
        let lost = seawall::spawn(async move { lost.send(Lookup(1)).await });
        sleep(ms(100)).await;
        let began = Instant::now();
        let found = other.users.send(Lookup(1)).await.expect("loaded");
        assert_eq!((found.serial, found.origin()), (2, Origin::Fresh));
        assert!((ms(480)..ms(560)).contains(&began.elapsed()), "{:?}", began.elapsed());
        other.end().await;
        doomed.runtime.drain_within(ms(1)).await;
        assert!(lost.await.expect("not cancelled").is_err());
    });
}

/// K3, over processes: a load that failed is told to those who wait by giving its lease back at once.
#[test]
fn a_load_that_failed_is_not_waited_for() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        behaviour.react(|asked| match asked.serial {
            1 => Reaction::Fail(down()).after(ms(100)),
            _ => Reaction::Reply.after(ms(10)),
        });
        let settings = "shared = \"tier\"";
        let one = Process::start_with(&store, &behaviour, "retry = false", settings).await;
        let other = Process::start_with(&store, &behaviour, "retry = false", settings).await;
        let began = Instant::now();
        let (failed, loaded) = tokio::join!(one.users.send(Lookup(1)), async {
            sleep(ms(10)).await;
            other.users.send(Lookup(1)).await
        });
        assert!(failed.is_err());
        assert_eq!(loaded.expect("loaded").serial, 2);
        assert!(began.elapsed() < ms(200), "{:?}", began.elapsed());
        one.end().await;
        other.end().await;
    });
}

/// XFetch, over processes: who begins to load anew holds the lease, and the others go on with what they have.
#[test]
fn of_many_processes_one_loads_anew_before_the_end() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), slow(ms(50)));
        let settings = "ttl = \"10s\", jitter = \"0%\", shared = \"tier\"";
        let mut processes = Vec::new();
        for _ in 0..8 {
            processes.push(Process::start(&store, &behaviour, settings).await);
        }
        for _ in 0..400 {
            for process in &processes {
                process.users.send(Lookup(1)).await.expect("fresh");
            }
            sleep(ms(100)).await;
        }
        // 40 s of a reply that lives for 10: without the lease, each process would load its own.
        assert!((4..=8).contains(&behaviour.attempts()), "{} loads", behaviour.attempts());
        for process in processes {
            process.end().await;
        }
    });
}

/// A caller who wants the downstream's own answer gets it, and all get his.
#[test]
fn a_refresh_is_not_answered_from_the_tier() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let one = Process::start(&store, &behaviour, "").await;
        let other = Process::start(&store, &behaviour, "").await;
        one.users.send(Lookup(1)).await.expect("loaded");
        assert_eq!(other.users.send(Lookup(1)).refresh().await.expect("loaded").serial, 2);
        sleep(ms(10)).await;
        let third = Process::start(&store, &behaviour, "").await;
        assert_eq!(third.users.send(Lookup(1)).await.expect("found").serial, 2);
        for process in [one, other, third] {
            process.end().await;
        }
    });
}

/// P13, K8: a tier that refuses everything is no tier, and nobody's error.
#[test]
fn a_tier_that_fails_is_a_miss() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        store.fault(TierFault::Fails);
        let one = Process::start(&store, &behaviour, "").await;
        for id in 0..100 {
            assert_eq!(one.users.send(Lookup(id)).await.expect("loaded").origin(), Origin::Fresh);
        }
        let figures = figures(&one);
        assert_eq!((figures.failed, figures.bypassed), (5, 95), "five, and then its breaker is open");
        one.end().await;
    });
}

/// K8: a flush costs loads, one a key for all processes.
#[test]
fn a_flush_costs_one_load_a_key() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), slow(ms(5)));
        let one = Process::start(&store, &behaviour, "").await;
        let other = Process::start(&store, &behaviour, "").await;
        let ask_all = async || {
            for process in [&one, &other] {
                for id in 0..50 {
                    process.users.send(Lookup(id)).await.expect("served");
                }
            }
        };
        ask_all().await;
        assert_eq!(behaviour.attempts(), 50);
        store.flush();
        sleep(ms(10)).await;
        ask_all().await;
        assert_eq!(behaviour.attempts(), 100);
        // What a tier forgets without a word is a miss to those who look, and nothing to those who have it.
        store.evict_epochs();
        ask_all().await;
        assert_eq!(behaviour.attempts(), 100);
        one.end().await;
        other.end().await;
    });
}
