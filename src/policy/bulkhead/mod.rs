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
//! Who waits is told outside of the lock, and may go away in that moment. So what became of a ticket is settled under the
//! lock, by whoever takes it out of the queue: one that cancels learns for certain whether it has a place to give up, and
//! places can neither leak nor be given up twice. What a retry brings of its earlier entry is a rank alone, which orders;
//! which entry is meant is told by a serial number of its own, so that equal ranks do not push each other out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
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
    queue: Mutex<BTreeMap<Place, Waiting<W>>>,
}

/// A place in the queue: the smaller, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    priority: u8,
    rank: u64,
    serial: u64,
}

#[derive(Debug)]
struct Waiting<W> {
    waiter: W,
    deadline: Tick,
    refused: Arc<AtomicBool>,
}

impl<W> Waiting<W> {
    /// Takes it out of the queue without a place. Under the queue's lock, which orders it before any cancelling.
    fn refuse(self) -> W {
        self.refused.store(true, Ordering::Relaxed);
        self.waiter
    }
}

/// What a call that waits is known by.
#[derive(Debug)]
pub struct Ticket {
    place: Place,
    refused: Arc<AtomicBool>,
}

impl Ticket {
    /// When the call first came to this bulkhead. A retry that enters by it keeps its place among its equals; it means
    /// nothing to another bulkhead.
    pub fn rank(&self) -> u64 {
        self.place.rank
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

/// What a call was when it stopped waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited.
    Waiting,
    /// It had a place by then, which it must give up.
    Admitted,
    /// It had been told that it has none.
    Refused,
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
        let mut word = self.word.load(Ordering::Acquire);
        while waiting(word) == 0 && in_flight(word) < self.max_in_flight() {
            match self.swap(word, word + 1) {
                Ok(()) => return Entry::Admitted,
                Err(current) => word = current,
            }
        }
        self.queue(priority, deadline, rank, waiter)
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
                .then(|| queue.last_key_value().map(|(place, _)| *place))
                .flatten()
                .filter(|last| last.priority > priority);
            if full && less_important.is_none() {
                return Entry::Full;
            }
            let shed = match less_important {
                Some(last) => queue.remove(&last).map(Waiting::refuse),
                // Only while all places are taken: one that was given up meanwhile is ours instead.
                None if self.swap(word, word + ONE_WAITING).is_err() => continue,
                None => None,
            };
            let serial = self.serials.fetch_add(1, Ordering::Relaxed);
            let place = Place { priority, rank: rank.unwrap_or(serial), serial };
            let refused = Arc::new(AtomicBool::new(false));
            queue.insert(place, Waiting { waiter: waiter(), deadline, refused: Arc::clone(&refused) });
            return Entry::Queued { ticket: Ticket { place, refused }, shed };
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
            let Some((_, first)) = queue.pop_first() else { break };
            self.word.fetch_sub(ONE_WAITING, Ordering::AcqRel);
            if first.deadline > now {
                handed.admitted = Some(first.waiter);
            } else {
                handed.expired.push(first.refuse());
            }
        }
        if handed.admitted.is_none() {
            self.word.fetch_sub(1, Ordering::AcqRel);
        }
        handed
    }

    /// Stops waiting, for a call that has not heard what became of it. Whatever it is told after that is void; the answer
    /// here holds.
    pub fn cancel(&self, ticket: &Ticket) -> Cancelled {
        let mut queue = self.queue.lock();
        if queue.remove(&ticket.place).is_some() {
            self.word.fetch_sub(ONE_WAITING, Ordering::AcqRel);
            Cancelled::Waiting
        } else if ticket.refused.load(Ordering::Relaxed) {
            Cancelled::Refused
        } else {
            Cancelled::Admitted
        }
    }

    /// Sends all who wait away; they are to be told.
    pub fn flush(&self) -> Vec<W> {
        if waiting(self.word.load(Ordering::Acquire)) == 0 {
            return Vec::new();
        }
        let mut queue = self.queue.lock();
        self.word.fetch_sub(queue.len() as u64 * ONE_WAITING, Ordering::AcqRel);
        std::mem::take(&mut *queue).into_values().map(Waiting::refuse).collect()
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
