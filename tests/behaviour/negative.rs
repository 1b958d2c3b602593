//! "There is none" is a reply too: kept for a while, and in a place where it pushes nothing else out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::future::join_all;
use seawall::{
    Call, Failure, Origin, Runtime,
    call::{Attempt, Cacheable, CallTraits, Codec, KeyWriter, Sharing, TagWriter},
};
use seawall_testkit::{Change, Lookup, Scripted, virtual_time};
use tokio::time::sleep;

use crate::support::{end, ms, replies, start};

/// What `Find` finds.
#[derive(Clone, Default)]
pub(crate) struct Store {
    /// Whether keys below 1,000 are there.
    stocked: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Store {
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn stock(&self, stocked: bool) {
        self.stocked.store(stocked, Ordering::Relaxed);
    }

    pub(crate) fn find(&self, id: u64) -> Find {
        Find { id, store: self.clone() }
    }
}

/// A call whose reply may be nothing.
pub(crate) struct Find {
    id: u64,
    store: Store,
}

impl Call<Scripted> for Find {
    type Reply = Option<u64>;
    const NAME: &'static str = "Find";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<Option<u64>>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&self.id);
        Cacheable::Yes
    }

    fn tags(&self, tags: &mut TagWriter) {
        tags.tag(format_args!("item:{}", self.id));
    }

    fn codec() -> Option<Codec<Option<u64>>> {
        let read = |bytes: &[u8]| match bytes {
            [] => Ok(None),
            _ => Ok(Some(u64::from_le_bytes(bytes.try_into()?))),
        };
        let write = |reply: &Option<u64>, bytes: &mut Vec<u8>| {
            bytes.extend(reply.iter().flat_map(|id| id.to_le_bytes()));
            Ok(())
        };
        Some(Codec::new("found", 1, write, read))
    }

    fn is_negative(&self, reply: &Option<u64>) -> bool {
        reply.is_none()
    }

    async fn attempt(&self, _: &Scripted, attempt: &Attempt) -> Result<Option<u64>, Failure> {
        self.store.asked.fetch_add(1, Ordering::Relaxed);
        attempt.set_reply_bytes(1_000);
        Ok((self.id < 1_000 && self.store.stocked.load(Ordering::Relaxed)).then_some(self.id))
    }
}

fn lookups(runtime: &Runtime, result: &str) -> u64 {
    let labels = format!("call=\"Find\",tier=\"memory\",result=\"{result}\"}} ");
    let metrics = runtime.metrics();
    let line = metrics.lines().find(|line| line.contains(&labels));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn nothing_is_not_kept_unless_the_settings_say_for_how_long() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        let store = Store::default();
        for asked in 1..=3 {
            assert_eq!(*users.send(store.find(1)).await.expect("an answer"), None);
            assert_eq!(store.asked(), asked);
        }
        assert_eq!((lookups(&runtime, "miss"), lookups(&runtime, "negative")), (3, 0));
        end(runtime).await;
    });
}

#[test]
fn nothing_is_kept_for_its_own_time_and_counted_as_what_it_is() {
    virtual_time(async || {
        let settings =
            "cache = { ttl = \"5m\", negative_ttl = \"2s\", jitter = \"0%\", stale_if_error = \"1h\" }";
        let (runtime, users) = start(settings, &replies()).await;
        let store = Store::default();
        users.send(store.find(1)).await.expect("an answer");
        sleep(ms(1_900)).await;
        let answer = users.send(store.find(1)).await.expect("kept");
        assert_eq!((*answer, answer.origin(), store.asked()), (None, Origin::Cached, 1));
        assert_eq!(lookups(&runtime, "negative"), 1);
        store.stock(true);
        sleep(ms(200)).await;
        assert_eq!(*users.send(store.find(1)).await.expect("loaded"), Some(1));
        assert_eq!(users.send(store.find(1)).await.expect("kept").origin(), Origin::Cached);
        assert_eq!((store.asked(), lookups(&runtime, "fresh")), (2, 1));
        end(runtime).await;
    });
}

#[test]
fn a_write_voids_nothing_as_it_voids_something() {
    virtual_time(async || {
        let (runtime, users) = start("cache = { negative_ttl = \"1m\" }", &replies()).await;
        let store = Store::default();
        users.send(store.find(1)).await.expect("an answer");
        store.stock(true);
        users.send(Change(1)).await.expect("written");
        assert_eq!(*users.send(store.find(1)).await.expect("loaded"), Some(1));
        store.stock(false);
        users.invalidate(&store.find(1)).expect("a good call");
        assert_eq!(*users.send(store.find(1)).await.expect("loaded"), None);
        store.stock(true);
        users.invalidate(&store.find(1)).expect("a good call");
        assert_eq!(*users.send(store.find(1)).await.expect("loaded"), Some(1));
        end(runtime).await;
    });
}

#[test]
fn what_is_found_to_be_gone_is_not_served_stale_afterwards() {
    virtual_time(async || {
        for negative_ttl in ["0s", "1s"] {
            let settings = format!(
                "cache = {{ ttl = \"5s\", jitter = \"0%\", stale_while_revalidate = \"1h\", negative_ttl = \"{negative_ttl}\" }}"
            );
            let (runtime, users) = start(&settings, &replies()).await;
            let store = Store::default();
            store.stock(true);
            users.send(store.find(1)).await.expect("loaded");
            store.stock(false);
            sleep(ms(6_000)).await;
            assert_eq!(*users.send(store.find(1)).await.expect("stale, and loaded anew"), Some(1));
            for _ in 0..3 {
                sleep(ms(1_500)).await;
                assert_eq!(*users.send(store.find(1)).await.expect("an answer"), None, "{negative_ttl}");
            }
            end(runtime).await;
        }
    });
}

/// K15: ten thousand unknown keys a second do not evict the good set.
#[test]
fn a_scan_of_unknown_keys_evicts_other_unknown_keys() {
    virtual_time(async || {
        let settings =
            "bulkhead = false\ncache = { negative_ttl = \"1m\" }\n[runtime]\ncache_max_bytes = \"1MiB\"";
        let (runtime, users) = start(settings, &replies()).await;
        let store = Store::default();
        store.stock(true);
        let hit_rate = async || {
            let before = store.asked();
            for id in 0..500 {
                users.send(store.find(id)).await.expect("it answers");
            }
            1.0 - (store.asked() - before) as f64 / 500.0
        };
        hit_rate().await;
        let before = hit_rate().await;
        assert!(before > 0.99, "{before}: the good set fits");
        let (mut unknown, mut during) = (1_000, 0.0);
        for _ in 0..30 {
            // 100 ms of it.
            join_all((0..1_000).map(|i| users.send(store.find(unknown + i)))).await;
            unknown += 1_000;
            during += hit_rate().await / 30.0;
            sleep(ms(100)).await;
        }
        assert!(during >= 0.9 * before, "{during} of hits, {before} before");
        let cache = runtime.snapshot().cache;
        assert!(cache.bytes <= cache.max_bytes, "{cache:?}");
        assert_eq!(cache.max_bytes, 1 << 20);
        let asked = store.asked();
        users.send(store.find(unknown - 1)).await.expect("kept");
        assert_eq!(store.asked(), asked, "the latest unknown key is known to be so");
        end(runtime).await;
    });
}

/// K16: writes are not cached, whatever the settings of the cache say.
#[test]
fn no_write_is_answered_from_the_cache() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = "cache = { mode = \"on\", ttl = \"1h\", stale_while_revalidate = \"1h\", negative_ttl = \"1h\" }\n\
                        [services.users.calls.Change.cache]\nttl = \"1h\"";
        let (runtime, users) = start(settings, &behaviour).await;
        for made in 1..=100 {
            let answer = users.send(Change(1)).await.expect("it is made");
            assert_eq!((answer.origin(), answer.serial, behaviour.attempts()), (Origin::Fresh, made, made));
        }
        assert_eq!(runtime.snapshot().cache.entries, 0);
        users.send(Lookup(1)).await.expect("loaded");
        assert_eq!(users.send(Lookup(1)).await.expect("kept").origin(), Origin::Cached);
        end(runtime).await;
    });
}
