//! Refusing here what the downstream would refuse there.
//!
//! A downstream that sheds load does some work for each request that it turns away. Callers that go on asking as before
//! may keep it so busy with refusing that it gets nothing else done. So a client that sees its requests turned away turns
//! some away by itself, by chance, with the probability
//!
//! ```text
//! max(0, (requests - factor * accepted) / (requests + 1))
//! ```
//!
//! over the last seconds (Betsy Beyer and others, "Site Reliability Engineering", 2016, chapter "Handling Overload").
//! With a factor of 2 the downstream is sent about twice what it takes: enough to find out soon that it takes more again.
//!
//! What is different here, and why:
//!
//! - A request counts when its fate is known: taken, turned away, or refused here. In the book it counts when it is sent;
//!   the first burst of a client that has just started, all of it under way and none of it answered, would look as if
//!   nothing were accepted.
//! - Answers of the downstream are what counts. A timeout or a broken connection says that it is ill, not that it sheds:
//!   that is the breaker's.
//! - No more than `max_rejected` are refused, by default nine in ten, in the manner of Envoy's admission control. Without
//!   that a downstream that takes nothing for a while is sent one request a window, and is found well too late.
//! - What was refused here counts as a request, as in the book, but not by itself: when the downstream has turned nothing
//!   away for a whole window, nothing is refused.
//! - The window is 10 s, as the breaker's and the budget's are, and not two minutes: for so long a client goes on refusing
//!   when all is well again.
//! - The less important are refused first. The share that is to be refused is taken of background calls; what these cannot
//!   bear, of low ones; and so on: critical calls are refused when no others are left to be. (The book keeps statistics for
//!   each criticality, which needs a downstream that sheds by it.)
//!
//! A quiet downstream costs one load and two additions an attempt, one that sheds a sum of ten buckets a priority.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Mode,
    blame::Blame,
    window::{Totals, Window, WindowSize},
};
use crate::units::{Ratio, Tick, duration};

/// When calls are refused because the downstream sheds load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottleSettings {
    /// Whether it decides.
    pub mode: Mode,
    /// How many times what the downstream takes it is sent. Default 2.
    pub factor: f64,
    /// Over which time requests count. Default 10 s.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Requests that must be in the window for it to say anything. Default 20.
    pub minimum_calls: u32,
    /// The largest share of calls that is refused: the others find out when it is over. Default 90 %.
    pub max_rejected: Ratio,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            factor: 2.0,
            window: Duration::from_secs(10),
            minimum_calls: 20,
            max_rejected: Ratio::percent(90),
        }
    }
}

/// Buckets of the window: the odds change a tenth of it at a time.
const BUCKETS: u32 = 10;

/// Priorities that are told apart, the most important first.
const PRIORITIES: usize = 4;

/// What a downstream takes and what it turns away, and so what is refused here.
#[derive(Debug)]
pub struct Throttle {
    settings: ThrottleSettings,
    /// By priority; what was not accepted is a failure in them.
    windows: [Window; PRIORITIES],
    /// When the downstream last turned something away, in nanoseconds; 0 for never.
    shed: AtomicU64,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throttled {
    /// Requests within the window whose fate is known.
    pub requests: u64,
    /// Those of them that the downstream took.
    pub accepted: u64,
    /// The window.
    #[serde(rename = "window_ms", serialize_with = "duration::millis")]
    pub window: Duration,
    /// The share of calls of this priority that is refused now, from 0 to 1.
    pub refused: f64,
    /// When the odds change next.
    #[serde(rename = "retry_after_ms", serialize_with = "duration::millis")]
    pub retry_after: Duration,
}

/// What a throttle knows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ThrottleSnapshot {
    /// Requests within the window whose fate is known.
    pub requests: u64,
    /// Those of them that the downstream took.
    pub accepted: u64,
    /// The share of calls that is refused now, from 0 to 1, by priority, the most important first.
    pub refused: [f64; PRIORITIES],
}

impl Throttle {
    /// Nothing is known yet.
    pub fn new(settings: ThrottleSettings) -> Self {
        let windows = std::array::from_fn(|_| Window::new(WindowSize::Time(settings.window), BUCKETS));
        Self { settings, windows, shed: AtomicU64::new(0) }
    }

    /// How seriously it is taken.
    pub fn mode(&self) -> Mode {
        self.settings.mode
    }

    /// Whether the downstream turned something away within the window.
    pub fn is_shedding(&self, now: Tick) -> bool {
        let shed = self.shed.load(Ordering::Relaxed);
        shed > 0 && now.since(Tick::from_nanos(shed)) <= self.settings.window
    }

    /// Asks for a call of this priority (0 is the most important), by the luck of a random number.
    ///
    /// # Errors
    /// If it is refused, which counts as a request.
    pub fn admit(&self, priority: usize, random: impl FnOnce() -> u64, now: Tick) -> Result<(), Throttled> {
        if !self.is_shedding(now) {
            return Ok(());
        }
        let totals = self.totals(now);
        let refused = self.refused(&totals)[priority.min(PRIORITIES - 1)];
        // 53 bits: as many as a float tells apart, and never 1.
        if refused <= 0.0 || (random() >> 11) as f64 / (1_u64 << 53) as f64 >= refused {
            return Ok(());
        }
        self.count(priority, false, now);
        let Totals { calls, failures, .. } = sum(&totals);
        Err(Throttled {
            requests: calls,
            accepted: calls - failures,
            window: self.settings.window,
            refused,
            retry_after: self.settings.window / BUCKETS,
        })
    }

    /// A request of this priority was answered: by `None` in full, else by a failure of this blame.
    pub fn record(&self, priority: usize, blame: Option<Blame>, now: Tick) {
        match blame {
            None | Some(Blame::Caller) => self.count(priority, true, now),
            Some(Blame::Overload) => {
                self.count(priority, false, now);
                self.shed.fetch_max(now.as_nanos().max(1), Ordering::Relaxed);
            }
            Some(Blame::Downstream | Blame::Local | Blame::Topology) => {}
        }
    }

    /// What it knows now.
    pub fn snapshot(&self, now: Tick) -> ThrottleSnapshot {
        let totals = self.totals(now);
        let Totals { calls, failures, .. } = sum(&totals);
        ThrottleSnapshot { requests: calls, accepted: calls - failures, refused: self.refused(&totals) }
    }

    fn count(&self, priority: usize, accepted: bool, now: Tick) {
        self.windows[priority.min(PRIORITIES - 1)].record(!accepted, false, now);
    }

    fn totals(&self, now: Tick) -> [Totals; PRIORITIES] {
        std::array::from_fn(|priority| self.windows[priority].totals(now))
    }

    /// The share to refuse, by priority.
    fn refused(&self, totals: &[Totals; PRIORITIES]) -> [f64; PRIORITIES] {
        let (all, most) = (sum(totals), self.settings.max_rejected.get());
        let mut shares = [0.0; PRIORITIES];
        if all.calls < u64::from(self.settings.minimum_calls) {
            return shares;
        }
        let accepted = (all.calls - all.failures) as f64;
        let mut too_many = all.calls as f64 - self.settings.factor * accepted;
        for (share, own) in shares.iter_mut().zip(totals).rev() {
            *share = (too_many / (own.calls + 1) as f64).clamp(0.0, most);
            // What these cannot bear, the more important must.
            too_many = match own.calls {
                0 => too_many,
                _ if *share < most => 0.0,
                calls => too_many - most * calls as f64,
            };
        }
        shares
    }
}

fn sum(totals: &[Totals; PRIORITIES]) -> Totals {
    totals.iter().fold(Totals::default(), |sum, one| Totals {
        calls: sum.calls + one.calls,
        failures: sum.failures + one.failures,
        slow: 0,
    })
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, accepted, window, refused, retry_after } = self;
        write!(
            f,
            "the downstream sheds load: of {requests} requests in {window:?} it took {accepted}, so {:.0}% of these calls \
             are refused here; call less often, or later than in {retry_after:?}",
            refused * 100.0
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(ms))
    }

    /// The luckiest and the unluckiest number.
    const LUCKY: u64 = u64::MAX;

    fn sheds(throttle: &Throttle, priority: usize, now: u64) {
        throttle.record(priority, Some(Blame::Overload), at(now));
    }

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let settings = ThrottleSettings::default();
        assert_eq!((settings.mode, settings.factor, settings.minimum_calls), (Mode::Enforce, 2.0, 20));
        assert_eq!((settings.window, settings.max_rejected), (Duration::from_secs(10), Ratio::percent(90)));
    }

    #[test]
    fn the_share_is_that_of_the_book() {
        let throttle = Throttle::new(ThrottleSettings::default());
        for _ in 0..20 {
            throttle.record(1, None, at(1));
        }
        for _ in 0..80 {
            sheds(&throttle, 1, 1);
        }
        // (100 - 2 * 20) / 101
        let refused = throttle.snapshot(at(1)).refused[1];
        assert!((refused - 60.0 / 101.0).abs() < 1e-9, "{refused}");
        let told = throttle.admit(1, || 0, at(1)).expect_err("it has no luck");
        assert_eq!((told.requests, told.accepted, told.retry_after), (100, 20, Duration::from_secs(1)));
        assert_eq!(throttle.admit(1, || LUCKY, at(1)), Ok(()));
        assert_eq!(throttle.snapshot(at(1)).requests, 101, "what is refused here is a request too");
    }

    #[test]
    fn what_says_nothing_of_shedding_does_not_count() {
        let throttle = Throttle::new(ThrottleSettings { minimum_calls: 1, ..ThrottleSettings::default() });
        for blame in [Blame::Downstream, Blame::Local, Blame::Topology] {
            throttle.record(1, Some(blame), at(1));
        }
        assert_eq!(throttle.snapshot(at(1)).requests, 0);
        throttle.record(1, Some(Blame::Caller), at(1));
        let snapshot = throttle.snapshot(at(1));
        assert_eq!((snapshot.requests, snapshot.accepted), (1, 1), "a 404 is an answer");
    }

    #[test]
    fn few_requests_say_nothing_and_old_ones_neither() {
        let throttle = Throttle::new(ThrottleSettings::default());
        for _ in 0..19 {
            sheds(&throttle, 1, 1);
        }
        assert_eq!(throttle.admit(1, || 0, at(1)), Ok(()));
        sheds(&throttle, 1, 1);
        assert!(throttle.admit(1, || 0, at(1)).is_err());
        assert_eq!(throttle.admit(1, || 0, at(11_000)), Ok(()));
    }

    #[test]
    fn the_less_important_are_refused_first() {
        let throttle = Throttle::new(ThrottleSettings::default());
        for priority in 0..4 {
            for _ in 0..100 {
                throttle.record(priority, None, at(1));
            }
        }
        let mut last = [0.0; 4];
        for _ in 0..8_000 {
            sheds(&throttle, 3, 1);
            let refused = throttle.snapshot(at(1)).refused;
            assert!(refused.is_sorted(), "{refused:?}");
            assert!(refused.iter().zip(&last).all(|(now, before)| now >= before));
            if refused[0] > 0.0 {
                assert!(refused[1..].iter().all(|share| *share >= 0.89), "{refused:?}");
            }
            last = refused;
        }
        assert!(last[3] >= 0.89 && last[0] > 0.0, "{last:?}");
    }

    proptest! {
        /// The same as a list of requests with their times, whether they were accepted, and one priority.
        #[test]
        fn it_does_what_a_list_does(
            steps in prop::collection::vec((0_u64..3_000, any::<u64>(), 0_u8..4), 1..400),
            tenths in 10_u64..30,
            minimum_calls in 0_u32..30,
        ) {
            let factor = tenths as f64 / 10.0;
            let throttle =
                Throttle::new(ThrottleSettings { factor, minimum_calls, ..ThrottleSettings::default() });
            let (mut list, mut now, mut shed) = (Vec::new(), 0_u64, None);
            for (wait, random, fate) in steps {
                // Mostly many at once.
                now += wait.saturating_sub(2_000);
                let within = |at: u64| at + 10 > now / 1_000;
                let requests = list.iter().filter(|(at, _)| within(*at)).count() as f64;
                let accepted = list.iter().filter(|(at, accepted)| within(*at) && *accepted).count() as f64;
                let refused = ((requests - factor * accepted) / (requests + 1.0)).clamp(0.0, 0.9);
                let enough = requests >= f64::from(minimum_calls);
                let sheds = shed.is_some_and(|at| now - at <= 10_000);
                let passes = !enough || !sheds || (random >> 11) as f64 / (1_u64 << 53) as f64 >= refused;
                prop_assert_eq!(throttle.admit(1, || random, at(now)).is_ok(), passes);
                let accepted = passes && fate > 0;
                if passes {
                    shed = if fate == 0 { Some(now) } else { shed };
                    throttle.record(1, (fate == 0).then_some(Blame::Overload), at(now));
                }
                list.push((now / 1_000, accepted));
            }
        }
    }

    /// A thousand calls a second, of which the downstream takes so many: how many of these pass here, second by second.
    fn passed(throttle: &Throttle, from: u64, seconds: u64, takes: u64) -> Vec<u64> {
        let mut seed = 7_u64;
        (from..from + seconds)
            .map(|second| {
                let (mut taken, mut passed) = (0, 0);
                for ms in 0..1_000 {
                    let now = at(second * 1_000 + ms);
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if throttle.admit(1, || seed, now).is_ok() {
                        passed += 1;
                        let takes = taken * 1_000 < takes * (ms + 1);
                        taken += u64::from(takes);
                        throttle.record(1, (!takes).then_some(Blame::Overload), now);
                    }
                }
                passed
            })
            .collect()
    }

    #[test]
    fn a_downstream_is_sent_about_twice_what_it_takes() {
        let throttle = Throttle::new(ThrottleSettings::default());
        let passed = passed(&throttle, 1, 60, 200);
        assert!(passed[20..].iter().all(|passed| (350..=450).contains(passed)), "{passed:?}");
    }

    #[test]
    fn all_pass_a_window_after_a_minute_in_which_nothing_was_taken() {
        let throttle = Throttle::new(ThrottleSettings::default());
        let during = passed(&throttle, 1, 60, 0);
        assert!(during[20..].iter().all(|passed| (60..=140).contains(passed)), "a tenth: {during:?}");
        let after = passed(&throttle, 61, 30, 1_000);
        assert!(after[10..].iter().all(|passed| *passed >= 990), "{after:?}");
    }
}
