//! Invalidation that a slow load cannot undo.
//!
//! Removing an entry is not enough: a load that began before the write ends after it, and puts the old value back. So
//! every load carries the generation it began at, and an invalidation notes its tag with a newer one. An entry is good
//! only if none of its tags was invalidated after its load began, which is asked at each hit.
//!
//! Remembering every tag for ever would grow without bound. Tags are spread over buckets that each remember their
//! latest few exactly; of those forgotten, the bucket keeps the latest generation, and entries older than that count as
//! invalidated whatever their tag. So a flood of invalidations costs hits, never a stale answer.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// When something was loaded or invalidated, in the order of invalidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

impl Generation {
    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

/// The invalidations of a process: 8,192 tags are remembered exactly.
#[derive(Debug)]
pub(crate) struct Generations {
    latest: AtomicU64,
    buckets: Box<[Mutex<Bucket>]>,
}

const BUCKETS: usize = 1024;
const REMEMBERED: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// The latest invalidation of any tag that this bucket has forgotten.
    forgotten: u64,
    /// Tags and the generation of their last invalidation, 0 for a free place.
    tags: [(u64, u64); REMEMBERED],
}

impl Generations {
    pub(crate) fn new() -> Self {
        Self { latest: AtomicU64::new(0), buckets: (0..BUCKETS).map(|_| Mutex::default()).collect() }
    }

    /// The generation that a load begins at.
    pub(crate) fn now(&self) -> Generation {
        Generation(self.latest.load(Ordering::Acquire))
    }

    /// A generation newer than that of any load that has begun.
    pub(crate) fn next(&self) -> Generation {
        Generation(self.latest.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Notes that what carries `tag` has changed.
    pub(crate) fn invalidate(&self, tag: u64) {
        let mut bucket = self.bucket(tag).lock();
        // Under the lock, so that a bucket's generations only grow.
        let Generation(now) = self.next();
        let place = match bucket.tags.iter().position(|(known, at)| *known == tag && *at > 0) {
            Some(place) => place,
            None => {
                let (oldest, (_, at)) = bucket
                    .tags
                    .iter()
                    .copied()
                    .enumerate()
                    .min_by_key(|(_, (_, at))| *at)
                    .unwrap_or_default();
                bucket.forgotten = bucket.forgotten.max(at);
                oldest
            }
        };
        bucket.tags[place] = (tag, now);
    }

    /// Whether something with these tags, loaded at `loaded`, is still good.
    pub(crate) fn is_current(&self, tags: &[u64], loaded: Generation) -> bool {
        tags.iter().all(|tag| {
            let bucket = self.bucket(*tag).lock();
            let invalidated = bucket
                .tags
                .iter()
                .find(|(known, at)| known == tag && *at > 0)
                .map_or(bucket.forgotten, |(_, at)| *at);
            invalidated <= loaded.0
        })
    }

    fn bucket(&self, tag: u64) -> &Mutex<Bucket> {
        &self.buckets[tag as usize % BUCKETS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_loaded_before_an_invalidation_is_not_current_after_it() {
        let generations = Generations::new();
        let before = generations.now();
        assert!(generations.is_current(&[1, 2], before));
        generations.invalidate(1);
        assert!(!generations.is_current(&[1, 2], before));
        assert!(generations.is_current(&[2], before));
        assert!(generations.is_current(&[1, 2], generations.now()));
    }

    #[test]
    fn a_forgotten_tag_costs_hits_and_never_serves_an_old_value() {
        let generations = Generations::new();
        let before = generations.now();
        // All in one bucket, more than it remembers.
        let tags: Vec<u64> = (0..100).map(|i| i * BUCKETS as u64).collect();
        for tag in &tags {
            generations.invalidate(*tag);
        }
        let after = generations.now();
        for tag in &tags {
            assert!(!generations.is_current(&[*tag], before), "{tag} was invalidated");
            assert!(generations.is_current(&[*tag], after), "{tag} was loaded since");
        }
    }
}
