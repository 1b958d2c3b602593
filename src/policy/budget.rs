//! The retry budget: what keeps retries from making an outage worse.
//!
//! With two attempts a call, a downstream that fails everything is asked twice as often, at the moment it can least bear
//! it. So each call pays a share of a retry into the budget, and each retry takes a whole one out: over all, retries stay
//! within that share of calls, plus a floor that lets a quiet service retry at all. In the manner of Finagle's
//! `RetryBudget`; its remembered time is here a cap on what can be saved up, so that an hour of calm is not spent at once.
//! Lock-free, and nothing ticks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    units::{Ratio, Tick, duration},
};

/// What retries may cost. One for a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetSettings {
    /// Retries over calls, at most. Default 20 %.
    pub ratio: Ratio,
    /// Retries a second that are always allowed. Default 10.
    pub minimum_per_second: u32,
    /// How long calls count. Default 10 s.
    #[serde(with = "duration")]
    pub window: Duration,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { ratio: Ratio::percent(20), minimum_per_second: 10, window: Duration::from_secs(10) }
    }
}

/// One retry, in thousandths: a call's share of one is a whole number of them.
const RETRY: u64 = 1000;

/// How many slots the window has: what was paid in leaves a tenth of it at a time.
const SLOTS: u64 = 10;

/// A service's retry budget.
#[derive(Debug)]
pub struct RetryBudget {
    share: u64,
    floor: u64,
    width: u64,
    /// By slot: the period in the upper half, thousandths paid in less those taken out in the lower, from 2^31 up.
    /// Made by the first call: an idle service has none.
    slots: OnceLock<Box<[AtomicU64; SLOTS as usize]>>,
}

const ZERO: u64 = 1 << 31;
const HALF: u64 = u32::MAX as u64;

impl RetryBudget {
    /// A budget with its floor to spend.
    pub fn new(settings: BudgetSettings) -> Self {
        let window = settings.window.max(Duration::from_secs(1));
        Self {
            share: (settings.ratio.get() * RETRY as f64).round() as u64,
            // A thousandth of a retry a millisecond is one a second.
            floor: u64::from(settings.minimum_per_second.min(100_000))
                * (window.as_millis().min(3_600_000) as u64),
            width: (window.as_nanos() / u128::from(SLOTS)).min(u128::from(u64::MAX)) as u64,
            slots: OnceLock::new(),
        }
    }

    /// A call pays its share in.
    pub fn deposit(&self, now: Tick) {
        self.change(now, self.share as i64);
    }

    /// A retry is paid out; `false` if the budget is spent.
    pub fn withdraw(&self, now: Tick) -> bool {
        // Two threads may both see the last retry and take it: the budget is overdrawn by a thread's one, and pays it back.
        let enough = self.balance(now) >= RETRY as i64;
        if enough {
            self.change(now, -(RETRY as i64));
        }
        enough
    }

    /// What is left, from 0 to 1 of what an idle service may spend.
    pub fn left(&self, now: Tick) -> f64 {
        if self.floor == 0 {
            return if self.balance(now) >= RETRY as i64 { 1.0 } else { 0.0 };
        }
        (self.balance(now) as f64 / self.floor as f64).clamp(0.0, 1.0)
    }

    fn balance(&self, now: Tick) -> i64 {
        let Some(slots) = self.slots.get() else { return self.floor as i64 };
        let newest = now.as_nanos() / self.width;
        let oldest = (newest + 1).saturating_sub(SLOTS);
        let saved: i64 = (oldest..=newest)
            .map(|period| {
                let word = slots[(period % SLOTS) as usize].load(Ordering::Relaxed);
                if word >> 32 == (period + 1) & HALF { (word & HALF) as i64 - ZERO as i64 } else { 0 }
            })
            .sum();
        saved + self.floor as i64
    }

    fn change(&self, now: Tick, amount: i64) {
        let period = now.as_nanos() / self.width;
        let slot = &self.slots.get_or_init(Box::default)[(period % SLOTS) as usize];
        let stamp = ((period + 1) & HALF) << 32;
        let mut word = slot.load(Ordering::Relaxed);
        loop {
            let balance = if word & (HALF << 32) == stamp { word & HALF } else { ZERO };
            let changed = balance.saturating_add_signed(amount).min(HALF);
            match slot.compare_exchange_weak(word, stamp | changed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(ms))
    }

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let settings = BudgetSettings::default();
        assert_eq!((settings.ratio, settings.minimum_per_second), (Ratio::percent(20), 10));
        assert_eq!(settings.window, Duration::from_secs(10));
    }

    #[test]
    fn a_window_of_a_second_and_a_half_has_a_floor_of_one_and_a_half_seconds() {
        let window = Duration::from_millis(1_500);
        let budget = RetryBudget::new(BudgetSettings { window, ..BudgetSettings::default() });
        assert_eq!((0..100).filter(|_| budget.withdraw(at(0))).count(), 15);
    }

    proptest! {
        /// Everything paid in and out is remembered with its time, and counts for as long as its tenth of the window.
        #[test]
        fn it_does_what_a_ledger_does(
            steps in prop::collection::vec((0_u64..2_500, any::<bool>()), 1..500),
            percent in 0_u8..=100,
            minimum_per_second in 0_u32..4,
        ) {
            let settings =
                BudgetSettings { ratio: Ratio::percent(percent), minimum_per_second, ..BudgetSettings::default() };
            let budget = RetryBudget::new(settings);
            let mut ledger: Vec<(u64, i64)> = Vec::new();
            let mut now = 0;
            for (wait, retries) in steps {
                // Mostly many at once.
                now += wait.saturating_sub(2_000);
                let period = |ms: u64| ms / 1_000;
                let balance = i64::from(minimum_per_second) * 10_000
                    + ledger.iter().filter(|(at, _)| period(*at) + 10 > period(now)).map(|(_, n)| n).sum::<i64>();
                if retries {
                    prop_assert_eq!(budget.withdraw(at(now)), balance >= 1_000);
                    if balance >= 1_000 {
                        ledger.push((now, -1_000));
                    }
                } else {
                    budget.deposit(at(now));
                    ledger.push((now, i64::from(percent) * 10));
                }
                prop_assert!((0.0..=1.0).contains(&budget.left(at(now))));
            }
        }
    }

    #[test]
    fn retries_stay_within_the_share_of_calls_and_the_floor() {
        let budget = RetryBudget::new(BudgetSettings::default());
        let mut retries = 0;
        for call in 0..10_000 {
            budget.deposit(at(call));
            retries += u64::from(budget.withdraw(at(call)));
        }
        // 10 s at 1,000 calls/s, all of which want a retry.
        assert!((2_000..=2_101).contains(&retries), "{retries}");
    }

    #[test]
    fn a_quiet_service_has_its_floor_again_after_the_window() {
        let budget = RetryBudget::new(BudgetSettings::default());
        let spend = |now| (0..1000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(spend(at(0)), 100);
        assert_eq!(spend(at(5_000)), 0);
        assert!(budget.left(at(5_000)) < 0.01);
        assert_eq!(spend(at(10_000)), 100);
    }

    #[test]
    fn an_hour_of_calm_is_not_spent_at_once() {
        let budget = RetryBudget::new(BudgetSettings { minimum_per_second: 0, ..BudgetSettings::default() });
        for second in 0..3600 {
            budget.deposit(at(second * 1000));
        }
        assert_eq!((0..1000).filter(|_| budget.withdraw(at(3_599_000))).count(), 2);
    }
}
