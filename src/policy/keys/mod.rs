//! A bounded set of things by key: a breaker for each merchant, and no more of them than there is room for.
//!
//! Keys come from outside, so there may be ten million of them. Whoever makes room for a new one must not forget what still
//! matters: a breaker that is open would let its calls through again, and a limit whose places are taken would give them
//! out twice. So what has not been used for the longest time is forgotten first, but nothing that is in use, and nothing
//! before the moment until which it is held; only where all are held, the one whose moment comes first. What was not used
//! for `idle` is forgotten too, without its place being wanted.
//!
//! The order is kept lazily: a use only notes its moment, and the queue learns of it when the key comes to its front, from
//! where it goes to its right place. So a look-up is a hash map's, and a new key costs a few steps, at most [`STEPS`] of
//! them whatever has happened; past that what is forgotten may have been used more lately than another. Nothing ticks:
//! without new keys nothing is forgotten.

mod settings;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

pub use settings::{KeyedSettings, MOST_KEYS};

use crate::{sync::Mutex, units::Tick};

/// What is kept by key.
pub trait Keep {
    /// Whether it may be forgotten at `now`.
    fn hold(&self, now: Tick) -> Hold;
}

/// Whether something may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It may.
    Free,
    /// It is in use, and nobody knows until when.
    Busy,
    /// Not before this moment.
    Until(Tick),
}

/// How many keys a new one may have to look at before it finds one to forget.
pub const STEPS: usize = 64;

/// A bounded set of things by key. Keys are hashes, by a hash that nobody outside can guess.
pub struct Keys<T> {
    max: usize,
    idle: Duration,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    entries: HashMap<u64, Entry<T>, BuildHasherDefault<AsIs>>,
    /// By when they were last used, as far as is known. Each entry is here or in `held`.
    queue: BTreeSet<(Tick, u64)>,
    /// By when they may be forgotten.
    held: BTreeSet<(Tick, u64)>,
    forgotten: u64,
    forgotten_early: u64,
}

struct Entry<T> {
    value: Arc<T>,
    used: Tick,
}

/// A set of keys as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeysSnapshot {
    /// Keys in it.
    pub keys: usize,
    /// Keys that there is room for.
    pub max: usize,
    /// Keys forgotten so far.
    pub forgotten: u64,
    /// Those among them that should have been kept, and for which there was no room.
    pub forgotten_early: u64,
}

impl<T: Keep> Keys<T> {
    /// An empty set with room for `max` keys, which forgets what is not used for `idle`.
    pub fn new(max: u32, idle: Duration) -> Self {
        let inner = Inner {
            entries: HashMap::default(),
            queue: BTreeSet::new(),
            held: BTreeSet::new(),
            forgotten: 0,
            forgotten_early: 0,
        };
        Self { max: max.max(1) as usize, idle, inner: Mutex::new(inner) }
    }

    /// What there is by this key. `make` is run where there is nothing yet, under the lock, and must not panic.
    pub fn get(&self, key: u64, now: Tick, make: impl FnOnce() -> T) -> Arc<T> {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.entries.get_mut(&key) {
            entry.used = entry.used.max(now);
            return Arc::clone(&entry.value);
        }
        inner.forget_idle(self.idle, now);
        if inner.entries.len() >= self.max {
            inner.make_room(now);
        }
        let value = Arc::new(make());
        inner.entries.insert(key, Entry { value: Arc::clone(&value), used: now });
        inner.queue.insert((now, key));
        value
    }

    /// All that are kept, in no order.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.inner.lock().entries.values().map(|entry| Arc::clone(&entry.value)).collect()
    }

    /// The set as it is now.
    pub fn snapshot(&self) -> KeysSnapshot {
        let inner = self.inner.lock();
        KeysSnapshot {
            keys: inner.entries.len(),
            max: self.max,
            forgotten: inner.forgotten,
            forgotten_early: inner.forgotten_early,
        }
    }
}

/// What becomes of the key at the front of the queue.
enum Judged {
    /// It was used meanwhile, or is in use: it went further back. Whether it may be forgotten all the same.
    Passed(bool),
    /// It is held now.
    Held,
    /// It may be forgotten.
    Free,
}

impl<T: Keep> Inner<T> {
    /// Takes the front off the queue, and judges it; where it may be forgotten, it is for the caller to do so.
    fn judge(&mut self, place: (Tick, u64), now: Tick) -> Judged {
        self.queue.remove(&place);
        let (known, key) = place;
        let Some(entry) = self.entries.get(&key) else { return Judged::Held };
        match entry.value.hold(now) {
            Hold::Until(moment) if moment > now => {
                self.held.insert((moment, key));
                Judged::Held
            }
            Hold::Busy => {
                // Behind all others, even if all were used at this moment.
                let last = self.queue.last().map_or(now, |(used, _)| (*used).max(now));
                self.queue.insert((last.after(Duration::from_nanos(1)), key));
                Judged::Passed(false)
            }
            Hold::Free | Hold::Until(_) if entry.used > known => {
                self.queue.insert((entry.used, key));
                Judged::Passed(true)
            }
            Hold::Free | Hold::Until(_) => Judged::Free,
        }
    }

    /// Forgets what is idle, a few steps at a time.
    fn forget_idle(&mut self, idle: Duration, now: Tick) {
        for _ in 0..4 {
            // Held => queued: its moment has come.
            if let Some((moment, key)) = self.held.first().copied()
                && moment <= now
            {
                self.held.pop_first();
                self.queue.extend(self.entries.get(&key).map(|entry| (entry.used, key)));
            }
            let Some(place) = self.queue.first().copied() else { return };
            if now.since(place.0) < idle {
                return;
            }
            if let Judged::Free = self.judge(place, now) {
                self.forget(place.1);
            }
        }
    }

    /// Forgets one: the longest unused of those that may be, if there is one.
    fn make_room(&mut self, now: Tick) {
        // What was used lately, and yet is neither in use nor held.
        let mut lately = None;
        for _ in 0..STEPS {
            let Some(place) = self.queue.first().copied() else { break };
            match self.judge(place, now) {
                Judged::Free => return self.forget(place.1),
                Judged::Passed(free) => lately = lately.or(free.then_some(place.1)),
                Judged::Held => {}
            }
        }
        if let Some(key) = lately {
            self.queue.remove(&(self.entries[&key].used, key));
            return self.forget(key);
        }
        // All are held or in use, unless that has changed.
        let judged = |(_, key): &(Tick, u64)| self.entries.get(key).map(|entry| entry.value.hold(now));
        let place = |wanted: &dyn Fn(Hold) -> bool| {
            self.held.iter().take(STEPS).find(|held| judged(held).is_some_and(wanted)).copied()
        };
        let free = place(&|hold| match hold {
            Hold::Free => true,
            Hold::Until(moment) => moment <= now,
            Hold::Busy => false,
        });
        let held = free.or_else(|| place(&|hold| hold != Hold::Busy)).or_else(|| self.held.first().copied());
        self.forgotten_early += u64::from(free.is_none());
        if let Some(held) = held {
            self.held.remove(&held);
            self.forget(held.1);
        } else if let Some((_, key)) = self.queue.pop_first() {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: u64) {
        self.entries.remove(&key);
        self.forgotten += 1;
    }
}

impl<T> fmt::Debug for Keys<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("max", &self.max).field("idle", &self.idle).finish_non_exhaustive()
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
