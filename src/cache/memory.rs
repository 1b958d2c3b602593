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
}

/// The memory tier: one for the process, whatever the number of services, bounded by bytes.
pub(crate) struct Memory {
    entries: Cache<Box<[u8]>, Entry, ByBytes, Seeded, Evictions>,
    evictions: Evictions,
}

/// Counts the replies that had to make room.
#[derive(Clone, Default)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<Box<[u8]>, Entry> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Box<[u8]>, _: Entry) {
        self.0.fetch_add(1, Ordering::Relaxed);
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
        let typical = usize::try_from(capacity.get() / TYPICAL).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let evictions = Evictions::default();
        Self {
            entries: Cache::with(typical, capacity.get(), ByBytes, Seeded(seed), evictions.clone()),
            evictions,
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Entry> {
        self.entries.get(key)
    }

    pub(crate) fn insert(&self, key: Box<[u8]>, entry: Entry) {
        self.entries.insert(key, entry);
    }

    pub(crate) fn remove(&self, key: &[u8]) {
        self.entries.remove(key);
    }

    /// Replies that had to make room for others so far.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.0.load(Ordering::Relaxed)
    }

    /// Bytes held, as far as they are known.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// Bytes allowed.
    pub(crate) fn capacity(&self) -> u64 {
        self.entries.capacity()
    }

    /// Replies held.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
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
