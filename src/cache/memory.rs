use std::{
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{Lifecycle, Weighter, sync::Cache};

use super::Generation;
use crate::{call::Shared, policy::freshness::Freshness, units::ByteSize};

/// A reply that is kept, and what decides whether it may be served. Cloning it copies no reply.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) reply: Shared,
    pub(crate) freshness: Freshness,
    pub(crate) loaded: Generation,
    pub(crate) tags: Option<Arc<[u64]>>,
    pub(crate) bytes: u64,
    /// Whether it says "there is none".
    pub(crate) negative: bool,
    /// Whether it came from another process.
    pub(crate) shared: bool,
}

/// The memory tier: one for the process, whatever the number of services, bounded by bytes.
///
/// Replies that say "there is none" have a part of their own: there are more names of nothing than of something, and who
/// tries them all must not push out what is there.
pub(crate) struct Memory {
    entries: Part,
    negative: Part,
    evictions: AtomicU64,
}

type Part = Cache<Box<[u8]>, Entry, ByBytes, Seeded, HandOut>;

/// What share of the bytes is for replies that say "there is none": one in so many.
const NEGATIVE: u64 = 16;

/// What had to go, for its key's new reply or to make room: a reply's `Drop` is its user's code, and runs under no lock.
pub(crate) type Displaced = Vec<(Box<[u8]>, Entry)>;

/// Hands out what has to go, in place of dropping it under the cache's lock.
#[derive(Clone)]
struct HandOut;

impl Lifecycle<Box<[u8]>, Entry> for HandOut {
    type RequestState = Displaced;

    fn on_evict(&self, displaced: &mut Displaced, key: Box<[u8]>, entry: Entry) {
        displaced.push((key, entry));
    }
}

/// What an entry costs beside its reply: key, bookkeeping, the cache's own node.
const OVERHEAD: u64 = 200;

/// Entries are guessed to be of this size when the cache sizes its tables.
const TYPICAL: u64 = 2048;

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<[u8]>, Entry> for ByBytes {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        OVERHEAD + key.len() as u64 + entry.bytes
    }
}

impl Memory {
    /// A tier of at most `capacity`. `seed` keeps strangers from choosing keys that collide.
    pub(crate) fn new(capacity: ByteSize, seed: u64) -> Self {
        let part = |capacity: u64| {
            let typical = usize::try_from(capacity / TYPICAL).unwrap_or(usize::MAX).clamp(64, 1 << 20);
            Cache::with(typical, capacity, ByBytes, Seeded(seed), HandOut)
        };
        let negative = capacity.get() / NEGATIVE;
        Self {
            entries: part(capacity.get() - negative),
            negative: part(negative),
            evictions: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Entry> {
        self.entries.get(key)
    }

    /// The reply that says "there is none", if that is known.
    pub(crate) fn get_negative(&self, key: &[u8]) -> Option<Entry> {
        self.negative.get(key)
    }

    #[must_use = "what had to go is to be dropped where no lock is held"]
    pub(crate) fn insert(&self, key: &[u8], entry: Entry) -> Displaced {
        let (part, other) = match entry.negative {
            true => (&self.negative, &self.entries),
            false => (&self.entries, &self.negative),
        };
        let mut displaced: Displaced = other.remove(key).into_iter().collect();
        part.insert_with_lifecycle(key.into(), entry, &mut displaced);
        // What its own key held before made no room.
        let evicted = displaced.iter().filter(|(other, _)| **other != *key).count();
        self.evictions.fetch_add(evicted as u64, Ordering::Relaxed);
        displaced
    }

    #[must_use = "what had to go is to be dropped where no lock is held"]
    pub(crate) fn remove(&self, key: &[u8]) -> Displaced {
        self.entries.remove(key).into_iter().chain(self.negative.remove(key)).collect()
    }

    /// Replies that had to make room for others so far.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Bytes held, as far as they are known.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight() + self.negative.weight()
    }

    /// Bytes allowed.
    pub(crate) fn capacity(&self) -> u64 {
        self.entries.capacity() + self.negative.capacity()
    }

    /// Replies held.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.negative.len()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("entries", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

/// Hashes keys eight bytes at a time, from the runtime's seed: the same seed evicts in the same order, which a
/// simulation needs, and nobody outside knows it.
#[derive(Clone)]
struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = Mix;

    fn build_hasher(&self) -> Mix {
        Mix(self.0)
    }
}

struct Mix(u64);

impl Mix {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0.rotate_left(23) ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().expect("chunks of eight")));
        }
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        self.mix(u64::from_le_bytes(rest) ^ (bytes.len() as u64).rotate_left(56));
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}
