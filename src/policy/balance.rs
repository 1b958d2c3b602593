//! Which of several endpoints an attempt goes to: the less loaded of two taken at random.
//!
//! Always taking the best sends all who look at the same moment to the same place. Two at random, and of these the
//! better one, comes within a constant of the best without that herd (Michael Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing", IEEE TPDS 12(10), 2001).
//!
//! Load is latency times the calls that would then be outstanding, as in Finagle and Linkerd. The latency is a *peak* EWMA: a
//! slower outcome counts in full at once, and is forgotten by a factor of e in each `decay`; so an endpoint that turns slow
//! loses its calls with the first slow one. What is not heard of is forgotten at the same pace, so that who was slow is tried
//! again; and below a millisecond all are alike, or who has been idle for long would look better than any that answers.
//!
//! A failure is no fast answer: an endpoint that refuses within a millisecond would otherwise attract all load. It counts as
//! if it had taken twice as long as the endpoint is known for, and longer than the first guess. One failure in many costs
//! an endpoint little, several in a row shun it. What is cut short has taken at least as long as it had.
//!
//! Of whoever joins or comes back nothing is known but a guess, which holds only while the first call is under way: were it
//! taken for a latency, an endpoint beside fast ones would get no call until the guess had decayed.
//!
//! Whoever joins, or comes back from ejection, is a candidate for a growing share of the choices, for its caches are
//! cold. And should so many be ejected that the rest could not bear the load, all are used: sick ones answer some calls, and a
//! rest that is crushed answers none.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::EndpointSet;
use crate::units::{Ratio, Tick, duration};

/// How attempts are spread over several endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BalanceSettings {
    /// By what an endpoint is chosen. There is one way.
    pub algorithm: Algorithm,
    /// In what time a latency is forgotten by a factor of e. Default 10 s.
    #[serde(with = "duration")]
    pub decay: Duration,
    /// The latency of an endpoint that nothing is known of. Default 30 ms.
    #[serde(with = "duration")]
    pub default_rtt: Duration,
    /// How long an endpoint that joins or returns takes to come to its whole share; `"0s"` for at once. Default 10 s.
    #[serde(with = "duration")]
    pub slow_start: Duration,
    /// The share of endpoints that must not be ejected: when fewer are left, all are used. Default 50 %.
    pub panic_threshold: Ratio,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::P2cEwma,
            decay: Duration::from_secs(10),
            default_rtt: Duration::from_millis(30),
            slow_start: Duration::from_secs(10),
            panic_threshold: Ratio::percent(50),
        }
    }
}

/// By what an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// The power of two choices, on peak EWMA latency times outstanding calls.
    #[default]
    #[serde(rename = "p2c_ewma")]
    P2cEwma,
}

/// Below this all latencies are alike: what differs is the noise of one's own threads.
const FLOOR: f64 = 1e6;
/// What failures may count as at most, in nanoseconds.
const LONGEST_FAILURE: f64 = 60e9;
/// The share of choices that an endpoint has at the very beginning of its slow start.
const FIRST_SHARE: f64 = 0.1;

/// How slow an endpoint is, by what was last seen of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakEwma {
    nanos: f64,
    at: Tick,
    /// Nothing is known of the endpoint yet.
    guessed: bool,
}

impl PeakEwma {
    /// That of an endpoint that nothing is known of.
    pub fn new(settings: &BalanceSettings, now: Tick) -> Self {
        Self { nanos: nanos(settings.default_rtt), at: now, guessed: true }
    }

    /// An answer came after `took`.
    pub fn answered(&mut self, settings: &BalanceSettings, took: Duration, now: Tick) {
        let (kept, took) = (self.kept(settings, now), nanos(took));
        // The first answer ends the guess, whichever is the slower.
        let before = if self.guessed { 0.0 } else { self.nanos * kept };
        self.set(if took > before { took } else { before + took * (1.0 - kept) }, now);
    }

    /// It failed after `took`, or asked for less.
    pub fn failed(&mut self, settings: &BalanceSettings, took: Duration, now: Tick) {
        let took = nanos(took);
        let known = self.forgotten(settings, now).max(nanos(settings.default_rtt)).max(FLOOR);
        self.set(took.max((2.0 * known).min(LONGEST_FAILURE)), now);
    }

    /// It had not answered after `waited`, when nobody waited any more.
    pub fn cut_short(&mut self, settings: &BalanceSettings, waited: Duration, now: Tick) {
        if nanos(waited) > self.forgotten(settings, now) {
            self.set(nanos(waited), now);
        }
    }

    /// What it is now, in nanoseconds: a millisecond at least.
    pub fn latency(&self, settings: &BalanceSettings, now: Tick) -> f64 {
        self.forgotten(settings, now).max(FLOOR)
    }

    /// What one more call would find with so many outstanding. Nobody waits for an endpoint that nothing is known of and that
    /// has nothing to do: one call finds out.
    pub fn load(&self, settings: &BalanceSettings, outstanding: u32, now: Tick) -> f64 {
        match (self.guessed, outstanding) {
            (true, 0) => FLOOR,
            _ => self.latency(settings, now) * (f64::from(outstanding) + 1.0),
        }
    }

    fn set(&mut self, nanos: f64, now: Tick) {
        (self.nanos, self.at, self.guessed) = (nanos, self.at.max(now), false);
    }

    fn forgotten(&self, settings: &BalanceSettings, now: Tick) -> f64 {
        self.nanos * self.kept(settings, now)
    }

    /// What is left of it by now, from 0 to 1.
    fn kept(&self, settings: &BalanceSettings, now: Tick) -> f64 {
        let decay = settings.decay.as_secs_f64();
        if decay > 0.0 { (-now.since(self.at).as_secs_f64() / decay).exp() } else { 0.0 }
    }
}

fn nanos(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

impl BalanceSettings {
    /// Whether so many of `all` are ejected that all are used.
    pub fn is_panic(&self, all: EndpointSet, ejected: EndpointSet) -> bool {
        let left = (all - ejected).len();
        left == 0 || (left as f64) < self.panic_threshold.get() * all.len() as f64
    }

    /// Those of `all` that attempts may go to.
    pub fn usable(&self, all: EndpointSet, ejected: EndpointSet) -> EndpointSet {
        if self.is_panic(all, ejected) { all } else { all - ejected }
    }

    /// The share of choices for which an endpoint is a candidate that joined at `since`, from 0 to 1.
    pub fn share(&self, since: Tick, now: Tick) -> f64 {
        let ramp = self.slow_start.as_secs_f64();
        let age = now.since(since).as_secs_f64();
        if age >= ramp { 1.0 } else { (age / ramp).max(FIRST_SHARE) }
    }
}

/// One of `candidates`: the less loaded of two taken at random. `share` is an endpoint's share of the choices while it starts
/// slowly, `load` its load.
pub fn choose(
    candidates: EndpointSet,
    random: u64,
    share: impl Fn(usize) -> f64,
    load: impl Fn(usize) -> f64,
) -> Option<usize> {
    // The upper half of the bits draws for the slow start, the lower half the two.
    let drawn = (random >> 32) as f64 / f64::from(u32::MAX);
    let candidates = candidates.only_if(|place| share(place) >= drawn).or(candidates);
    let count = candidates.len() as u64;
    let nth = |n: u64| candidates.places().nth(n as usize);
    if count < 2 {
        return nth(0);
    }
    let one = (random & 0xffff) % count;
    let other = (one + 1 + (random >> 16 & 0xffff) % (count - 1)) % count;
    let (one, other) = (nth(one)?, nth(other)?);
    Some(if load(other) < load(one) { other } else { one })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(millis * 1_000_000)
    }

    fn millis(ewma: &PeakEwma, now: u64) -> f64 {
        ewma.latency(&BalanceSettings::default(), at(now)) / 1e6
    }

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let balance = BalanceSettings::default();
        assert_eq!((balance.decay, balance.default_rtt), (10_000 * MS, 30 * MS));
        assert_eq!((balance.slow_start, balance.panic_threshold), (10_000 * MS, Ratio::percent(50)));
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let settings = BalanceSettings::default();
        let mut ewma = PeakEwma::new(&settings, at(0));
        assert_eq!(millis(&ewma, 0), 30.0);
        ewma.answered(&settings, 500 * MS, at(1000));
        assert_eq!(millis(&ewma, 1000), 500.0);
        ewma.answered(&settings, 10 * MS, at(1001));
        assert!((499.0..500.0).contains(&millis(&ewma, 1001)));
        let idle = millis(&ewma, 11_001);
        assert!((183.0..185.0).contains(&idle), "a factor of e in ten seconds: {idle}");
        assert_eq!(millis(&ewma, 3_600_000), 1.0, "and no idle one looks better than all that answer");
    }

    #[test]
    fn a_guess_holds_until_the_first_answer_and_keeps_nobody_from_asking() {
        let settings = BalanceSettings::default();
        let mut ewma = PeakEwma::new(&settings, at(0));
        assert_eq!(ewma.load(&settings, 0, at(0)), FLOOR, "idle and unknown: it is asked");
        assert_eq!(ewma.load(&settings, 1, at(0)), 2.0 * 30e6, "by one at a time");
        ewma.answered(&settings, 2 * MS, at(1));
        assert_eq!(millis(&ewma, 1), 2.0, "though the guess was slower");
        assert_eq!(ewma.load(&settings, 0, at(1)), 2e6);
    }

    #[test]
    fn a_fast_failure_is_slow_and_several_are_slower() {
        let settings = BalanceSettings::default();
        let mut ewma = PeakEwma::new(&settings, at(0));
        let mut last = 30.0;
        for _ in 0..5 {
            ewma.failed(&settings, MS, at(0));
            assert_eq!(millis(&ewma, 0), 2.0 * last);
            last *= 2.0;
        }
        (0..100).for_each(|_| ewma.failed(&settings, MS, at(0)));
        assert_eq!(millis(&ewma, 0), 60_000.0, "up to a minute");
        ewma.failed(&settings, 90_000 * MS, at(0));
        assert_eq!(millis(&ewma, 0), 90_000.0, "or what it took");
    }

    #[test]
    fn what_is_cut_short_took_at_least_as_long() {
        let settings = BalanceSettings::default();
        let mut ewma = PeakEwma::new(&settings, at(0));
        ewma.cut_short(&settings, 10 * MS, at(0));
        assert_eq!(millis(&ewma, 0), 30.0);
        ewma.cut_short(&settings, 100 * MS, at(0));
        assert_eq!(millis(&ewma, 0), 100.0);
    }

    #[test]
    fn with_too_few_left_all_are_used() {
        let settings = BalanceSettings::default();
        let (all, some) = (EndpointSet::first(4), EndpointSet::first);
        assert_eq!(settings.usable(all, some(2)), all - some(2), "half is enough");
        assert_eq!(settings.usable(all, some(3)), all);
        let never = BalanceSettings { panic_threshold: Ratio::NONE, ..settings };
        assert_eq!(never.usable(all, some(3)), all - some(3));
        assert_eq!(never.usable(all, all), all, "but one there must be");
    }

    #[test]
    fn a_share_grows_from_a_tenth_to_the_whole() {
        let settings = BalanceSettings::default();
        let shares: Vec<_> = [0, 500, 5_000, 10_000].map(|now| settings.share(at(0), at(now))).to_vec();
        assert_eq!(shares, [0.1, 0.1, 0.5, 1.0]);
        let at_once = BalanceSettings { slow_start: Duration::ZERO, ..settings };
        assert_eq!(at_once.share(at(0), at(0)), 1.0);
    }

    proptest! {
        /// Between the last answer, which counts in full where it is the slower, and the slowest of all.
        #[test]
        fn it_stays_between_the_last_and_the_slowest(history in prop::collection::vec((0_u64..5_000, 0_u64..20_000), 1..50)) {
            let settings = BalanceSettings::default();
            let mut ewma = PeakEwma::new(&settings, at(0));
            let (mut now, mut slowest) = (0, 30);
            for (took, later) in history {
                now += later;
                slowest = slowest.max(took);
                ewma.answered(&settings, MS * took as u32, at(now));
                let is = millis(&ewma, now);
                prop_assert!(is * 1.001 >= took as f64, "{} after {}", is, took);
                prop_assert!(is <= slowest as f64 * 1.001, "{} of {}", is, slowest);
            }
        }

        /// Of those that may be chosen one is, and never the most loaded where there is a choice.
        #[test]
        fn one_is_chosen_and_never_the_worst(bits: u64, random: u64, loads in prop::collection::vec(0_u32..1_000, 64)) {
            let candidates = EndpointSet::from_bits(bits);
            let chosen = choose(candidates, random, |_| 1.0, |place| f64::from(loads[place]));
            match chosen {
                None => prop_assert!(candidates.is_empty()),
                Some(place) => {
                    prop_assert!(candidates.has(place));
                    let worst = candidates.places().map(|place| loads[place]).max();
                    let alone = candidates.places().filter(|place| Some(loads[*place]) == worst).count() == 1;
                    prop_assert!(candidates.len() == 1 || !alone || Some(loads[place]) != worst);
                }
            }
        }
    }

    #[test]
    fn all_are_chosen_alike_and_a_starting_one_by_its_share() {
        let mut random = 7_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random ^ (random >> 29)
        };
        let mut count = |starting: f64| {
            let mut chosen = [0_u32; 4];
            for _ in 0..40_000 {
                let share = |place| if place == 0 { starting } else { 1.0 };
                chosen[choose(EndpointSet::first(4), next(), share, |_| 1.0).expect("one of four")] += 1;
            }
            chosen
        };
        assert!(count(1.0).iter().all(|chosen| (9_500..10_500).contains(chosen)));
        let [starting, rest @ ..] = count(0.2);
        assert!((1_800..2_200).contains(&starting), "{starting}");
        assert!(rest.iter().all(|chosen| (12_000..13_500).contains(chosen)), "{rest:?}");
    }
}
