//! Durations of late: a digest that forgets.
//!
//! What a call took an hour ago says little about what it takes now. So there are two histograms, each for half of the
//! window: one fills while the other still counts, and whoever first comes in a new half empties the older one. Nothing
//! ticks, and a reading covers between half of the window and all of it. Quantiles are as exact as the histograms'
//! (a sixteenth above the true one at most). A duration that comes while its half is being emptied may be lost: one a
//! thread and half. Made by the first duration: 7 KB.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::latency::{Histogram, Quantiles};
use crate::units::Tick;

/// The durations of a window of time.
#[derive(Debug)]
pub struct Recent {
    /// Half of the window, in nanoseconds.
    half: u64,
    halves: OnceLock<Box<[Half; 2]>>,
}

#[derive(Debug, Default)]
struct Half {
    /// Which half of all time it holds, counted from 1; 0 before its first.
    period: AtomicU64,
    durations: Histogram,
}

impl Recent {
    /// A window of this length, without any durations.
    pub fn new(window: Duration) -> Self {
        let half = (window.as_nanos() / 2).clamp(1, u128::from(u64::MAX)) as u64;
        Self { half, halves: OnceLock::new() }
    }

    /// Counts one duration.
    pub fn record(&self, duration: Duration, now: Tick) {
        let period = self.period(now);
        let half = &self.halves.get_or_init(Box::default)[(period % 2) as usize];
        if half.period.load(Ordering::Acquire) != period {
            let before = half.period.fetch_max(period, Ordering::AcqRel);
            if before > period {
                // Held up for so long that its half is over.
                return;
            }
            if before < period {
                half.durations.clear();
            }
        }
        half.durations.record(duration);
    }

    /// The durations that the window holds now.
    pub fn read(&self, now: Tick) -> Quantiles {
        let newest = self.period(now);
        let halves = self.halves.get().map_or(&[][..], |halves| &halves[..]);
        let current = halves.iter().filter(|half| {
            let period = half.period.load(Ordering::Acquire);
            period == newest || period + 1 == newest
        });
        Quantiles::of(current.map(|half| &half.durations))
    }

    fn period(&self, now: Tick) -> u64 {
        now.as_nanos() / self.half + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(ms))
    }

    proptest! {
        /// The same as a list of durations with their times, of which the last two halves count.
        #[test]
        fn it_does_what_a_list_does(
            steps in prop::collection::vec((0_u64..4_000, 1_u64..5_000), 1..200),
            q in 0.0_f64..=1.0,
        ) {
            let recent = Recent::new(Duration::from_secs(10));
            let (mut list, mut now) = (Vec::new(), 0);
            for (wait, took) in steps {
                // Mostly many at once.
                now += wait.saturating_sub(3_000);
                recent.record(Duration::from_millis(took), at(now));
                list.push((now / 5_000, took));
                let mut known: Vec<u64> =
                    list.iter().filter(|(half, _)| half + 1 >= now / 5_000).map(|(_, took)| *took).collect();
                known.sort_unstable();
                let read = recent.read(at(now));
                prop_assert_eq!(read.count(), known.len() as u64);
                let rank = ((q * known.len() as f64).ceil() as usize).clamp(1, known.len());
                let truth = known[rank - 1] as f64;
                let told = read.at(q).map_or(0.0, |told| told.as_secs_f64() * 1e3);
                prop_assert!(told > truth && told <= truth * (1.0 + 1.0 / 16.0) + 1e-3, "{told} for {truth}");
            }
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let recent = Recent::new(Duration::from_secs(10));
        assert_eq!(recent.read(at(0)).count(), 0);
        recent.record(Duration::from_secs(1), at(4_999));
        assert_eq!(recent.read(at(9_999)).count(), 1);
        assert_eq!(recent.read(at(10_000)).count(), 0);
        recent.record(Duration::from_secs(1), at(20_000));
        assert_eq!(recent.read(at(20_000)).count(), 1, "its half was emptied first");
        recent.record(Duration::from_secs(1), at(5_000));
        assert_eq!(recent.read(at(20_000)).count(), 1, "who comes a round too late does not count");
    }

    /// Two who begin a new half at once: one of theirs may be lost, and nothing old is left.
    #[test]
    fn threads_that_begin_a_new_half_leave_nothing_of_the_old_one() {
        let recent = Recent::new(Duration::from_secs(2));
        for second in (1_u64..2_000).step_by(2) {
            let (now, start) = (Tick::from_nanos(second * 1_000_000_000), std::sync::Barrier::new(2));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        start.wait();
                        recent.record(Duration::from_millis(1), now);
                    });
                }
            });
            let count = recent.read(now).count();
            assert!((1..=2).contains(&count), "{count} in second {second}");
        }
    }
}
