//! What lies in a tier is taken for nothing that it is not, and costs nobody more than the tier's budget.

use seawall::{
    Call, Downstream, Failure, Origin,
    call::{Attempt, Cacheable, CallTraits, Codec, KeyWriter, Sharing},
    downstream::{Extensions, OpenContext, PoolSettings},
    runtime::{PolicyState, Scope},
    telemetry::What,
};
use seawall_testkit::{
    Ask, Change, Lookup, Reaction, Scripted, ScriptedTier, ScriptedTierSettings, TierFault, TierStore,
    tier_conformance, virtual_time,
};
use tokio::time::{Instant, sleep};

use crate::{
    shared_support::{Process, figures, tier},
    support::{down, ms, replies, settle, slow},
};

/// Another build of `Lookup`: what it replies is of another type.
struct Lookup2(u64);

impl Call<Scripted> for Lookup2 {
    type Reply = String;
    const NAME: &'static str = "Lookup";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<String>> {
        Some(Sharing::new())
    }

    fn codec() -> Option<Codec<String>> {
        Some(Codec::new(
            "echo",
            1,
            |text, bytes| {
                bytes.extend_from_slice(text.as_bytes());
                Ok(())
            },
            |bytes| Ok(String::from_utf8(bytes.to_vec())?),
        ))
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&self.0);
        Cacheable::Yes
    }

    async fn attempt(&self, downstream: &Scripted, attempt: &Attempt) -> Result<String, Failure> {
        Ask(self.0).attempt(downstream, attempt).await.map(|echo| format!("{} of {}", echo.serial, echo.id))
    }
}

/// K7, S7: two builds side by side. Each reads its own alone, and neither writes over the other's.
#[test]
fn two_builds_share_a_tier_and_not_their_replies() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let mut all = Vec::new();
        for round in 0..3 {
            let old = Process::start(&store, &behaviour, "").await;
            let new = Process::start(&store, &behaviour, "").await;
            assert_eq!(old.users.send(Lookup(7)).await.expect("served").serial, 1);
            assert_eq!(**new.users.send(Lookup2(7)).await.expect("served"), *"2 of 7");
            assert_eq!(figures(&old).unreadable + figures(&new).unreadable, 0, "round {round}");
            all.extend([old, new]);
        }
        assert_eq!((behaviour.attempts(), store.asked().puts, store.len()), (2, 2, 2));
        for process in all {
            process.end().await;
        }
    });
}

/// K7: bytes that are damaged are a miss, and are replaced.
#[test]
fn damaged_bytes_are_a_miss_and_nobody_s_error() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let damages: [fn(&mut Vec<u8>); 6] = [
            |bytes| bytes.clear(),
            |bytes| bytes.truncate(10),
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| bytes[19] = 2,
            |bytes| *bytes.last_mut().expect("some") ^= 1,
            |bytes| *bytes = b"{\"id\": 1, \"serial\": 1, \"of\": \"another program\"}".to_vec(),
        ];
        for (before, damage) in damages.into_iter().enumerate() {
            let serial = |process: &Process| {
                let users = process.users.clone();
                async move {
                    let serial = users.send(Lookup(1)).await.expect("served").serial;
                    // It is kept after all have their answer.
                    settle().await;
                    serial
                }
            };
            let one = Process::start(&store, &behaviour, "").await;
            serial(&one).await;
            store.damage(damage);
            let other = Process::start(&store, &behaviour, "").await;
            assert_eq!(serial(&other).await, before as u64 + 2, "{before}");
            assert_eq!(figures(&other).unreadable, 1, "{before}");
            let third = Process::start(&store, &behaviour, "").await;
            assert_eq!(serial(&third).await, before as u64 + 2, "{before}: it was replaced");
            for process in [one, other, third] {
                process.end().await;
            }
        }
    });
}

/// K9: a hung tier costs a call its budget at most, and nothing once its breaker is open.
#[test]
fn a_hung_tier_costs_its_budget_and_then_nothing() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), slow(ms(5)));
        let one = Process::start(&store, &behaviour, "").await;
        one.users.send(Lookup(0)).await.expect("loaded");
        settle().await;
        store.fault(TierFault::Hangs);
        let mut added = Vec::new();
        for id in 1..200 {
            let began = Instant::now();
            assert_eq!(one.users.send(Lookup(id)).await.expect("loaded").origin(), Origin::Fresh);
            added.push(began.elapsed() - ms(5));
        }
        assert!(added.iter().all(|added| *added <= ms(21)), "{added:?}");
        let slow = added.iter().filter(|added| **added > ms(1)).count();
        assert!((5..=6).contains(&slow), "{slow} calls paid");
        // It is tried again, and one call pays for it: after one second, two, four, ..., thirty.
        let before = figures(&one).failed;
        for id in 1_000..7_000 {
            one.users.send(Lookup(id)).await.expect("loaded");
            sleep(ms(5)).await;
        }
        let tries = figures(&one).failed - before;
        assert!((4..=7).contains(&tries), "{tries} tries in a minute");
        store.fault(TierFault::None);
        sleep(ms(34_000)).await;
        one.users.send(Lookup(7_000)).await.expect("a probe");
        sleep(ms(1)).await;
        one.users.send(Lookup(7_001)).await.expect("loaded");
        sleep(ms(1)).await;
        assert_eq!(figures(&one).kept, 3, "it is used again: {:?}", figures(&one));
        one.end().await;
    });
}

/// It has its own breaker: what the service is used for besides goes on.
#[test]
fn look_ups_cut_short_do_not_open_the_service_s_breaker() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        store.fault(TierFault::Hangs);
        let one = Process::start(&store, &behaviour, "").await;
        for id in 0..20 {
            one.users.send(Lookup(id)).await.expect("loaded");
        }
        let snapshot = one.runtime.snapshot();
        let service = snapshot.service("tier").expect("it is there");
        let state = |breaker: &seawall::policy::breaker::BreakerSnapshot| breaker.state.word();
        assert_eq!(service.breaker.as_ref().map(state), Some("closed"));
        assert_eq!(service.tier.as_ref().map(|tier| state(&tier.breaker)), Some("open"));
        store.fault(TierFault::None);
        one.end().await;
    });
}

/// K10: neither put there nor read from there above `max_entry`.
#[test]
fn what_is_too_large_is_neither_put_nor_read() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let one = Process::start(&store, &behaviour, "").await;
        one.users.send(Lookup(1)).await.expect("loaded");
        settle().await;
        store.damage(|bytes| bytes.resize(3 << 20, 0));
        let other = Process::start(&store, &behaviour, "").await;
        assert_eq!(other.users.send(Lookup(1)).await.expect("loaded").serial, 2);
        assert_eq!(figures(&other).oversized, 1);
        let small = Process::start(&store, &behaviour, "max_entry = \"8B\", shared = \"tier\"").await;
        small.users.send(Lookup(9)).await.expect("loaded");
        assert_eq!((figures(&small).kept, store.len()), (0, 1));
        for process in [one, other, small] {
            process.end().await;
        }
    });
}

/// K16: a write is asked of the downstream each time, whatever tier there is.
#[test]
fn a_write_is_never_kept() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let one = Process::start(&store, &behaviour, "").await;
        for serial in 1..=10 {
            assert_eq!(one.users.send(Change(1)).await.expect("written").serial, serial);
        }
        let asked = store.asked();
        assert_eq!((asked.gets, asked.leases, asked.puts, store.len()), (0, 0, 0, 0));
        one.end().await;
    });
}

/// P17, R7: clocks that are wrong cost hits, and serve nothing past its time.
#[test]
fn a_wrong_wall_clock_serves_nothing_past_its_time() {
    virtual_time(async || {
        let (behaviour, day, now) = (replies(), 86_400, 1_800_000_000);
        let cache = "ttl = \"10s\", jitter = \"0%\", stale_if_error = \"0s\", early_refresh = false, shared = \"tier\"";
        for (wrong, still_hits) in [(now + day, false), (now - day, true), (now + 2, true)] {
            let store = TierStore::new();
            let writer = Process::start_at(&store, &behaviour, "", cache, now).await;
            let reader = Process::start_at(&store, &behaviour, "", cache, wrong).await;
            let first = writer.users.send(Lookup(1)).await.expect("loaded").serial;
            sleep(ms(5_000)).await;
            let hit = reader.users.send(Lookup(1)).await.expect("served");
            assert_eq!(hit.serial == first, still_hits, "a clock of {wrong}");
            sleep(ms(5_001)).await;
            assert!(reader.users.send(Lookup(1)).await.expect("served").serial > first, "a clock of {wrong}");
            writer.end().await;
            reader.end().await;
        }
    });
}

/// K5, over processes: what another loaded is served stale in place of an error, and says so.
#[test]
fn a_stale_reply_of_another_process_is_better_than_an_error() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let cache = "ttl = \"10s\", jitter = \"0%\", stale_if_error = \"60s\", shared = \"tier\"";
        let one = Process::start_with(&store, &behaviour, "retry = false", cache).await;
        one.users.send(Lookup(1)).await.expect("loaded");
        sleep(ms(30_000)).await;
        behaviour.react(|_| Reaction::Fail(down()));
        let other = Process::start_with(&store, &behaviour, "retry = false", cache).await;
        let stale = other.users.send(Lookup(1)).await.expect("served");
        assert_eq!((stale.serial, stale.origin()), (1, Origin::Stale));
        assert!((ms(29_000)..ms(31_000)).contains(&stale.age()), "{:?}", stale.age());
        sleep(ms(45_000)).await;
        assert!(other.users.send(Lookup(1)).await.is_err(), "older than is allowed");
        one.end().await;
        other.end().await;
    });
}

/// A downstream that is cut off by its breaker needs no asking where another process has its reply.
#[test]
fn an_open_breaker_does_not_stand_before_the_tier() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let one = Process::start(&store, &behaviour, "").await;
        one.users.send(Lookup(1)).await.expect("loaded");
        let other = Process::start(&store, &behaviour, "").await;
        other.users.force_breakers(seawall::service::Forced::Open);
        assert_eq!(other.users.send(Lookup(1)).await.expect("found").origin(), Origin::Cached);
        assert!(other.users.send(Lookup(2)).await.is_err_and(|error| error.is_rejection()));
        one.end().await;
        other.end().await;
    });
}

#[test]
fn stale_while_revalidate_is_served_and_loaded_once() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), slow(ms(100)));
        let cache = "ttl = \"10s\", jitter = \"0%\", stale_while_revalidate = \"60s\", shared = \"tier\"";
        let one = Process::start(&store, &behaviour, cache).await;
        one.users.send(Lookup(1)).await.expect("loaded");
        sleep(ms(30_000)).await;
        let other = Process::start(&store, &behaviour, cache).await;
        let (stale, also) = tokio::join!(other.users.send(Lookup(1)), one.users.send(Lookup(1)));
        assert_eq!(
            (stale.expect("at once").origin(), also.expect("at once").origin()),
            (Origin::Stale, Origin::Stale)
        );
        sleep(ms(300)).await;
        let newer = [&one, &other].map(|process| process.users.send(Lookup(1)));
        for newer in futures_util::future::join_all(newer).await {
            assert_eq!(newer.expect("fresh").serial, 2);
        }
        assert_eq!(behaviour.attempts(), 2);
        one.end().await;
        other.end().await;
    });
}

#[test]
fn what_a_tier_does_is_told() {
    virtual_time(async || {
        let (store, behaviour) = (TierStore::new(), replies());
        let one = Process::start(&store, &behaviour, "").await;
        let mut events = one.runtime.events();
        one.users.send(Lookup(1)).await.expect("loaded");
        sleep(ms(1)).await;
        let metrics = one.runtime.metrics();
        let misses = "seawall_cache_lookups_total{service=\"users\",call=\"Lookup\",tier=\"shared\",result=\"miss\"} 1";
        assert!(metrics.contains(misses), "{metrics}");
        assert!(
            metrics.contains("service=\"tier\",call=\"TierGet\",outcome=\"ok\""),
            "its questions are calls"
        );
        assert!(tier(&one).heard);
        store.fault(TierFault::Fails);
        for id in 10..20 {
            one.users.send(Lookup(id)).await.expect("loaded");
        }
        let event = events.next().await.expect("it opened");
        assert_eq!(event.service.as_deref(), Some("tier"));
        assert!(matches!(event.what, What::Breaker { ref scope, .. } if **scope == *"tier"));
        let standing = one.runtime.explain("tier").expect("it is there");
        assert!(standing.passes(), "what else it is used for goes on");
        let open = standing.policies.iter().any(|policy| match policy {
            PolicyState::Breaker { scope: Scope::Tier, state, .. } => state.state.word() == "open",
            _ => false,
        });
        assert!(open, "{standing:?}");
        store.fault(TierFault::None);
        one.end().await;
    });
}

/// What is wrong with a tier is told before anything starts.
#[tokio::test]
async fn a_tier_that_can_be_none_is_refused() {
    for (shared, wanted) in [
        ("\"teir\"", "did you mean `tier`"),
        ("\"users\"", "kind \"scripted\", which cannot keep other services' replies; `tier` can"),
        ("{ service = \"tier\", budget = \"0s\" }", "in 0s no look-up is answered"),
        ("{ service = \"tier\", leese = \"1s\" }", "leese"),
        ("{ budget = \"1s\" }", "service"),
        ("true", "the name of a service, or { service = "),
    ] {
        let error = seawall::Runtime::builder()
            .kind::<Scripted>()
            .kind::<ScriptedTier>()
            .parse(format!(
                "[services.tier]\nkind = \"scripted-tier\"\n[services.users]\nkind = \"scripted\"\ncache.shared = {shared}"
            ))
            .expect("it is TOML")
            .start()
            .await
            .expect_err(shared)
            .to_string();
        assert!(error.contains(wanted) && error.contains("users.cache"), "{shared}: {error}");
    }
}

/// The tier that these tests stand on keeps to what it is to be.
#[test]
fn the_scripted_tier_is_a_tier() {
    virtual_time(async || {
        let store = TierStore::new();
        let mut extensions = Extensions::default();
        extensions.insert(store.clone());
        let context = OpenContext::new("tier", ms(100), PoolSettings::default()).with_extensions(extensions);
        let tier = ScriptedTier::open(&ScriptedTierSettings::default(), &context).await.expect("it opens");
        tier_conformance(&tier, "conformance").await;
    });
}
