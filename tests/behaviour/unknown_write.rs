//! A write that was given up may still be worked on: what is read meanwhile may be old, and is not kept.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::FutureExt;
use seawall::{
    Call, Failure, Origin, Service,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing, TagWriter},
    downstream::Reached,
};
use seawall_testkit::{Behaviour, Change, Echo, Lookup, Mock, Reaction, Scripted, virtual_time};
use tokio::time::sleep;

use crate::support::{down, end, ms, replies, settle, start};

/// Writes hang, and reads answer.
fn writes_hang() -> Behaviour {
    Behaviour::new(|asked| if asked.call == "Change" { Reaction::Hang } else { Reaction::Reply })
}

#[test]
fn what_is_read_after_a_write_timed_out_is_not_kept_until_the_write_must_be_over() {
    virtual_time(async || {
        let (runtime, users) = start("timeout = \"2s\"", &writes_hang()).await;
        let read = async |id| users.send(Lookup(id)).await.expect("it answers").origin();
        assert_eq!((read(1).await, read(2).await), (Origin::Fresh, Origin::Fresh));
        let error = users.send(Change(1)).await.expect_err("it hangs");
        assert!(error.is_timeout() && error.reached() == Reached::Maybe, "{error:?}");
        for _ in 0..3 {
            assert_eq!(read(1).await, Origin::Fresh, "the write may be made between any two of these");
            assert_eq!(read(2).await, Origin::Cached, "nobody wrote it");
            sleep(ms(600)).await;
        }
        sleep(ms(300)).await;
        assert_eq!((read(1).await, read(1).await), (Origin::Fresh, Origin::Cached), "it must be over by now");
        end(runtime).await;
    });
}

#[test]
fn those_who_read_at_once_while_a_write_is_unsettled_share_a_load() {
    virtual_time(async || {
        let behaviour = writes_hang();
        let (runtime, users) = start("timeout = \"2s\"", &behaviour).await;
        users.send(Change(1)).await.expect_err("it hangs");
        behaviour.react(|_| Reaction::Reply.after(ms(100)));
        let before = behaviour.attempts();
        let reads = futures_util::future::join_all((0..1000).map(|_| users.send(Lookup(1)))).await;
        assert!(reads.iter().all(Result::is_ok));
        assert_eq!(behaviour.attempts() - before, 1);
        end(runtime).await;
    });
}

#[test]
fn a_write_that_is_known_not_to_have_been_made_leaves_nothing_unsettled() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.call {
            "Change" => Reaction::Fail(down().reached(Reached::Yes)),
            _ => Reaction::Reply,
        });
        let (runtime, users) = start("retry = false", &behaviour).await;
        users.send(Change(1)).await.expect_err("it fails");
        let read = async || users.send(Lookup(1)).await.expect("it answers").origin();
        assert_eq!((read().await, read().await), (Origin::Fresh, Origin::Cached));
        end(runtime).await;
    });
}

/// A write that may be made twice: it is cancelled with its caller, and who knows whether in time.
struct Put;

impl Call<Scripted> for Put {
    type Reply = ();
    const NAME: &'static str = "Put";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn invalidates(&self, tags: &mut TagWriter) {
        tags.tag("item:1");
    }

    async fn attempt(&self, _: &Scripted, attempt: &Attempt) -> Result<(), Failure> {
        attempt.mark_sent();
        std::future::pending().await
    }
}

#[test]
fn a_write_that_is_cancelled_when_it_has_been_sent_is_unsettled_too() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        let mut write = users.send(Put);
        for _ in 0..3 {
            assert!((&mut write).now_or_never().is_none());
            settle().await;
        }
        drop(write);
        let read = async || users.send(Lookup(1)).await.expect("it answers").origin();
        assert_eq!((read().await, read().await), (Origin::Fresh, Origin::Fresh));
        sleep(ms(3_000)).await;
        assert_eq!((read().await, read().await), (Origin::Fresh, Origin::Cached));
        end(runtime).await;
    });
}

/// A call whose reply, when it is dropped, calls its own service.
struct Fetch {
    id: u64,
    of: Service<Scripted>,
    on: Arc<AtomicBool>,
    dropped: Arc<AtomicU64>,
}

struct Fetched {
    of: Service<Scripted>,
    on: Arc<AtomicBool>,
    dropped: Arc<AtomicU64>,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.on.load(Ordering::Relaxed) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.of.invalidate(&Lookup(1)).expect("it is a good call");
            assert!(self.of.send(Lookup(2)).now_or_never().is_none_or(|answer| answer.is_ok()));
        }
    }
}

impl Call<Scripted> for Fetch {
    type Reply = Fetched;
    const NAME: &'static str = "Fetch";

    fn sharing() -> Option<Sharing<Fetched>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&self.id);
        Cacheable::Yes
    }

    async fn attempt(&self, _: &Scripted, attempt: &Attempt) -> Result<Fetched, Failure> {
        attempt.set_reply_bytes(10_000);
        let Self { of, on, dropped, .. } = self;
        Ok(Fetched { of: of.clone(), on: Arc::clone(on), dropped: Arc::clone(dropped) })
    }
}

#[test]
fn a_kept_reply_whose_end_calls_the_service_again_is_dropped_where_it_can() {
    virtual_time(async || {
        let settings = "[runtime]\ncache_max_bytes = \"64KiB\"\n";
        let (runtime, users) = start(settings, &replies()).await;
        let (on, dropped) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let fetch = |id| Fetch { id, of: users.clone(), on: Arc::clone(&on), dropped: Arc::clone(&dropped) };
        for id in 0..100 {
            users.send(fetch(id)).await.expect("it answers");
        }
        let evicted = dropped.load(Ordering::Relaxed);
        assert!(evicted > 50, "{evicted} had to make room");
        users.send(fetch(99)).refresh().await.expect("it replaces one");
        users.invalidate(&fetch(99)).expect("it is a good call");
        settle().await;
        assert!(dropped.load(Ordering::Relaxed) > evicted);
        on.store(false, Ordering::Relaxed);
        end(runtime).await;
    });
}

/// A mock's rule is the other side, and whoever gave up on it does not know what it did either.
#[test]
fn a_mocks_write_that_timed_out_or_was_dropped_is_unknown_too() {
    virtual_time(async || {
        let mock = Mock::<Scripted>::with_policies("users", "timeout = \"2s\"").expect("it is right");
        mock.on(|look: &Lookup| Ok(Echo { id: look.0, serial: 1, number: 1 }));
        mock.on_async(|_: Arc<Change>| std::future::pending());
        let users = mock.service();
        let read = async |id| users.send(Lookup(id)).await.expect("it answers").origin();
        let error = users.send(Change(1)).await.expect_err("it hangs");
        assert_eq!(error.reached(), Reached::Maybe);
        assert_eq!(mock.calls::<Change>(), 1, "and it is not made twice");
        let mut dropped = users.send(Change(2));
        assert!((&mut dropped).now_or_never().is_none());
        drop(dropped);
        for id in [1, 2] {
            assert_eq!(
                [read(id).await, read(id).await],
                [Origin::Fresh; 2],
                "{id} may be written between the two"
            );
        }
        assert_eq!([read(3).await, read(3).await], [Origin::Fresh, Origin::Cached]);
    });
}
