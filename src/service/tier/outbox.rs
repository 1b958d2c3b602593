//! What was invalidated here and the tier has not heard of yet.
//!
//! An invalidation takes effect in this process at once, and in the tier when it hears of it. In between the tier still has
//! what was voided, and this process must not take it back from there: whatever is in the outbox is neither read from the
//! tier nor put there. A tier that cannot be reached hears of it when it can be: nothing is forgotten, for what is too much
//! to remember by tag is remembered for its whole service. Other processes hear of it from the tier, so until then they may
//! serve what is old, for its time to live at most; and if this process ends before, they do so too.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use crate::{downstream::TierPlace, units::Tick};

/// Invalidations that may be waiting at once, before all of a service's become one.
const MOST: usize = 1024;

/// Of one service, told at once at most.
const BATCH: usize = 64;

/// The name of a service's own epoch.
pub(super) const SERVICE: &str = "s";

#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<Arc<str>, BTreeMap<Box<str>, Waiting>>,
    count: usize,
    serial: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Until when the epoch is to be held.
    held: Tick,
    /// Which time it was put in: once more means once more.
    serial: u64,
}

/// Invalidations of one service, to be told at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) group: Arc<str>,
    pub(super) epochs: Vec<Box<str>>,
    serials: Vec<u64>,
    pub(super) held: Tick,
}

impl Outbox {
    /// Puts one in.
    pub(super) fn add(&mut self, group: &Arc<str>, epoch: Box<str>, held: Tick) {
        self.serial += 1;
        let new = Waiting { held, serial: self.serial };
        let of_group = self.waiting.entry(Arc::clone(group)).or_default();
        match of_group.get_mut(&epoch) {
            Some(waiting) => *waiting = Waiting { held: waiting.held.max(held), ..new },
            None if self.count >= MOST && &*epoch != SERVICE => {
                let held = of_group.values().map(|waiting| waiting.held).fold(held, Tick::max);
                self.count -= of_group.len();
                of_group.clear();
                of_group.insert(SERVICE.into(), Waiting { held, ..new });
                self.count += 1;
            }
            None => {
                of_group.insert(epoch, new);
                self.count += 1;
            }
        }
    }

    /// Whether any of it is about what lies here.
    pub(super) fn is_about(&self, place: &TierPlace) -> bool {
        self.waiting.get(&place.group).is_some_and(|of_group| {
            place.epochs.iter().any(|epoch| of_group.contains_key(epoch)) || of_group.contains_key(SERVICE)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The next to be told: of the first service after this one, and of the first of all after the last. So one that cannot
    /// be told of does not stand before the others.
    pub(super) fn next(&self, after: Option<&Arc<str>>) -> Option<Batch> {
        let later = after.and_then(|after| self.waiting.range((Excluded(after.clone()), Unbounded)).next());
        let (group, of_group) = later.or_else(|| self.waiting.first_key_value())?;
        let batch = || of_group.iter().take(BATCH);
        Some(Batch {
            group: Arc::clone(group),
            epochs: batch().map(|(epoch, _)| epoch.clone()).collect(),
            serials: batch().map(|(_, waiting)| waiting.serial).collect(),
            held: batch().map(|(_, waiting)| waiting.held).max().unwrap_or(Tick::ZERO),
        })
    }

    /// The tier has heard of it.
    pub(super) fn heard(&mut self, batch: &Batch) {
        let Some(of_group) = self.waiting.get_mut(&batch.group) else { return };
        for (epoch, serial) in batch.epochs.iter().zip(&batch.serials) {
            if of_group.get(epoch).is_some_and(|waiting| waiting.serial == *serial) {
                of_group.remove(epoch);
                self.count -= 1;
            }
        }
        if of_group.is_empty() {
            self.waiting.remove(&batch.group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group: &str, epochs: &[&str]) -> TierPlace {
        TierPlace {
            namespace: "fleet".into(),
            group: group.into(),
            key: Box::default(),
            epochs: epochs.iter().map(|epoch| Box::from(*epoch)).collect(),
        }
    }

    #[test]
    fn what_is_put_in_again_while_it_is_told_is_told_again() {
        let (mut outbox, users) = (Outbox::default(), Arc::from("users"));
        outbox.add(&users, "t1".into(), Tick::ZERO);
        let first = outbox.next(None).expect("one waits");
        outbox.add(&users, "t1".into(), Tick::from_nanos(7));
        outbox.heard(&first);
        assert!(outbox.is_about(&place("users", &["s", "t1"])));
        let second = outbox.next(None).expect("once more");
        assert_eq!((second.epochs.len(), second.held), (1, Tick::from_nanos(7)));
        outbox.heard(&second);
        assert_eq!((outbox.len(), outbox.next(None)), (0, None));
        assert!(!outbox.is_about(&place("users", &["s", "t1"])));
    }

    #[test]
    fn one_service_that_cannot_be_told_of_does_not_stand_before_the_others() {
        let mut outbox = Outbox::default();
        for group in ["a", "b", "c"] {
            outbox.add(&Arc::from(group), "t1".into(), Tick::ZERO);
        }
        let mut after = None;
        let mut tried = || {
            after = Some(outbox.next(after.as_ref()).expect("they wait").group);
            after.clone().expect("the last")
        };
        assert_eq!([tried(), tried(), tried(), tried()].map(|group| group.to_string()), ["a", "b", "c", "a"]);
    }

    #[test]
    fn what_is_too_much_is_all_of_its_service_and_of_no_other() {
        let (mut outbox, users) = (Outbox::default(), Arc::from("users"));
        outbox.add(&Arc::from("orders"), "t1".into(), Tick::ZERO);
        for tag in 0..100_000 {
            outbox.add(&users, format!("t{tag}").into(), Tick::from_nanos(tag));
            assert!(outbox.len() <= MOST + 1);
        }
        assert!(outbox.is_about(&place("users", &["s", "never named"])));
        assert!(!outbox.is_about(&place("orders", &["s", "t2"])));
        let mut held = Tick::ZERO;
        while let Some(batch) = outbox.next(None) {
            assert!(batch.epochs.len() <= BATCH);
            held = held.max(batch.held);
            outbox.heard(&batch);
        }
        assert_eq!((outbox.len(), held), (0, Tick::from_nanos(99_999)));
    }
}
