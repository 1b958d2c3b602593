use std::time::Duration;

use super::Totals;
use crate::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        thread_number,
    },
    units::Tick,
};

/// The outcomes of the last seconds, in a ring of buckets. The newest bucket fills while the oldest has left: the window
/// reaches back between its length less one bucket's, and its length.
///
/// A bucket's period and its failures and outcomes are one word, so that emptying it for a new period and counting into
/// it cannot come between each other. A thread that was held up for so long that its bucket has been taken for a newer
/// period drops its outcome, rather than empty what is newer.
///
/// Bounds: a bucket counts up to two million outcomes. When it is full it halves what it holds, and goes on: the shares
/// stay, and a long window of a busy service does not go blind. Periods are told apart modulo 2^22 - 1: a bucket
/// that nothing was written to for exactly that many periods or a multiple (of 1 s: 48 days), and that falls on the same
/// place of the ring, would count what it held then.
#[derive(Debug)]
pub struct TimeWindow {
    width: u64,
    length: u32,
    /// Made by the first outcome: most of many services are idle.
    first: OnceLock<Stripe>,
    /// Made when two threads are first in each other's way.
    others: OnceLock<Box<[Stripe]>>,
}

/// A ring of its own, for some of the threads: the window is the sum of all. Of two threads that count into one word each
/// waits for the other's cache line, which costs five times what counting does (62 to 110 ns a call, and 13 alone).
#[derive(Debug)]
struct Stripe(Box<[Line]>);

/// Two cache lines, as many processors fetch them, so that no two stripes share one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([Bucket; ON_LINE]);

const ON_LINE: usize = 8;
const STRIPES: usize = 8;

impl Stripe {
    fn new(buckets: u32) -> Self {
        Self((0..(buckets as usize).div_ceil(ON_LINE)).map(|_| Line::default()).collect())
    }

    fn at(&self, place: u64) -> &Bucket {
        let place = place as usize;
        &self.0[place / ON_LINE].0[place % ON_LINE]
    }
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
/// By how many rounds of the ring a thread may be late and be known for it.
const LATE_ROUNDS: u64 = 8;

impl TimeWindow {
    pub(super) fn new(length: Duration, buckets: u32) -> Self {
        let buckets = buckets.clamp(1, 1000);
        let width = (length.as_nanos() / u128::from(buckets)).clamp(1, u128::from(u64::MAX)) as u64;
        Self { width, length: buckets, first: OnceLock::new(), others: OnceLock::new() }
    }

    /// The stripe that this thread counts into.
    fn stripe(&self) -> &Stripe {
        let number = match self.others.get() {
            None => 0,
            Some(_) => thread_number() % STRIPES,
        };
        match (number, self.others.get()) {
            (1.., Some(others)) => &others[number - 1],
            _ => self.first.get_or_init(|| Stripe::new(self.length)),
        }
    }

    #[cold]
    fn widen(&self) {
        self.others.get_or_init(|| (1..STRIPES).map(|_| Stripe::new(self.length)).collect());
    }

    fn stripes(&self) -> impl Iterator<Item = &Stripe> {
        self.first.get().into_iter().chain(self.others.get().into_iter().flatten())
    }

    /// Where a period falls on the ring.
    fn place(&self, period: u64) -> u64 {
        period % u64::from(self.length)
    }

    pub(super) fn record(&self, failed: bool, slow: bool, now: Tick) {
        let period = now.as_nanos() / self.width;
        let bucket = self.stripe().at(self.place(period));
        if is_full(of_period(bucket.counts.load(Ordering::Relaxed), period)) {
            // Before the others, and perhaps by two threads: for a moment too few are slow, never too many.
            let halve = |word| {
                let slow = of_period(word, period);
                (slow != 0).then(|| stamp(period) | halved(slow))
            };
            let _ = bucket.slow.fetch_update(Ordering::Relaxed, Ordering::Relaxed, halve);
        }
        self.add(&bucket.counts, period, 1 | u64::from(failed) << BITS);
        if slow {
            self.add(&bucket.slow, period, 1);
        }
    }

    /// Adds to a word, emptying it first if it is of an earlier period.
    fn add(&self, word: &AtomicU64, period: u64, amount: u64) {
        let stamp = stamp(period);
        let mut current = word.load(Ordering::Relaxed);
        loop {
            let mut counts = of_period(current, period);
            if counts == 0 && self.is_later(current, period) {
                return;
            }
            if is_full(counts) {
                counts = halved(counts);
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
            self.widen();
        }
    }

    /// Whether a word is of a period that came a few rounds of the ring after this one. Not after any number of rounds:
    /// in a word that was long idle, half of all periods would look later.
    fn is_later(&self, word: u64, period: u64) -> bool {
        let (found, own) = (word >> (2 * BITS), stamp(period) >> (2 * BITS));
        let ahead = (found + PERIODS - 1 - own) % (PERIODS - 1);
        found != 0 && (1..=LATE_ROUNDS * u64::from(self.length)).contains(&ahead)
    }

    pub(super) fn totals(&self, now: Tick) -> Totals {
        let mut totals = Totals::default();
        let newest = now.as_nanos() / self.width;
        let oldest = (newest + 1).saturating_sub(u64::from(self.length));
        for stripe in self.stripes() {
            for period in oldest..=newest {
                let bucket = stripe.at(self.place(period));
                let counts = of_period(bucket.counts.load(Ordering::Relaxed), period);
                totals.calls += counts & MASK;
                totals.failures += (counts >> BITS) & MASK;
                totals.slow += of_period(bucket.slow.load(Ordering::Relaxed), period) & MASK;
            }
        }
        totals
    }

    pub(super) fn clear(&self) {
        for bucket in self.stripes().flat_map(|stripe| stripe.0.iter()).flat_map(|line| &line.0) {
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

fn is_full(counts: u64) -> bool {
    counts & MASK == MASK
}

/// Half of each count.
fn halved(counts: u64) -> u64 {
    (counts >> 1) & (MASK >> 1 | (MASK >> 1) << BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_keeps_its_shares_and_goes_on_counting() {
        let window = TimeWindow::new(Duration::from_secs(600), 10);
        window.record(false, false, Tick::ZERO);
        let bucket = window.first.get().expect("the first outcome made it").at(0);
        bucket.counts.store(stamp(0) | MASK | ((MASK / 10) << BITS), Ordering::Relaxed);
        bucket.slow.store(stamp(0) | (MASK / 4), Ordering::Relaxed);
        window.record(false, false, Tick::ZERO);
        let totals = window.totals(Tick::ZERO);
        assert!((0.099..0.101).contains(&totals.error_ratio()), "{totals:?}");
        assert!((0.249..0.251).contains(&totals.slow_ratio()), "{totals:?}");
        for _ in 0..MASK / 2 {
            window.record(true, false, Tick::ZERO);
        }
        let totals = window.totals(Tick::ZERO);
        assert!((0.5..0.6).contains(&totals.error_ratio()), "it is not blind: {totals:?}");
    }
}
