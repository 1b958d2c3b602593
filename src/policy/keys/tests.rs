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
