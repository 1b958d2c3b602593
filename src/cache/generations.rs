//! Invalidation that a slow load cannot undo.
//!
//! Removing an entry is not enough: a load that began before the write ends after it, and puts the old value back. So
//! every load carries the generation it began at, and an invalidation notes its tag with a newer one. An entry is good
//! only if none of its tags was invalidated after its load began, which is asked at each hit.
//!
//! Remembering every tag for ever would grow without bound. Tags are spread over buckets that each remember their
//! latest few exactly; of those forgotten, the bucket keeps the latest generation, and entries older than that count as
//! invalidated whatever their tag. So a flood of invalidations costs hits, never a stale answer.
//!
//! A write whose outcome is unknown may still change something after it was given up, and so after its invalidation: what
//! is loaded in between would be kept as if it were new. So its tags are unsettled for a while, and nothing whose load
//! began in that time is kept. Nothing has to tick: the time is asked when a load has ended, never at a hit.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::units::Tick;

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
    /// Of the tags that this bucket has forgotten: the latest of each.
    forgotten: Note,
    tags: [Note; REMEMBERED],
}

/// What is known of a tag.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    tag: u64,
    /// The generation of its last invalidation, 0 for a free place.
    at: u64,
    /// Until when a write whose outcome is unknown may still change what it stands for.
    unsettled: Tick,
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

    /// Notes that what carries `tag` has changed, and may go on changing until `unsettled`; [`Tick::ZERO`] where it is
    /// known what became of it.
    pub(crate) fn invalidate(&self, tag: u64, unsettled: Tick) {
        let mut bucket = self.bucket(tag).lock();
        // Under the lock, so that a bucket's generations only grow.
        let Generation(at) = self.next();
        let place = match bucket.tags.iter().position(|note| note.tag == tag && note.at > 0) {
            Some(place) => place,
            None => {
                let notes = bucket.tags.iter().copied().enumerate();
                let (place, oldest) = notes.min_by_key(|(_, note)| note.at).unwrap_or_default();
                bucket.forgotten.at = bucket.forgotten.at.max(oldest.at);
                bucket.forgotten.unsettled = bucket.forgotten.unsettled.max(oldest.unsettled);
                bucket.tags[place] = Note::default();
                place
            }
        };
        // An earlier write may still be on its way.
        let unsettled = bucket.tags[place].unsettled.max(unsettled);
        bucket.tags[place] = Note { tag, at, unsettled };
    }

    /// Whether something with these tags, loaded at `loaded`, is still good.
    pub(crate) fn is_current(&self, tags: &[u64], loaded: Generation) -> bool {
        tags.iter().all(|tag| {
            let bucket = self.bucket(*tag).lock();
            bucket.note(*tag).unwrap_or(&bucket.forgotten).at <= loaded.0
        })
    }

    /// Whether something with these tags, whose load began then, may be kept: no write may still be changing it.
    pub(crate) fn is_settled(&self, tags: &[u64], began: Tick) -> bool {
        tags.iter().all(|tag| {
            let bucket = self.bucket(*tag).lock();
            // A tag that is known again may have been forgotten while it was unsettled.
            let own = bucket.note(*tag).map_or(Tick::ZERO, |note| note.unsettled);
            own.max(bucket.forgotten.unsettled) <= began
        })
    }

    fn bucket(&self, tag: u64) -> &Mutex<Bucket> {
        &self.buckets[tag as usize % BUCKETS]
    }
}

impl Bucket {
    fn note(&self, tag: u64) -> Option<&Note> {
        self.tags.iter().find(|note| note.tag == tag && note.at > 0)
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
        generations.invalidate(1, Tick::ZERO);
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
            generations.invalidate(*tag, Tick::ZERO);
        }
        let after = generations.now();
        for tag in &tags {
            assert!(!generations.is_current(&[*tag], before), "{tag} was invalidated");
            assert!(generations.is_current(&[*tag], after), "{tag} was loaded since");
        }
    }

    #[test]
    fn what_is_loaded_while_a_tag_is_unsettled_is_not_kept() {
        let (generations, at) = (Generations::new(), Tick::from_nanos);
        generations.invalidate(1, at(100));
        assert!(!generations.is_settled(&[1], at(99)));
        assert!(generations.is_settled(&[1], at(100)));
        assert!(generations.is_settled(&[2], at(99)), "another bucket's");
        generations.invalidate(1, Tick::ZERO);
        assert!(!generations.is_settled(&[1], at(99)), "a later write's end does not end an earlier one");

        // All in its bucket: it is forgotten, and known again.
        for i in 1..100 {
            generations.invalidate(1 + i * BUCKETS as u64, Tick::ZERO);
        }
        assert!(!generations.is_settled(&[1], at(99)), "forgotten, and unsettled all the same");
        generations.invalidate(1, Tick::ZERO);
        assert!(!generations.is_settled(&[1], at(99)), "known again, and unsettled all the same");
        assert!(generations.is_settled(&[1], at(100)));
    }
}
