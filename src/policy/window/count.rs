use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Totals;

/// The outcomes of the last calls: a ring in which each new one replaces the oldest, and corrects the totals by the
/// difference.
#[derive(Debug)]
pub struct CountWindow {
    outcomes: Box<[AtomicU8]>,
    next: AtomicU64,
    /// Calls, failures and slow ones, 21 bits each, so that they change together.
    totals: AtomicU64,
}

const RECORDED: u8 = 1;
const FAILED: u8 = 2;
const SLOW: u8 = 4;

const BITS: u32 = 21;
const MASK: u64 = (1 << BITS) - 1;

fn packed(outcome: u8) -> u64 {
    u64::from(outcome & RECORDED != 0)
        | u64::from(outcome & FAILED != 0) << BITS
        | u64::from(outcome & SLOW != 0) << (2 * BITS)
}

impl CountWindow {
    pub(super) fn new(calls: u32) -> Self {
        Self {
            outcomes: (0..calls.max(1)).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicU64::new(0),
            totals: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, failed: bool, slow: bool) {
        let outcome = RECORDED | if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.outcomes.len() as u64;
        let replaced = self.outcomes[place as usize].swap(outcome, Ordering::Relaxed);
        // Each field only loses what was added to it before, so none borrows from its neighbour for good.
        self.totals.fetch_add(packed(outcome).wrapping_sub(packed(replaced)), Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        let totals = self.totals.load(Ordering::Relaxed);
        Totals {
            calls: totals & MASK,
            failures: (totals >> BITS) & MASK,
            slow: (totals >> (2 * BITS)) & MASK,
        }
    }

    pub(super) fn clear(&self) {
        for outcome in &self.outcomes {
            let replaced = outcome.swap(0, Ordering::Relaxed);
            self.totals.fetch_sub(packed(replaced), Ordering::Relaxed);
        }
    }
}
