//! Calls in a time: the generic cell rate algorithm (GCRA, from ATM's traffic management) on one atomic.
//!
//! It keeps the moment at which the next call is due if all come evenly ("theoretical arrival time"). A call may come
//! earlier by as much as the burst allows. One compare-and-swap a call, no refill task, and the time to wait falls out of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Mode;
use crate::{
    sync::atomic::{AtomicU64, Ordering},
    units::{Tick, duration},
};

/// How often a service may be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateSettings {
    /// Whether it decides.
    pub mode: Mode,
    /// Calls in each `per`. Default 100.
    pub limit: u32,
    /// The time in which `limit` calls may be made. Default 1 s.
    #[serde(with = "duration")]
    pub per: Duration,
    /// Calls that may come at once after a pause. Default 100.
    pub burst: u32,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self { mode: Mode::Enforce, limit: 100, per: Duration::from_secs(1), burst: 100 }
    }
}

/// A rate limit.
#[derive(Debug)]
pub struct Rate {
    mode: Mode,
    /// Time from one call to the next, in nanoseconds.
    interval: u64,
    /// How much earlier than due a call may come.
    tolerance: u64,
    due: AtomicU64,
}

impl Rate {
    /// A limit that nothing was taken of yet.
    pub fn new(settings: RateSettings) -> Self {
        let per = settings.per.as_nanos().min(u128::from(u64::MAX)) as u64;
        let interval = (per / u64::from(settings.limit.max(1))).max(1);
        let tolerance = interval.saturating_mul(u64::from(settings.burst.max(1)) - 1);
        Self { mode: settings.mode, interval, tolerance, due: AtomicU64::new(0) }
    }

    /// How seriously it is taken.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// From when on it is as if no token had ever been taken.
    pub fn spent_until(&self) -> Tick {
        Tick::from_nanos(self.due.load(Ordering::Relaxed))
    }

    /// When there is a token next, if there is none now. Takes nothing.
    pub fn wait(&self, now: Tick) -> Option<Duration> {
        let earliest = self.due.load(Ordering::Relaxed).saturating_sub(self.tolerance);
        (now.as_nanos() < earliest).then(|| Duration::from_nanos(earliest - now.as_nanos()))
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When there is none: the time until there is.
    pub fn take(&self, now: Tick) -> Result<(), Duration> {
        let now = now.as_nanos();
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            let earliest = due.saturating_sub(self.tolerance);
            if now < earliest {
                return Err(Duration::from_nanos(earliest - now));
            }
            let next = due.max(now).saturating_add(self.interval);
            match self.due.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(current) => due = current,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let settings = RateSettings::default();
        assert_eq!((settings.mode, settings.limit, settings.burst), (Mode::Enforce, 100, 100));
        assert_eq!(settings.per, Duration::from_secs(1));
    }

    proptest! {
        /// The same as a bucket that holds a burst of tokens and gets one back each interval.
        #[test]
        fn it_does_what_a_leaky_bucket_does(
            waits in prop::collection::vec(0_u64..400, 1..300),
            limit in 1_u32..20,
            burst in 1_u32..10,
        ) {
            let rate = Rate::new(RateSettings { limit, burst, per: Duration::from_micros(1), ..RateSettings::default() });
            let interval = 1_000 / u64::from(limit);
            // In nanoseconds' worth of tokens.
            let (mut now, mut tokens) = (0, u64::from(burst) * interval);
            for wait in waits {
                let wait = wait.saturating_sub(200);
                now += wait;
                tokens = (tokens + wait).min(u64::from(burst) * interval);
                let taken = rate.take(Tick::from_nanos(now));
                if tokens >= interval {
                    prop_assert_eq!(taken, Ok(()));
                    tokens -= interval;
                } else {
                    prop_assert_eq!(taken, Err(Duration::from_nanos(interval - tokens)));
                }
            }
        }
    }

    #[test]
    fn threads_take_no_more_than_there_is() {
        let rate = Rate::new(RateSettings { burst: 1_000, ..RateSettings::default() });
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).filter(|_| rate.take(Tick::ZERO).is_ok()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn a_burst_passes_and_then_one_an_interval() {
        let rate = Rate::new(RateSettings { limit: 10, burst: 3, ..RateSettings::default() });
        let mut now = Tick::ZERO.after(Duration::from_secs(5));
        for _ in 0..3 {
            assert_eq!(rate.take(now), Ok(()));
        }
        assert_eq!(rate.take(now), Err(Duration::from_millis(100)));
        now = now.after(Duration::from_millis(100));
        assert_eq!(rate.take(now), Ok(()));
        assert_eq!(rate.take(now), Err(Duration::from_millis(100)));
    }

    #[test]
    fn no_second_lets_more_pass_than_limit_and_burst() {
        let rate = Rate::new(RateSettings { limit: 50, burst: 5, ..RateSettings::default() });
        let passed =
            (0..1_000_000_000_u64).step_by(100_000).filter(|t| rate.take(Tick::from_nanos(*t)).is_ok());
        assert_eq!(passed.count(), 50 + 5 - 1);
    }
}
