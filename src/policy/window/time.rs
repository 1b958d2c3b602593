use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::Totals;
use crate::units::Tick;

/// The outcomes of the last seconds, in a ring of buckets. The newest bucket fills while the oldest has left: the window
/// reaches back between its length less one bucket's, and its length.
///
/// A bucket's period and its failures and outcomes are one word, so that emptying it for a new period and counting into
/// it cannot come between each other. A bucket counts up to two million outcomes, and stays there.
#[derive(Debug)]
pub struct TimeWindow {
    width: u64,
    buckets: Box<[Bucket]>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Period, failures, outcomes.
    counts: AtomicU64,
    /// Period, slow ones.
    slow: AtomicU64,
}

const BITS: u32 = 21;
const MASK: u64 = (1 << BITS) - 1;
const PERIODS: u64 = 1 << (64 - 2 * BITS);

impl TimeWindow {
    pub(super) fn new(length: Duration, buckets: u32) -> Self {
        let buckets = buckets.clamp(1, 1000);
        let width = (length.as_nanos() / u128::from(buckets)).clamp(1, u128::from(u64::MAX)) as u64;
        Self { width, buckets: (0..buckets).map(|_| Bucket::default()).collect() }
    }

    pub(super) fn record(&self, failed: bool, slow: bool, now: Tick) {
        let period = now.as_nanos() / self.width;
        let bucket = &self.buckets[(period % self.buckets.len() as u64) as usize];
        add(&bucket.counts, period, 1 | u64::from(failed) << BITS);
        if slow {
            add(&bucket.slow, period, 1);
        }
    }

    pub(super) fn totals(&self, now: Tick) -> Totals {
        let newest = now.as_nanos() / self.width;
        let oldest = (newest + 1).saturating_sub(self.buckets.len() as u64);
        let mut totals = Totals::default();
        for period in oldest..=newest {
            let bucket = &self.buckets[(period % self.buckets.len() as u64) as usize];
            let counts = of_period(bucket.counts.load(Ordering::Relaxed), period);
            totals.calls += counts & MASK;
            totals.failures += (counts >> BITS) & MASK;
            totals.slow += of_period(bucket.slow.load(Ordering::Relaxed), period) & MASK;
        }
        totals
    }

    pub(super) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.counts.store(0, Ordering::Relaxed);
            bucket.slow.store(0, Ordering::Relaxed);
        }
    }
}

/// A word's period, shifted to its place. 0 is kept for words that were never written.
fn stamp(period: u64) -> u64 {
    (period % (PERIODS - 1) + 1) << (2 * BITS)
}

/// A word's counts, if they are of this period.
fn of_period(word: u64, period: u64) -> u64 {
    let stamp = stamp(period);
    if word & !(MASK | MASK << BITS) == stamp { word & (MASK | MASK << BITS) } else { 0 }
}

/// Adds to a word, emptying it first if it is of another period.
fn add(word: &AtomicU64, period: u64, amount: u64) {
    let stamp = stamp(period);
    let mut current = word.load(Ordering::Relaxed);
    loop {
        let counts = of_period(current, period);
        if counts & MASK == MASK {
            return;
        }
        match word.compare_exchange_weak(
            current,
            stamp | (counts + amount),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => return,
            Err(now) => current = now,
        }
    }
}
