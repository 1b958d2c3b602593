//! Durations, counted so that any quantile can be read with a bounded error.
//!
//! Buckets grow with the durations they hold: sixteen to each doubling, as in HdrHistogram. A quantile is at most a
//! sixteenth (6.25 %) above the true one, from 1 us to two minutes; below that at most 64 ns. Recording is two atomic
//! additions. A histogram has 3.5 KB.

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// The finest step: 2^6 = 64 ns.
const UNIT_BITS: u32 = 6;
/// Buckets to each doubling: 2^4.
const SUB_BITS: u32 = 4;
const SUBS: u64 = 1 << SUB_BITS;
/// The longest durations, from 137 s on, share the last bucket.
const BUCKETS: usize = ((31 - SUB_BITS + 1) as usize) << SUB_BITS;

/// A histogram of durations.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }
}

/// The bucket of a duration in nanoseconds.
fn bucket_of(nanos: u64) -> usize {
    let units = nanos >> UNIT_BITS;
    if units < SUBS {
        return units as usize;
    }
    let exponent = units.ilog2();
    let sub = (units >> (exponent - SUB_BITS)) & (SUBS - 1);
    let index = u64::from(exponent - SUB_BITS + 1) * SUBS + sub;
    (index as usize).min(BUCKETS - 1)
}

/// The end of a bucket in nanoseconds: all that it holds is shorter.
fn end_of(bucket: usize) -> u64 {
    let (group, sub) = (bucket as u64 / SUBS, bucket as u64 % SUBS);
    let units = if group == 0 { sub + 1 } else { (SUBS + sub + 1) << (group - 1) };
    units << UNIT_BITS
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(nanos)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Counts a duration of nothing, for half of what [`record`](Self::record) costs.
    pub fn record_none(&self) {
        self.buckets[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets all. What is counted at the same moment may or may not survive.
    pub(super) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
        self.sum.store(0, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum.load(Ordering::Relaxed))
    }

    /// The duration that a share `q`, from 0 to 1, of all is not above; `None` if none was counted.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        Quantiles::of([self]).at(q)
    }

    /// The buckets: the longest duration that each holds, and how many it does.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        counts.enumerate().map(|(bucket, count)| (Duration::from_nanos(end_of(bucket)), count))
    }

    /// How many were at most this long, to within the width of a bucket.
    pub fn count_up_to(&self, limit: Duration) -> u64 {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[..=bucket_of(nanos)].iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

/// The quantiles of several histograms taken together, as of one moment.
#[derive(Debug)]
pub struct Quantiles {
    counts: Vec<u64>,
    total: u64,
}

impl Quantiles {
    /// Reads the histograms.
    pub fn of<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let mut counts = vec![0; BUCKETS];
        for histogram in histograms {
            for (count, bucket) in counts.iter_mut().zip(&histogram.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
        }
        let total = counts.iter().sum();
        Self { counts, total }
    }

    /// What was counted between an earlier reading and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts: Vec<u64> =
            self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then)).collect();
        let total = counts.iter().sum();
        Self { counts, total }
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration that a share `q`, from 0 to 1, of all is not above; `None` without any.
    pub fn at(&self, q: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(end_of(bucket)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_sixteenth_above_the_true_one(
            mut nanos in prop::collection::vec(1_000_u64..100_000_000_000, 1..200),
            q in 0.0_f64..=1.0,
        ) {
            let histogram = Histogram::default();
            for n in &nanos {
                histogram.record(Duration::from_nanos(*n));
            }
            nanos.sort_unstable();
            let rank = ((q * nanos.len() as f64).ceil() as usize).clamp(1, nanos.len());
            let truth = nanos[rank - 1] as f64;
            let read = histogram.quantile(q).map_or(0.0, |d| d.as_nanos() as f64);
            prop_assert!(read > truth && read <= truth * (1.0 + 1.0 / 16.0) + 64.0, "{read} for {truth}");
        }
    }

    #[test]
    fn buckets_join_without_a_gap() {
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(end_of(bucket) - 1), bucket);
            assert_eq!(bucket_of(end_of(bucket)), bucket + 1);
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_is_beyond_its_range_is_counted_at_its_end() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        histogram.record(Duration::ZERO);
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_nanos(64)));
        let longest = histogram.quantile(1.0).map(|longest| longest.as_secs());
        assert_eq!(longest, Some(137));
        assert_eq!(histogram.quantile(f64::NAN), Some(Duration::from_nanos(64)));
        assert_eq!(histogram.count_up_to(Duration::MAX), 2);
    }

    #[test]
    fn a_reading_tells_what_came_since_an_earlier_one() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_secs(1));
        let earlier = Quantiles::of([&histogram]);
        histogram.record(Duration::from_millis(1));
        let since = Quantiles::of([&histogram]).since(&earlier);
        assert_eq!(since.count(), 1);
        assert!(since.at(1.0) < Some(Duration::from_millis(2)));
    }

    #[test]
    fn counts_and_sums_are_exact() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(1));
        histogram.record(Duration::from_secs(3600));
        assert_eq!((histogram.count(), histogram.sum()), (2, Duration::from_millis(3_600_001)));
        assert_eq!(histogram.count_up_to(Duration::from_millis(2)), 1);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
