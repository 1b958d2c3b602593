use super::Totals;
use crate::sync::{
    OnceLock,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

/// The outcomes of the last calls: a ring in which each new one replaces the oldest, and corrects the totals by the
/// difference.
///
/// A thread that has put its outcome into the ring, and is interrupted before it corrects the totals, leaves them off by
/// that one until it goes on; meanwhile another may take that same outcome out again. So the totals may go below nothing
/// for a moment. Each is kept with a bias, lest it borrow from its neighbour and read as two million failures, which
/// would open a breaker. What is read is off by at most one outcome for each thread that is recording.
#[derive(Debug)]
pub struct CountWindow {
    calls: u32,
    /// Made by the first outcome: most of many services are idle.
    outcomes: OnceLock<Box<[AtomicU8]>>,
    next: AtomicU64,
    /// Calls, failures and slow ones, 21 bits each, so that they change together; each from `BIAS` up.
    totals: AtomicU64,
}

const RECORDED: u8 = 1;
const FAILED: u8 = 2;
const SLOW: u8 = 4;

const BITS: u32 = 21;
const MASK: u64 = (1 << BITS) - 1;
/// Room below for half a million threads, and above for the most calls that a window has.
const BIAS: u64 = 1 << (BITS - 2);
const EMPTY: u64 = BIAS | BIAS << BITS | BIAS << (2 * BITS);
const _: () = assert!(super::MOST_CALLS as u64 + BIAS + BIAS <= MASK);

fn packed(outcome: u8) -> u64 {
    u64::from(outcome & RECORDED != 0)
        | u64::from(outcome & FAILED != 0) << BITS
        | u64::from(outcome & SLOW != 0) << (2 * BITS)
}

impl CountWindow {
    pub(super) fn new(calls: u32) -> Self {
        Self {
            calls: calls.max(1),
            outcomes: OnceLock::new(),
            next: AtomicU64::new(0),
            totals: AtomicU64::new(EMPTY),
        }
    }

    pub(super) fn record(&self, failed: bool, slow: bool) {
        let outcome = RECORDED | if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        let outcomes = self.outcomes.get_or_init(|| (0..self.calls).map(|_| AtomicU8::new(0)).collect());
        let place = self.next.fetch_add(1, Ordering::Relaxed) % outcomes.len() as u64;
        let replaced = outcomes[place as usize].swap(outcome, Ordering::Relaxed);
        self.totals.fetch_add(packed(outcome).wrapping_sub(packed(replaced)), Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        let totals = self.totals.load(Ordering::Relaxed);
        let field = |place: u32| ((totals >> (place * BITS)) & MASK).saturating_sub(BIAS);
        Totals { calls: field(0), failures: field(1), slow: field(2) }
    }

    pub(super) fn clear(&self) {
        for outcome in self.outcomes.get().into_iter().flatten() {
            let replaced = outcome.swap(0, Ordering::Relaxed);
            self.totals.fetch_sub(packed(replaced), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_caught_between_ring_and_totals_makes_no_millions_of_failures() {
        let window = CountWindow::new(1);
        window.record(true, true);
        // That thread has put its failure into the ring, and no more.
        window.totals.store(EMPTY, Ordering::Relaxed);
        window.record(false, false);
        let totals = window.totals();
        assert_eq!((totals.calls, totals.failures, totals.slow), (0, 0, 0));
        // It goes on.
        window.totals.fetch_add(packed(RECORDED | FAILED | SLOW), Ordering::Relaxed);
        let totals = window.totals();
        assert_eq!((totals.calls, totals.failures, totals.slow), (1, 0, 0));
    }
}
