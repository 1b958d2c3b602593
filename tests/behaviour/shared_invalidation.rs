//! What one process voids, no process serves: neither from the tier nor from its own memory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::future::join_all;
use seawall_testkit::{Behaviour, Change, Lookup, Reaction, TierFault, TierStore, virtual_time};
use tokio::time::{Instant, sleep};

use crate::{
    negative::Store,
    shared_support::{Process, figures, pending},
    support::{down, ms, replies, settle},
};

type Forget = fn(&Process);

async fn two(store: &TierStore, behaviour: &Behaviour) -> (Process, Process) {
    (Process::start(store, behaviour, "").await, Process::start(store, behaviour, "").await)
}

async fn ask(process: &Process) -> u64 {
    process.users.send(Lookup(1)).await.expect("served").serial
}

#[test]
fn whatever_one_process_forgets_the_other_does_too() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let (one, other) = two(&store, &behaviour).await;
        let forgets: [(&str, Forget); 4] = [
            ("tag", |process| process.users.invalidate_tag("item:1")),
            ("key", |process| process.users.invalidate(&Lookup(1)).expect("right")),
            ("call", |process| process.users.invalidate_calls::<Lookup>().expect("right")),
            ("service", |process| process.users.invalidate_all()),
        ];
        for (what, forget) in forgets {
            let (before, same) = (ask(&one).await, ask(&other).await);
            assert_eq!(before, same, "{what}: shared");
            forget(&one);
            sleep(ms(50)).await;
            let after = ask(&other).await;
            assert!(after > before, "{what}: {after} is not newer than {before}");
            assert_eq!(ask(&one).await, after, "{what}: and is shared again");
        }
        // Another key of the same call is nobody's business.
        let before = other.users.send(Lookup(2)).await.expect("loaded").serial;
        one.users.invalidate(&Lookup(1)).expect("right");
        one.users.invalidate_tag("item:1");
        sleep(ms(50)).await;
        assert_eq!(other.users.send(Lookup(2)).await.expect("kept").serial, before);
        one.end().await;
        other.end().await;
    });
}

/// A process that only writes keeps nothing itself, and tells the others all the same.
#[test]
fn a_write_in_one_process_is_seen_in_the_other() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        store.latency(ms(1));
        let (writer, reader) = two(&store, &behaviour).await;
        let before = ask(&reader).await;
        writer.users.send(Change(1)).await.expect("written");
        let began = Instant::now();
        while ask(&reader).await == before {
            sleep(ms(1)).await;
            assert!(began.elapsed() < ms(50), "not seen");
        }
        writer.end().await;
        reader.end().await;
    });
}

/// The tier still has what was voided for as long as it has not heard of it: the writer must not read it back.
#[test]
fn who_writes_sees_his_own_write_at_once() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        store.latency(ms(10));
        let (one, other) = two(&store, &behaviour).await;
        ask(&other).await;
        sleep(ms(50)).await;
        for _ in 0..100 {
            let written = one.users.send(Change(1)).await.expect("written").serial;
            assert!(ask(&one).await > written);
        }
        one.end().await;
        other.end().await;
    });
}

/// K13 over processes: a load that began before a write, and ends after it, is kept nowhere.
#[test]
fn a_slow_load_does_not_put_the_old_value_back() {
    virtual_time(async || {
        let (store, value) = (TierStore::new(), Arc::new(AtomicU64::new(1)));
        let behaviour = replies();
        let reads = Arc::clone(&value);
        // It reads what is there when it is asked, and answers late.
        behaviour.react(move |asked| {
            let late = asked.call == "Lookup" && reads.load(Ordering::Relaxed) == 1;
            Reaction::Reply.after(ms(if late { 500 } else { 1 }))
        });
        let (one, other) = two(&store, &behaviour).await;
        let slow = one.users.send(Lookup(1));
        let newer = async {
            sleep(ms(100)).await;
            value.store(2, Ordering::Relaxed);
            let written = other.users.send(Change(1)).await.expect("written").serial;
            sleep(ms(1_000)).await;
            written
        };
        let (slow, written) = tokio::join!(slow, newer);
        assert!(slow.expect("its caller waited since before the write").serial < written);
        assert!(ask(&one).await > written, "from its memory");
        assert!(ask(&other).await > written, "from the tier");
        assert_eq!(figures(&one).outdated, 1, "the tier refused it");
        one.end().await;
        other.end().await;
    });
}

/// K13: ten thousand races of writes and reads in three processes; once a version was seen, none reads an older one.
#[test]
fn of_ten_thousand_races_none_brings_an_old_value_back() {
    virtual_time(async || {
        let store = TierStore::new();
        store.latency(ms(1));
        // The reply is the number of attempts so far, and each write is one: what was read before a write is lower.
        let behaviour = Behaviour::new(|asked| Reaction::Reply.after(ms(asked.serial % 7)));
        let mut processes = Vec::new();
        for _ in 0..3 {
            processes.push(Process::start(&store, &behaviour, "").await);
        }
        let mut floor = 0;
        for round in 0..2_500_usize {
            let (writer, reader) = (&processes[round % 3], &processes[(round + 1) % 3]);
            // A slow load races the write.
            let (_, written) = tokio::join!(reader.users.send(Lookup(1)), writer.users.send(Change(1)));
            let written = written.expect("written").serial;
            assert!(ask(writer).await > written, "its own write is visible");
            // The tier's news takes a round trip or two.
            sleep(ms(3)).await;
            let seen = join_all(processes.iter().map(ask)).await;
            assert!(
                seen.iter().all(|seen| *seen > written && *seen >= floor),
                "{seen:?} after {written}, {floor}"
            );
            floor = *seen.iter().max().expect("three");
        }
        for process in processes {
            process.end().await;
        }
    });
}

/// K14: what is missed while the news is cut is made good when it is heard again.
#[test]
fn news_that_was_missed_costs_the_memory_and_no_old_value() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let (one, other) = two(&store, &behaviour).await;
        let before = ask(&other).await;
        store.cut_news();
        settle().await;
        one.users.send(Change(1)).await.expect("written");
        sleep(ms(5_000)).await;
        assert_eq!(ask(&other).await, before, "it cannot know");
        store.let_watch();
        sleep(ms(1_000)).await;
        assert!(ask(&other).await > before, "within a second");
        one.end().await;
        other.end().await;
    });
}

/// News that gets lost without anybody noticing: not from the tier, at least, is anything old.
#[test]
fn lost_news_does_not_make_the_tier_serve_what_is_old() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let (one, other) = two(&store, &behaviour).await;
        let before = ask(&one).await;
        store.lose_news(true);
        one.users.send(Change(1)).await.expect("written");
        settle().await;
        assert!(ask(&other).await > before, "it had nothing in memory, and the tier has heard");
        one.end().await;
        other.end().await;
    });
}

/// What cannot be told is remembered, neither read back nor put there, and told when the tier is back.
#[test]
fn a_tier_that_is_away_hears_of_it_when_it_is_back() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let (one, other) = two(&store, &behaviour).await;
        let before = ask(&one).await;
        store.fault(TierFault::Fails);
        let written = one.users.send(Change(1)).await.expect("written").serial;
        assert!(ask(&one).await > written);
        sleep(ms(10_000)).await;
        assert_eq!(pending(&one), 2, "the tag, and what has too many of them");
        store.fault(TierFault::None);
        // Still not: the tier has the old one until it has heard.
        one.users.invalidate_tag("item:1");
        assert!(ask(&one).await > written);
        sleep(ms(600)).await;
        assert_eq!(pending(&one), 0);
        assert!(ask(&other).await > before, "and the other has heard");
        one.end().await;
        other.end().await;
    });
}

/// A write whose outcome is unknown may still change something: until it is settled, nobody keeps what he loads.
#[test]
fn what_an_unknown_write_may_still_change_is_kept_by_nobody() {
    virtual_time(async || {
        let store = TierStore::new();
        let behaviour = Behaviour::new(|asked| match asked.call {
            "Change" => Reaction::Hang,
            _ => Reaction::Reply,
        });
        let (one, other) = two(&store, &behaviour).await;
        ask(&other).await;
        assert!(one.users.send(Change(1)).deadline(ms(500)).await.is_err());
        sleep(ms(20)).await;
        let seen = [ask(&other).await, ask(&other).await, ask(&one).await, ask(&other).await];
        assert!(seen.is_sorted_by(|one, next| one < next), "each its own: {seen:?}");
        // As long again as it was given.
        sleep(ms(3_100)).await;
        let settled = ask(&other).await;
        assert_eq!((ask(&other).await, ask(&one).await), (settled, settled));
        one.end().await;
        other.end().await;
    });
}

/// A deleted user does not come back from the tier, be it as a stale reply.
#[test]
fn what_is_gone_by_its_own_answer_is_forgotten_by_all() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let settings = "ttl = \"1s\", jitter = \"0%\", stale_if_error = \"1h\", shared = \"tier\"";
        let one = Process::start(&store, &behaviour, settings).await;
        let other = Process::start(&store, &behaviour, settings).await;
        ask(&one).await;
        ask(&other).await;
        sleep(ms(1_500)).await;
        let gone = seawall::Failure::new(seawall::downstream::Blame::Caller, "404");
        behaviour.react(move |_| Reaction::Fail(gone.clone()));
        assert!(one.users.send(Lookup(1)).await.is_err());
        sleep(ms(50)).await;
        behaviour.react(|_| Reaction::Fail(down()));
        assert!(other.users.send(Lookup(1)).await.is_err(), "nothing comes back");
        assert!(one.users.send(Lookup(1)).await.is_err());
        one.end().await;
        other.end().await;
    });
}

/// "There is none" is not kept by default, and what is there of it before must not come back all the same.
#[test]
fn what_is_found_to_be_gone_does_not_come_back_from_the_tier() {
    virtual_time(async || {
        let (store, behaviour, there) = (TierStore::new(), replies(), Store::default());
        let (one, other) = two(&store, &behaviour).await;
        there.stock(true);
        assert_eq!(*other.users.send(there.find(1)).await.expect("loaded"), Some(1));
        sleep(ms(50)).await;
        there.stock(false);
        let find = async || *one.users.send(there.find(1)).await.expect("an answer");
        assert_eq!(*one.users.send(there.find(1)).refresh().await.expect("an answer"), None);
        assert_eq!(find().await, None, "at once");
        sleep(ms(50)).await;
        assert_eq!(find().await, None);
        assert_eq!(*other.users.send(there.find(1)).await.expect("an answer"), None, "elsewhere");

        // Who finds nothing where nothing was, has nothing to tell.
        let told = store.asked().invalidations;
        for id in 1..=100 {
            assert_eq!(*one.users.send(there.find(id)).await.expect("an answer"), None);
        }
        sleep(ms(50)).await;
        assert_eq!(store.asked().invalidations, told);
        one.end().await;
        other.end().await;
    });
}

/// A tier without news, as a cluster is: where it does not answer, memory must not stand in for it, for nobody would tell.
#[test]
fn what_no_news_is_heard_of_is_not_kept_in_memory() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        store.cut_news();
        let (one, other) = two(&store, &behaviour).await;
        store.fault(TierFault::Fails);
        ask(&other).await;
        store.fault(TierFault::None);
        let written = one.users.send(Change(1)).await.expect("written").serial;
        sleep(ms(5_000)).await;
        assert_eq!(pending(&one), 0);
        assert!(ask(&other).await > written);
        one.end().await;
        other.end().await;
    });
}

/// What a process voided with its last breath is told before it ends; one that cannot be told does not hold the end up.
#[test]
fn a_drain_tells_the_tier_of_the_last_writes() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let (one, other) = two(&store, &behaviour).await;
        ask(&other).await;
        store.latency(ms(100));
        let written = one.users.send(Change(1)).await.expect("written").serial;
        assert_eq!(pending(&one), 2);
        assert_eq!(one.runtime.drain().await.cut_off, 0);
        settle().await;
        store.latency(ms(0));
        assert!(ask(&other).await > written);
        other.users.invalidate_all();
        store.fault(TierFault::Hangs);
        let began = Instant::now();
        other.runtime.drain().await;
        assert!(began.elapsed() < ms(7_000), "{:?}", began.elapsed());
    });
}
