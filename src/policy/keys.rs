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

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;

use crate::units::Tick;

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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What is held as its number says.
    struct Thing(Mutex<Hold>);

    impl Thing {
        fn set(&self, hold: Hold) {
            *self.0.lock() = hold;
        }
    }

    impl Keep for Thing {
        fn hold(&self, _: Tick) -> Hold {
            *self.0.lock()
        }
    }

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.after(Duration::from_secs(seconds))
    }

    fn keys(max: u32) -> Keys<Thing> {
        Keys::new(max, Duration::from_secs(600))
    }

    fn use_of(keys: &Keys<Thing>, key: u64, now: Tick) -> Arc<Thing> {
        keys.get(key, now, || Thing(Mutex::new(Hold::Free)))
    }

    fn has(keys: &Keys<Thing>, key: u64) -> bool {
        keys.inner.lock().entries.contains_key(&key)
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let keys = keys(3);
        for key in 1..=3 {
            use_of(&keys, key, at(key));
        }
        use_of(&keys, 1, at(4));
        use_of(&keys, 4, at(5));
        assert_eq!((1..=4).map(|key| has(&keys, key)).collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(keys.snapshot(), KeysSnapshot { keys: 3, max: 3, forgotten: 1, forgotten_early: 0 });
    }

    #[test]
    fn what_is_held_or_in_use_is_kept_as_long_as_anything_else_can_go() {
        let keys = keys(3);
        use_of(&keys, 1, at(1)).set(Hold::Until(at(100)));
        use_of(&keys, 2, at(2)).set(Hold::Busy);
        for key in 3..1_000 {
            use_of(&keys, key, at(3));
        }
        assert!(has(&keys, 1) && has(&keys, 2) && has(&keys, 999));
        assert_eq!(keys.snapshot().forgotten_early, 0);
        // Its moment has come.
        use_of(&keys, 1_000, at(100));
        use_of(&keys, 1_001, at(101));
        use_of(&keys, 1_002, at(101));
        assert!(!has(&keys, 1) && has(&keys, 2));
    }

    #[test]
    fn where_all_are_held_the_first_whose_moment_comes_goes() {
        let keys = keys(3);
        for (key, until) in [(1, 300), (2, 100), (3, 200)] {
            use_of(&keys, key, at(0)).set(Hold::Until(at(until)));
        }
        use_of(&keys, 4, at(1));
        assert!(has(&keys, 1) && !has(&keys, 2) && has(&keys, 3));
        assert_eq!(keys.snapshot().forgotten_early, 1);
    }

    #[test]
    fn where_all_are_in_use_there_is_room_all_the_same() {
        let keys = keys(3);
        for key in 0..1_000 {
            use_of(&keys, key, at(0)).set(Hold::Busy);
        }
        assert_eq!(keys.snapshot(), KeysSnapshot { keys: 3, max: 3, forgotten: 997, forgotten_early: 997 });
    }

    #[test]
    fn what_is_idle_is_forgotten_though_there_is_room() {
        let keys = keys(1_000);
        for key in 0..100 {
            use_of(&keys, key, at(key));
        }
        for key in 1_000..1_100 {
            use_of(&keys, key, at(800));
        }
        assert_eq!(keys.snapshot().keys, 100);
    }

    /// Which keys are there.
    fn kept(keys: &Keys<Thing>) -> BTreeSet<u64> {
        (0..12).filter(|key| has(keys, *key)).collect()
    }

    proptest! {
        /// The plain model: the moment of each use, and the least of them goes.
        #[test]
        fn of_those_that_are_free_the_longest_unused_goes(
            uses in prop::collection::vec(0_u64..12, 1..300),
            max in 1_u32..8,
        ) {
            let keys = Keys::new(max, Duration::from_secs(1_000_000));
            let mut model: BTreeMap<u64, usize> = BTreeMap::new();
            for (moment, key) in uses.into_iter().enumerate() {
                if !model.contains_key(&key) && model.len() == max as usize {
                    let oldest = model.iter().min_by_key(|(_, used)| **used).map(|(key, _)| *key);
                    model.retain(|key, _| Some(*key) != oldest);
                }
                use_of(&keys, key, at(moment as u64));
                model.insert(key, moment);
                prop_assert_eq!(kept(&keys), model.keys().copied().collect::<BTreeSet<_>>());
            }
        }

        #[test]
        fn what_is_in_use_goes_last_and_what_is_held_last_but_one(
            steps in prop::collection::vec((0_u64..12, 0_u8..6, 0_u64..3), 1..300),
            max in 1_u32..8,
        ) {
            let keys = Keys::new(max, Duration::from_secs(1_000_000));
            let mut model: BTreeMap<u64, Hold> = BTreeMap::new();
            let mut now = 0;
            for (key, hold, wait) in steps {
                now += wait;
                let rank = |hold: &Hold| match hold {
                    Hold::Until(moment) if *moment > at(now) => 1,
                    Hold::Free | Hold::Until(_) => 0,
                    Hold::Busy => 2,
                };
                let hold = match hold {
                    0 | 1 => Hold::Busy,
                    2 | 3 => Hold::Until(at(now + 20)),
                    _ => Hold::Free,
                };
                let before = kept(&keys);
                use_of(&keys, key, at(now)).set(hold);
                let gone: Vec<_> = before.difference(&kept(&keys)).copied().collect();
                prop_assert!(gone.len() <= usize::from(before.len() == max as usize && !before.contains(&key)));
                if let [gone] = gone[..] {
                    prop_assert_eq!(rank(&model[&gone]), model.values().map(rank).min().expect("it was full"));
                    model.remove(&gone);
                }
                model.insert(key, hold);
                prop_assert!(kept(&keys).len() <= max as usize);
            }
        }
    }

    #[test]
    fn many_keys_need_no_more_room_than_there_is() {
        let keys = keys(1_024);
        for key in 0..50_000_u64 {
            let thing = use_of(&keys, key.wrapping_mul(0x9e37_79b9_7f4a_7c15), at(key / 1_000));
            if key % 3 == 0 {
                thing.set(Hold::Until(at(key / 1_000 + 30)));
            }
        }
        let inner = keys.inner.lock();
        assert_eq!(inner.entries.len(), 1_024);
        assert_eq!(inner.queue.len() + inner.held.len(), 1_024);
    }
}
