use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Entry, Generation};
use crate::call::CallError;

/// The loads of one service that are under way, by key: who comes while one is, waits for it.
///
/// There are no more of them than the service's bulkhead admits and queues.
#[derive(Default)]
pub(crate) struct Flights {
    by_key: Mutex<HashMap<Box<[u8]>, Arc<Flight>>>,
}

/// One load, and all who wait for it.
pub(crate) struct Flight {
    pub(crate) began: Generation,
    /// What it is about: an invalidation of one of these makes it too old for those who come after.
    pub(crate) tags: Option<Arc<[u64]>>,
    outdated: AtomicBool,
    outcome: OnceLock<Result<Entry, CallError>>,
    /// Not a `watch` channel, which wakes those who wait in an order that no seed determines.
    landed: Notify,
}

/// What a caller finds at a key.
pub(crate) enum Joined {
    /// Nobody loads it: the caller must, and land the flight.
    Lead(Arc<Flight>),
    /// Somebody does: wait for it.
    Follow(Arc<Flight>),
}

impl Flights {
    /// The load of `key` that is under way, unless `is_current` says that it began too early to be of use.
    pub(crate) fn follow(&self, key: &[u8], is_current: impl FnOnce(&Flight) -> bool) -> Option<Arc<Flight>> {
        let by_key = self.by_key.lock();
        by_key.get(key).filter(|flight| !flight.is_outdated() && is_current(flight)).cloned()
    }

    /// Joins the load of `key` as [`follow`](Self::follow) does, or takes the lead of a new one.
    pub(crate) fn join(
        &self,
        key: &[u8],
        began: Generation,
        tags: Option<Arc<[u64]>>,
        is_current: impl FnOnce(&Flight) -> bool,
    ) -> Joined {
        let mut by_key = self.by_key.lock();
        if let Some(flight) = by_key.get(key)
            && !flight.is_outdated()
            && is_current(flight)
        {
            return Joined::Follow(Arc::clone(flight));
        }
        let flight = Arc::new(Flight {
            began,
            tags,
            outdated: AtomicBool::new(false),
            outcome: OnceLock::new(),
            landed: Notify::new(),
        });
        by_key.insert(key.into(), Arc::clone(&flight));
        Joined::Lead(flight)
    }

    /// Ends a flight: whoever comes now starts a new one. `store` keeps the outcome, unless its key was invalidated
    /// meanwhile, or a newer load took its place; both under one lock, so that no invalidation falls between the question and the storing. What `store`
    /// gives back (the replies that had to go) is dropped when the lock is free: a reply's own `Drop` may call again.
    pub(crate) fn land<T>(
        &self,
        key: &[u8],
        flight: &Arc<Flight>,
        outcome: Result<Entry, CallError>,
        store: impl FnOnce(&Result<Entry, CallError>) -> T,
    ) {
        let displaced = {
            let mut by_key = self.by_key.lock();
            let is_newest = by_key.get(key).is_some_and(|current| Arc::ptr_eq(current, flight));
            if is_newest {
                by_key.remove(key);
            }
            (is_newest && !flight.is_outdated()).then(|| store(&outcome))
        };
        // It lands once, from one place.
        let _ = flight.outcome.set(outcome);
        flight.landed.notify_waiters();
        drop(displaced);
    }

    /// Runs `forget`, and keeps the load of `key` that is under way, if any, from being stored after it. What was
    /// forgotten is the caller's to drop, when the lock is free.
    pub(crate) fn outdate<T>(&self, key: &[u8], forget: impl FnOnce() -> T) -> T {
        let by_key = self.by_key.lock();
        if let Some(flight) = by_key.get(key) {
            flight.outdated.store(true, Ordering::Release);
        }
        forget()
    }

    /// Loads under way.
    pub(crate) fn len(&self) -> usize {
        self.by_key.lock().len()
    }
}

impl Flight {
    /// Whether its key was invalidated since it began.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }

    /// Waits until it lands.
    pub(crate) async fn landed(&self) -> &Result<Entry, CallError> {
        loop {
            // Before the look: who lands in between is heard of.
            let landed = self.landed.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            landed.await;
        }
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("under_way", &self.len()).finish()
    }
}
