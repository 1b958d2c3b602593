//! The bulkhead: so many calls in flight, so many waiting, and no more.
//!
//! A slow downstream otherwise holds every caller it has. Who comes when all places are taken waits in a bounded queue,
//! the more important first and within a priority by arrival; a full queue refuses, or pushes out somebody less important.
//! Whose deadline passes in the queue is not admitted.
//!
//! Without a queue, entering and leaving are one compare-and-swap each on a word that holds both how many are in flight and
//! how many wait. The queue itself is under a lock. The two agree because whoever queues raises the count of the waiting
//! under the lock, and only while all places are taken; and who leaves gives the place up by the fast path only while
//! nobody waits, else takes the lock and hands it on. So there is never a free place beside a waiting call.
//!
//! Who waits is told outside of the lock, and may go away in that moment. Whether it had a place is then between it and
//! whoever took it out of the queue: a `W` must be told by something that either is heard of or fails (a one-shot channel
//! whose receiver is closed before it is asked a last time), and a place that nobody hears of is given up again by whoever
//! hands it out.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Mode;
use crate::units::{Tick, duration};

/// How many calls may be in flight, and how many wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BulkheadSettings {
    /// Whether it decides.
    pub mode: Mode,
    /// Calls in flight at most. Default 100; for kinds with a pool, the pool's size.
    pub max_in_flight: u32,
    /// Calls waiting at most. Default 100.
    pub max_queue: u32,
    /// How long a call may wait. Default 1 s.
    #[serde(with = "duration")]
    pub queue_timeout: Duration,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            max_in_flight: 100,
            max_queue: 100,
            queue_timeout: Duration::from_secs(1),
        }
    }
}

/// A bulkhead whose waiting calls are woken through a `W`.
#[derive(Debug)]
pub struct Bulkhead<W> {
    /// Calls waiting in the upper half, in flight in the lower.
    word: AtomicU64,
    max_in_flight: AtomicU32,
    max_queue: AtomicU32,
    serials: AtomicU64,
    queue: Mutex<BTreeMap<Ticket, Waiting<W>>>,
}

#[derive(Debug)]
struct Waiting<W> {
    waiter: W,
    deadline: Tick,
}

/// A place in the queue: the smaller, the sooner.
///
/// The rank only orders. Which entry is meant is told by a serial number of its own: a rank brought from elsewhere may be
/// somebody's here, who must not lose his place by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    priority: u8,
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
    /// It waits; `shed`, less important, was pushed out for it and is to be told.
    Queued {
        /// Its place.
        ticket: Ticket,
        /// Who lost theirs.
        shed: Option<W>,
    },
    /// There is no place.
    Full,
}

/// What came of a place that was given up.
#[derive(Debug)]
pub struct Handed<W> {
    /// Who has it now, and is to be told.
    pub admitted: Option<W>,
    /// Whose deadline had passed, and are to be told.
    pub expired: Vec<W>,
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
    pub fn new(max_in_flight: u32, max_queue: u32) -> Self {
        Self {
            word: AtomicU64::new(0),
            max_in_flight: AtomicU32::new(max_in_flight),
            max_queue: AtomicU32::new(max_queue),
            serials: AtomicU64::new(0),
            queue: Mutex::default(),
        }
    }

    /// Lets a call in, or queues it. 0 is the highest priority; `rank` is that of an earlier entry, for a retry.
    /// `waiter` is made only for a call that waits, under the lock, and must not panic.
    pub fn enter(
        &self,
        priority: u8,
        deadline: Tick,
        rank: Option<u64>,
        waiter: impl FnOnce() -> W,
    ) -> Entry<W> {
        if self.try_enter() { Entry::Admitted } else { self.queue(priority, deadline, rank, waiter) }
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

    fn queue(&self, priority: u8, deadline: Tick, rank: Option<u64>, waiter: impl FnOnce() -> W) -> Entry<W> {
        let mut queue = self.queue.lock();
        loop {
            let word = self.word.load(Ordering::Acquire);
            if waiting(word) == 0 && in_flight(word) < self.max_in_flight() {
                if self.swap(word, word + 1).is_ok() {
                    return Entry::Admitted;
                }
                continue;
            }
            let full = waiting(word) >= self.max_queue.load(Ordering::Relaxed);
            let less_important = full
                .then(|| queue.last_key_value().map(|(ticket, _)| *ticket))
                .flatten()
                .filter(|last| last.priority > priority);
            if full && less_important.is_none() {
                return Entry::Full;
            }
            let shed = match less_important {
                Some(last) => queue.remove(&last).map(|waiting| waiting.waiter),
                // Only while all places are taken: one that was given up meanwhile is ours instead.
                None if self.swap(word, word + ONE_WAITING).is_err() => continue,
                None => None,
            };
            let serial = self.serials.fetch_add(1, Ordering::Relaxed);
            let ticket = Ticket { priority, rank: rank.unwrap_or(serial), serial };
            queue.insert(ticket, Waiting { waiter: waiter(), deadline });
            return Entry::Queued { ticket, shed };
        }
    }

    /// Gives a place up: to the first who waits and still can, if any. Only for who has one.
    pub fn leave(&self, now: Tick) -> Handed<W> {
        let mut handed = Handed { admitted: None, expired: Vec::new() };
        let mut word = self.word.load(Ordering::Acquire);
        while waiting(word) == 0 {
            debug_assert!(in_flight(word) > 0, "a place was given up that nobody had");
            match self.swap(word, word - 1) {
                Ok(()) => return handed,
                Err(current) => word = current,
            }
        }
        let mut queue = self.queue.lock();
        // A limit that was lowered is reached by handing no places on.
        let may_hand_on = in_flight(self.word.load(Ordering::Acquire)) <= self.max_in_flight();
        while may_hand_on && handed.admitted.is_none() {
            let Some((_, Waiting { waiter, deadline })) = queue.pop_first() else { break };
            self.word.fetch_sub(ONE_WAITING, Ordering::AcqRel);
            if deadline > now { handed.admitted = Some(waiter) } else { handed.expired.push(waiter) }
        }
        if handed.admitted.is_none() {
            self.word.fetch_sub(1, Ordering::AcqRel);
        }
        handed
    }

    /// Stops waiting; whether it still did. If not it was handed a place, or sent away, and is told so or was.
    pub fn cancel(&self, ticket: Ticket) -> bool {
        let waited = self.queue.lock().remove(&ticket).is_some();
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
        let (flushed, stay): (BTreeMap<_, _>, _) =
            std::mem::take(&mut *queue).into_iter().partition(|(_, waiting)| meant(&waiting.waiter));
        *queue = stay;
        self.word.fetch_sub(flushed.len() as u64 * ONE_WAITING, Ordering::AcqRel);
        flushed.into_values().map(|waiting| waiting.waiter).collect()
    }

    /// Changes the limits. Who has a place now that waited before is to be told.
    pub fn set_limits(&self, max_in_flight: u32, max_queue: u32) -> Vec<W> {
        let mut queue = self.queue.lock();
        self.max_in_flight.store(max_in_flight, Ordering::Relaxed);
        self.max_queue.store(max_queue, Ordering::Relaxed);
        let mut admitted = Vec::new();
        while in_flight(self.word.load(Ordering::Acquire)) < max_in_flight
            && let Some((_, Waiting { waiter, .. })) = queue.pop_first()
        {
            // One less waits, one more is in flight. Somebody may leave meanwhile; nobody can enter.
            self.word.fetch_sub(ONE_WAITING - 1, Ordering::AcqRel);
            admitted.push(waiter);
        }
        admitted
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

    fn max_in_flight(&self) -> u32 {
        self.max_in_flight.load(Ordering::Relaxed)
    }

    fn swap(&self, from: u64, to: u64) -> Result<(), u64> {
        self.word.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}

#[cfg(test)]
mod tests;
