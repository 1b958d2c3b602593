use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// A downstream that can do only so much: it has some places, each call takes one for a while, and who finds none waits,
/// the first to come first.
///
/// It works for whoever asked, whether or not they are still there when it is done: that is what makes overload last.
/// Cloning gives another handle to the same.
///
/// ```
/// use std::time::Duration;
/// use seawall_testkit::{Behaviour, Capacity, Reaction};
///
/// # seawall_testkit::virtual_time(async || {
/// // 200 calls a second, each of which takes from 40 to 60 ms.
/// let capacity = Capacity::new(10, Duration::from_millis(40)..Duration::from_millis(60));
/// let behaviour = Behaviour::new(move |_| Reaction::Reply.after(capacity.take()));
/// # let _ = behaviour;
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Capacity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// When each place is next free.
    free: Vec<Instant>,
    shortest: Duration,
    spread: Duration,
    random: u64,
}

impl Capacity {
    /// So many places, in each of which a call takes a time of this range, at random and the same each run.
    ///
    /// # Panics
    /// Without a place.
    pub fn new(places: usize, time: std::ops::Range<Duration>) -> Self {
        assert!(places > 0, "a downstream without a place answers nobody");
        let spread = time.end.saturating_sub(time.start);
        let free = vec![Instant::now(); places];
        Self(Arc::new(Mutex::new(State { free, shortest: time.start, spread, random: 7 })))
    }

    /// Takes the place that is free first; how long it is from now until the call there is done.
    #[must_use]
    pub fn take(&self) -> Duration {
        let now = Instant::now();
        let mut state = self.0.lock();
        // A linear congruential generator (Knuth's MMIX), whose upper half is good enough here.
        state.random =
            state.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let time = state.shortest + state.spread.mul_f64((state.random >> 32) as f64 / f64::from(u32::MAX));
        let Some(first) = state.free.iter_mut().min() else { return time };
        *first = now.max(*first) + time;
        *first - now
    }

    /// How long a call would wait that came now.
    pub fn wait(&self) -> Duration {
        let state = self.0.lock();
        state
            .free
            .iter()
            .min()
            .map_or(Duration::ZERO, |first| first.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_finds_no_place_waits_for_the_first_that_is_free() {
        virtual_time(async || {
            let capacity = Capacity::new(2, 50 * MS..50 * MS);
            let take = || capacity.take().as_millis();
            assert_eq!([take(), take(), take(), take(), take()], [50, 50, 100, 100, 150]);
            tokio::time::sleep(80 * MS).await;
            assert_eq!(capacity.wait(), 20 * MS);
            assert_eq!([take(), take()], [70, 120]);
        });
    }

    #[test]
    fn calls_take_a_time_of_the_range() {
        virtual_time(async || {
            let took: Vec<_> = (0..100).map(|_| Capacity::new(1, 40 * MS..60 * MS)).collect();
            assert!(took.iter().all(|one| (40 * MS..=60 * MS).contains(&one.take())));
            let capacity = Capacity::new(1000, 40 * MS..60 * MS);
            let sum: Duration = (0..1000).map(|_| capacity.take()).sum();
            assert!((49 * MS..51 * MS).contains(&(sum / 1000)), "{sum:?}");
        });
    }
}
