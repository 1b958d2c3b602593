//! The bulkhead: so many calls in flight, so many waiting, and no more.
//!
//! A slow downstream otherwise holds every caller it has. Who comes when all places are taken waits in a bounded queue:
//! the more important first, then the tenants in turn, and of one tenant's calls by arrival, until they wait so long that
//! it is overload (`codel`). A full queue refuses whoever comes, or sends somebody away who is less important, or of a
//! tenant with more of its places. Whose deadline passes in the queue is not admitted. How many may be in flight is a
//! setting, or measured ([`adaptive`](super::adaptive)).
//!
//! Without a queue, entering and leaving are one compare-and-swap each on a word that holds both how many are in flight and
//! how many wait. The queue itself is under a lock. The two agree because whoever queues raises the count of the waiting
//! under the lock, and only while all places are taken; and who leaves gives the place up by the fast path only while
//! nobody waits, else takes the lock and hands it on. So there is never a free place beside a waiting call, but for the
//! moment between [`set_limits`](Bulkhead::set_limits) and [`offer`](Bulkhead::offer).
//!
//! Who waits is told outside of the lock, and may go away in that moment. Whether it had a place is then between it and
//! whoever took it out of the queue: a `W` must be told by something that either is heard of or fails (a one-shot channel
//! whose receiver is closed before it is asked a last time), and a place that nobody hears of is given up again by whoever
//! hands it out.

mod codel;
mod queue;
mod settings;

use std::time::Duration;

use serde::Serialize;

use crate::sync::{
    Mutex,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use queue::Queue;
pub use settings::{BulkheadSettings, CodelSettings};

use crate::units::Tick;

/// A bulkhead whose waiting calls are woken through a `W`.
#[derive(Debug)]
pub struct Bulkhead<W> {
    /// Calls waiting in the upper half, in flight in the lower.
    word: AtomicU64,
    max_in_flight: AtomicU32,
    max_queue: AtomicU32,
    /// Of CoDel, in nanoseconds; a target without end where it is off.
    target: AtomicU64,
    interval: AtomicU64,
    /// Made by the first who waits: most bulkheads never have anybody waiting.
    queue: Mutex<Option<Box<Queue<W>>>>,
}

/// Somebody who has to wait.
#[derive(Debug)]
pub struct Wait<W> {
    /// What he is told by.
    pub waiter: W,
    /// The time that it is.
    pub came: Tick,
    /// Until when he must be admitted.
    pub deadline: Tick,
}

/// A place in the queue.
///
/// The rank only orders: the smaller, the sooner among equals. Which entry is meant is told by a serial number of its own:
/// a rank brought from elsewhere may be somebody's here, who must not lose his place by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    priority: u8,
    tenant: u64,
    rank: u64,
    serial: u64,
}

impl Ticket {
    /// When the call first came. A retry that enters by it keeps its place among its equals.
    pub fn rank(self) -> u64 {
        self.rank
    }
}

/// What became of a call that wanted to enter.
#[derive(Debug)]
pub enum Entry<W> {
    /// It is in flight.
    Admitted,
    /// It waits; `sent` was sent away for it, and is to be told.
    Queued {
        /// Its place.
        ticket: Ticket,
        /// Who lost theirs.
        sent: Option<Sent<W>>,
    },
    /// There is no place.
    Full,
}

/// Somebody who was sent away from the queue.
#[derive(Debug)]
pub struct Sent<W> {
    /// Who.
    pub waiter: W,
    /// What for.
    pub why: Why,
}

/// What somebody was sent away from the queue for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// His deadline had passed.
    Expired,
    /// His place went to somebody more important, or of a tenant with less places.
    Shed,
    /// He had waited for too long, under a standing delay.
    Delayed,
}

/// What came of a place that was given up.
#[derive(Debug)]
pub struct Handed<W> {
    /// Who has it now, and is to be told.
    pub admitted: Option<W>,
    /// Who was sent away, and is to be told.
    pub sent: Vec<Sent<W>>,
}

/// A bulkhead as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BulkheadSnapshot {
    /// Calls in flight.
    pub in_flight: u32,
    /// Calls waiting.
    pub waiting: u32,
    /// Calls in flight at most.
    pub max_in_flight: u32,
    /// Calls waiting at most.
    pub max_queue: u32,
}

const ONE_WAITING: u64 = 1 << 32;

fn in_flight(word: u64) -> u32 {
    word as u32
}

fn waiting(word: u64) -> u32 {
    (word >> 32) as u32
}

impl<W> Bulkhead<W> {
    /// An empty bulkhead.
    pub fn new(max_in_flight: u32, max_queue: u32, codel: Option<CodelSettings>) -> Self {
        let bulkhead = Self {
            word: AtomicU64::new(0),
            max_in_flight: AtomicU32::new(0),
            max_queue: AtomicU32::new(0),
            target: AtomicU64::new(0),
            interval: AtomicU64::new(0),
            queue: Mutex::new(None),
        };
        bulkhead.set_limits(|| max_in_flight, max_queue, codel);
        bulkhead
    }

    /// Lets a call in, or queues it. 0 is the highest priority; `rank` is that of an earlier entry, for a retry.
    ///
    /// What only a call that has to wait is asked for is asked for under the lock, and must not panic: whose it is (the same
    /// number for all where tenants are not kept apart), and what it is told by.
    pub fn enter(
        &self,
        priority: u8,
        rank: Option<u64>,
        tenant: impl FnOnce() -> u64,
        wait: impl FnOnce() -> Wait<W>,
    ) -> Entry<W> {
        if self.try_enter() { Entry::Admitted } else { self.queue(priority, rank, tenant, wait) }
    }

    /// Lets a call in if a place is free and nobody waits; whether it did.
    #[inline]
    pub fn try_enter(&self) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        while waiting(word) == 0 && in_flight(word) < self.max_in_flight() {
            match self.swap(word, word + 1) {
                Ok(()) => return true,
                Err(current) => word = current,
            }
        }
        false
    }

    fn queue(
        &self,
        priority: u8,
        rank: Option<u64>,
        tenant: impl FnOnce() -> u64,
        wait: impl FnOnce() -> Wait<W>,
    ) -> Entry<W> {
        let mut queue = self.queue.lock();
        let queue = queue.get_or_insert_default();
        let (tenant, sent) = loop {
            let word = self.word.load(Ordering::Acquire);
            if waiting(word) == 0 && in_flight(word) < self.max_in_flight() {
                if self.swap(word, word + 1).is_ok() {
                    return Entry::Admitted;
                }
            } else if waiting(word) >= self.max_queue.load(Ordering::Relaxed) {
                let tenant = tenant();
                match queue.make_room(priority, tenant) {
                    Some(sent) => break (tenant, Some(sent)),
                    None => return Entry::Full,
                }
            } else if self.swap(word, word + ONE_WAITING).is_ok() {
                // Only while all places are taken: one that was given up meanwhile is ours instead.
                break (tenant(), None);
            }
        };
        let ticket = queue.push(priority, tenant, rank, wait());
        Entry::Queued { ticket, sent }
    }

    /// Gives a place up: to the first who waits and still can, if any. Only for who has one.
    pub fn leave(&self, now: Tick) -> Handed<W> {
        let mut word = self.word.load(Ordering::Acquire);
        while waiting(word) == 0 {
            debug_assert!(in_flight(word) > 0, "a place was given up that nobody had");
            match self.swap(word, word - 1) {
                Ok(()) => return Handed::nobody(),
                Err(current) => word = current,
            }
        }
        let mut queue = self.queue.lock();
        // A limit that was lowered is reached by handing no places on.
        let may_hand_on = in_flight(self.word.load(Ordering::Acquire)) <= self.max_in_flight();
        let handed = match queue.as_mut().filter(|_| may_hand_on) {
            Some(queue) => queue.hand_on(self.codel(), now),
            None => Handed::nobody(),
        };
        let given_up = u64::from(handed.admitted.is_none());
        self.word.fetch_sub(handed.count() * ONE_WAITING + given_up, Ordering::AcqRel);
        handed
    }

    /// Hands out one place that is free while somebody waits, which only a raised limit brings about.
    pub fn offer(&self, now: Tick) -> Handed<W> {
        let mut queue = self.queue.lock();
        let word = self.word.load(Ordering::Acquire);
        let is_free = in_flight(word) < self.max_in_flight();
        let Some(queue) = queue.as_mut().filter(|_| is_free) else { return Handed::nobody() };
        let handed = queue.hand_on(self.codel(), now);
        let taken = u64::from(handed.admitted.is_some());
        // Somebody may leave meanwhile; nobody can enter.
        self.word.fetch_sub(handed.count() * ONE_WAITING - taken, Ordering::AcqRel);
        handed
    }

    /// Stops waiting; whether it still did. If not it was handed a place, or sent away, and is told so or was.
    pub fn cancel(&self, ticket: Ticket) -> bool {
        let waited = self.queue.lock().as_mut().is_some_and(|queue| queue.remove(ticket).is_some());
        if waited {
            self.word.fetch_sub(ONE_WAITING, Ordering::AcqRel);
        }
        waited
    }

    /// Sends away all who wait and are of those meant; they are to be told.
    pub fn flush(&self, meant: impl Fn(&W) -> bool) -> Vec<W> {
        if waiting(self.word.load(Ordering::Acquire)) == 0 {
            return Vec::new();
        }
        let mut queue = self.queue.lock();
        let flushed = queue.as_mut().map_or_else(Vec::new, |queue| queue.take(meant));
        self.word.fetch_sub(flushed.len() as u64 * ONE_WAITING, Ordering::AcqRel);
        flushed
    }

    /// Changes the settings. Places that are free now are to be offered to who waits. `max_in_flight` is called under the
    /// lock, as that of [`set_max_in_flight`](Self::set_max_in_flight).
    pub fn set_limits(
        &self,
        max_in_flight: impl FnOnce() -> u32,
        max_queue: u32,
        codel: Option<CodelSettings>,
    ) {
        let _queue = self.queue.lock();
        self.max_in_flight.store(max_in_flight(), Ordering::Relaxed);
        self.max_queue.store(max_queue, Ordering::Relaxed);
        let off = CodelSettings { target: Duration::MAX, interval: Duration::MAX };
        let CodelSettings { target, interval } = codel.unwrap_or(off);
        self.target.store(nanos(target), Ordering::Relaxed);
        self.interval.store(nanos(interval), Ordering::Relaxed);
    }

    /// Changes how many may be in flight. Places that are free now are to be offered to who waits.
    ///
    /// `max_in_flight` is called under the lock, so that of two who change it at once the later one is right.
    pub fn set_max_in_flight(&self, max_in_flight: impl FnOnce() -> u32) {
        let _queue = self.queue.lock();
        self.max_in_flight.store(max_in_flight(), Ordering::Relaxed);
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> u32 {
        in_flight(self.word.load(Ordering::Acquire))
    }

    /// The bulkhead as it is now.
    pub fn snapshot(&self) -> BulkheadSnapshot {
        let word = self.word.load(Ordering::Acquire);
        BulkheadSnapshot {
            in_flight: in_flight(word),
            waiting: waiting(word),
            max_in_flight: self.max_in_flight(),
            max_queue: self.max_queue.load(Ordering::Relaxed),
        }
    }

    fn codel(&self) -> CodelSettings {
        let duration = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Ordering::Relaxed));
        CodelSettings { target: duration(&self.target), interval: duration(&self.interval) }
    }

    fn max_in_flight(&self) -> u32 {
        self.max_in_flight.load(Ordering::Relaxed)
    }

    fn swap(&self, from: u64, to: u64) -> Result<(), u64> {
        self.word.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<W> Handed<W> {
    fn nobody() -> Self {
        Self { admitted: None, sent: Vec::new() }
    }

    /// How many were taken out of the queue.
    fn count(&self) -> u64 {
        self.sent.len() as u64 + u64::from(self.admitted.is_some())
    }
}

#[cfg(test)]
mod tests;
