//! Faults on purpose: what an attempt suffers that its downstream did nothing to deserve.
//!
//! A fallback that was never needed was never tested. With this a service in staging fails, dawdles, hangs and refuses by
//! as much as is said, and breaker, retry and fallback see it as real: it stands where the attempt would be made, so
//! that an injected failure is counted, retried and told like any other. After Netflix's Latency Monkey and the chaos
//! strategies of Polly; unlike these it has one draw for each attempt, not one for each fault, so that the shares are of
//! all attempts and can be added up: a tenth refused and a tenth failed is a fifth.
//!
//! A delay meets every attempt that is not refused, and comes before its other fault: a downstream that is about to fail
//! is slow first.
//!
//! The nth draw of a seed is always the same, so that what was found once is found again. Without a seed, the runtime's
//! own randomness gives one.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::units::{Ratio, duration};

/// What attempts suffer on purpose. The shares are of all attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultSettings {
    /// Attempts that fail as if a connection broke, blamed on the downstream. Default none.
    pub fail: Ratio,
    /// How much later every attempt is made, within its deadline. Default 0 s.
    #[serde(with = "duration")]
    pub delay: Duration,
    /// Attempts that get no answer until their deadline. Default none.
    pub hang: Ratio,
    /// Attempts that are refused before they are made. Default none.
    pub reject: Ratio,
    /// Whose faults they are: the same seed gives the same ones in the same order. Default `false`: the runtime's own.
    pub seed: Option<u64>,
}

impl Default for FaultSettings {
    fn default() -> Self {
        Self { fail: Ratio::NONE, delay: Duration::ZERO, hang: Ratio::NONE, reject: Ratio::NONE, seed: None }
    }
}

impl FaultSettings {
    /// Whether nothing is ever injected.
    pub fn is_idle(&self) -> bool {
        self.delay.is_zero() && self.shares() == 0.0
    }

    /// What share of all attempts fails, hangs or is refused, from 0 to 3: above 1 the settings make no sense.
    pub fn shares(&self) -> f64 {
        self.reject.get() + self.hang.get() + self.fail.get()
    }

    /// What an attempt suffers whose number is `random`, of all 64 bits.
    pub fn judge(&self, random: u64) -> Option<Fault> {
        // The 53 bits that a float holds exactly: from 0 to just below 1.
        let at = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let mut end = 0.0;
        [(Fault::Reject, self.reject), (Fault::Hang, self.hang), (Fault::Fail, self.fail)]
            .into_iter()
            .find(|(_, share)| {
                end += share.get();
                at < end
            })
            .map(|(fault, _)| fault)
    }
}

impl fmt::Display for FaultSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = [("reject", self.reject), ("hang", self.hang), ("fail", self.fail)];
        let said = shares.into_iter().filter(|(_, share)| *share != Ratio::NONE);
        let said = said.map(|(word, share)| format!("{word} {share}"));
        let delay =
            (!self.delay.is_zero()).then(|| format!("delay {}", humantime::format_duration(self.delay)));
        f.write_str(&delay.into_iter().chain(said).collect::<Vec<_>>().join(", "))
    }
}

/// What an attempt suffers, besides the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// It is refused before it is made.
    Reject,
    /// It gets no answer.
    Hang,
    /// It fails.
    Fail,
}

/// Faults being drawn.
#[derive(Debug)]
pub struct Faults {
    settings: FaultSettings,
    seed: u64,
    drawn: AtomicU64,
}

impl Faults {
    /// Faults of which none was drawn yet; `seed` stands in for one that the settings do not say.
    pub fn new(settings: FaultSettings, seed: u64) -> Self {
        let seed = settings.seed.unwrap_or(seed);
        Self { settings, seed, drawn: AtomicU64::new(0) }
    }

    /// What they are drawn by.
    pub fn settings(&self) -> &FaultSettings {
        &self.settings
    }

    /// What the next attempt suffers.
    pub fn draw(&self) -> Option<Fault> {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        self.settings.judge(scramble(self.seed, number))
    }
}

/// The `number`th of a seed's random numbers: splitmix64, which can be asked for any of them.
fn scramble(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(reject: u8, hang: u8, fail: u8) -> FaultSettings {
        let [reject, hang, fail] = [reject, hang, fail].map(Ratio::percent);
        FaultSettings { reject, hang, fail, ..FaultSettings::default() }
    }

    fn drawn(faults: &Faults, draws: usize) -> Vec<Option<Fault>> {
        (0..draws).map(|_| faults.draw()).collect()
    }

    #[test]
    fn the_defaults_do_nothing() {
        let settings = FaultSettings::default();
        assert!(settings.is_idle());
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(settings.judge(random), None);
        }
        assert!(!FaultSettings { delay: Duration::from_millis(1), ..settings }.is_idle());
    }

    #[test]
    fn all_of_it_is_all_of_it() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(settings(100, 0, 0).judge(random), Some(Fault::Reject));
            assert_eq!(settings(0, 100, 0).judge(random), Some(Fault::Hang));
            assert_eq!(settings(0, 0, 100).judge(random), Some(Fault::Fail));
        }
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_gives_others() {
        let of =
            |seed| drawn(&Faults::new(FaultSettings { seed: Some(seed), ..settings(20, 20, 20) }, 99), 1_000);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let unsaid = |seed| drawn(&Faults::new(settings(20, 20, 20), seed), 1_000);
        assert_eq!(unsaid(1), of(1), "without a seed the other one counts");
    }

    proptest! {
        /// The same as a line that is cut in three, and a point on it.
        #[test]
        fn shares_are_parts_of_a_line(reject in 0_u8..40, hang in 0_u8..30, fail in 0_u8..30, random: u64) {
            let percent = random as f64 / u64::MAX as f64 * 100.0;
            let ends = [reject, reject + hang, reject + hang + fail].map(f64::from);
            // Where the point is on an end to the last bit, either side is right.
            prop_assume!(ends.iter().all(|end| (percent - end).abs() > 1e-9));
            let expected = match percent {
                at if at < ends[0] => Some(Fault::Reject),
                at if at < ends[1] => Some(Fault::Hang),
                at if at < ends[2] => Some(Fault::Fail),
                _ => None,
            };
            prop_assert_eq!(settings(reject, hang, fail).judge(random), expected);
        }

        /// Whatever the seed, as many as were asked for: within five standard deviations of 10,000 draws.
        #[test]
        fn shares_are_met(seed: u64, reject in 0_u8..40, hang in 0_u8..30, fail in 0_u8..30) {
            let drawn = drawn(&Faults::new(settings(reject, hang, fail), seed), 10_000);
            for (fault, percent) in [(Fault::Reject, reject), (Fault::Hang, hang), (Fault::Fail, fail)] {
                let share = f64::from(percent) / 100.0;
                let expected = 10_000.0 * share;
                let deviation = (10_000.0 * share * (1.0 - share)).sqrt();
                let is = drawn.iter().filter(|drawn| **drawn == Some(fault)).count() as f64;
                prop_assert!((is - expected).abs() <= 5.0 * deviation + 0.5, "{fault:?}: {is} of {expected}");
            }
        }
    }
}
