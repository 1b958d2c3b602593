//! The clock, as two processes can compare it, and quantiles of durations.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Now, by the clock that does not jump.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The same clock as nanoseconds since the system's start: what a server's process writes and the stage's reads.
pub(crate) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) =
        (u64::try_from(time.tv_sec).unwrap_or_default(), u64::try_from(time.tv_nsec).unwrap_or_default());
    seconds * 1_000_000_000 + nanos
}

/// Turns the nanoseconds of another process into this one's instants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    instant: Instant,
    ns: u64,
}

impl Epoch {
    pub(crate) fn now() -> Self {
        Self { instant: now(), ns: now_ns() }
    }

    pub(crate) fn instant(self, ns: u64) -> Instant {
        match ns.checked_sub(self.ns) {
            Some(later) => self.instant + Duration::from_nanos(later),
            None => self.instant.checked_sub(Duration::from_nanos(self.ns - ns)).unwrap_or(self.instant),
        }
    }
}

/// The quantile of some durations; zero of none.
pub(crate) fn quantile(mut durations: Vec<Duration>, q: f64) -> Duration {
    durations.sort_unstable();
    let rank = (q * durations.len() as f64).ceil() as usize;
    durations.get(rank.saturating_sub(1).min(durations.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Milliseconds with two digits behind the point.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_durations_given() {
        let durations: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(durations.clone(), 0.5), Duration::from_millis(50));
        assert_eq!(quantile(durations.clone(), 0.99), Duration::from_millis(99));
        assert_eq!(quantile(durations, 1.0), Duration::from_millis(100));
        assert_eq!(quantile(Vec::new(), 0.99), Duration::ZERO);
    }
}
