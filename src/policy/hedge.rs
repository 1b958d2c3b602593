//! A second attempt while the first is still under way: against the slow one in a hundred.
//!
//! Where a page needs a hundred answers, one slow answer in a hundred makes most pages slow, although nothing failed and a
//! retry never comes. So a call that has taken longer than nearly all do is asked once more, the first answer counts, and
//! the other attempt is cancelled (Jeffrey Dean and Luiz André Barroso, "The Tail at Scale", Communications of the ACM,
//! 2013; Finagle has it as backup requests). At the 95th percentile that costs one attempt in twenty, by definition.
//!
//! Two things keep it from doing harm. A downstream that is slow as a whole makes every call look late: hedges pay from the
//! service's retry budget, and are not made where the breaker is not closed or the bulkhead has no free place. And the
//! percentile is measured over the last minute, so that the delay follows a downstream that has become slower for good.
//!
//! What is measured are first tries alone. Those that fail at once say nothing about how long an answer takes. Those that
//! lost to their hedge were cut off, and how long they would have taken is not known; but it was longer than the delay,
//! and a quantile needs no more of them than that. Left out, the slowest would be missing, the measured percentile would
//! sink from minute to minute, and in the end every call would be hedged. It has a price: where calls are either quick or
//! slow, and up to one in ten is slow, a delay between the two looks right, and stays; then all slow ones are hedged.
//!
//! Reading the digest costs a microsecond or two, so a delay is measured once a second.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::recent::Recent;
use crate::units::{Tick, duration};

/// Second attempts at calls that take long, of calls that may be made twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HedgeSettings {
    /// How long an attempt may take before it is hedged. Default `"p95"`.
    pub delay: Delay,
    /// The shortest delay that may come of measuring. Default 10 ms.
    #[serde(with = "duration")]
    pub minimum_delay: Duration,
    /// Hedges of one call, at most; each waits for the delay anew. Default 1.
    pub attempts: u32,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { delay: Delay::Measured(Quantile(0.95)), minimum_delay: Duration::from_millis(10), attempts: 1 }
    }
}

/// How long an attempt may take before it is hedged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// This long: `"50ms"`.
    Fixed(Duration),
    /// As long as this share of the call's attempts took of late: `"p95"`.
    Measured(Quantile),
}

/// A share from a half to all but one in a thousand, written `"p95"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile(f64);

impl Quantile {
    /// `percent` from 50 to 99.9; `None` for anything else.
    pub fn percent(percent: f64) -> Option<Self> {
        (50.0..=99.9).contains(&percent).then_some(Self(percent / 100.0))
    }

    /// How many durations must be known for it to mean something: so many that one is expected above it.
    fn needs(self) -> u64 {
        (1.0 / (1.0 - self.0)).round() as u64
    }
}

/// Over which time latencies are measured.
const WINDOW: Duration = Duration::from_secs(60);

/// How often they are.
const MEASURED_EVERY: Duration = Duration::from_secs(1);

/// When calls of one type are hedged.
#[derive(Debug)]
pub struct Hedge {
    settings: HedgeSettings,
    recent: Recent,
    /// The measured delay in nanoseconds; 0 while too little is known.
    measured: AtomicU64,
    /// When it is measured next.
    due: AtomicU64,
}

impl Hedge {
    /// Nothing is measured yet.
    pub fn new(settings: HedgeSettings) -> Self {
        Self { settings, recent: Recent::new(WINDOW), measured: AtomicU64::new(0), due: AtomicU64::new(0) }
    }

    /// Hedges of one call, at most.
    pub fn attempts(&self) -> u32 {
        self.settings.attempts
    }

    /// How long an attempt may take now before it is hedged; `None` while too few calls were measured to tell.
    pub fn delay(&self, now: Tick) -> Option<Duration> {
        let quantile = match self.settings.delay {
            Delay::Fixed(delay) => return Some(delay),
            Delay::Measured(quantile) => quantile,
        };
        let due = self.due.load(Ordering::Relaxed);
        let next = now.after(MEASURED_EVERY).as_nanos();
        if now.as_nanos() >= due
            && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let recent = self.recent.read(now);
            let known = recent.count() >= quantile.needs();
            let delay = recent.at(quantile.0).filter(|_| known).unwrap_or_default();
            self.measured.store(delay.as_nanos().min(u128::from(u64::MAX)) as u64, Ordering::Relaxed);
        }
        match self.measured.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos).max(self.settings.minimum_delay)),
        }
    }

    /// A first try took this long: it was answered, or its time ran out.
    pub fn record(&self, took: Duration, now: Tick) {
        if matches!(self.settings.delay, Delay::Measured(_)) {
            self.recent.record(took, now);
        }
    }

    /// A first try was cut off after this long, by its hedge or its caller. It counts if it was late by then; how long it
    /// would have taken otherwise is anybody's guess.
    pub fn record_cut_off(&self, took: Duration, now: Tick) {
        if self.delay(now).is_some_and(|delay| took >= delay) {
            self.record(took, now);
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(delay) => write!(f, "{}", humantime::format_duration(*delay)),
            // 0.999 * 100 is 99.9, and 0.57 * 100 is 56.99999999999999: nobody wrote that.
            Self::Measured(Quantile(share)) => write!(f, "p{}", (share * 1e5).round() / 1e3),
        }
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Delay;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantile from \"p50\" to \"p99.9\", or a duration with its unit, such as \"50ms\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Delay, E> {
        match text.trim().strip_prefix(['p', 'P']) {
            Some(percent) => percent
                .parse()
                .ok()
                .and_then(Quantile::percent)
                .map(Delay::Measured)
                .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self)),
            None if text.contains(|c: char| c.is_ascii_digit()) => {
                duration::deserialize(de::value::StrDeserializer::<E>::new(text)).map(Delay::Fixed)
            }
            None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
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

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn read(text: &str) -> Result<Delay, String> {
        let deserializer = de::value::StrDeserializer::<de::value::Error>::new(text);
        Delay::deserialize(deserializer).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let settings = HedgeSettings::default();
        assert_eq!((settings.delay.to_string().as_str(), settings.attempts), ("p95", 1));
        assert_eq!(settings.minimum_delay, ms(10));
    }

    #[test]
    fn a_delay_is_read_as_it_is_written() {
        for text in ["p50", "p57", "p95", "p99", "p99.9", "50ms", "1s"] {
            assert_eq!(read(text).map(|delay| delay.to_string()).as_deref(), Ok(text));
        }
        for text in ["p", "p49", "p100", "pNaN", "soon", "50", "-1ms", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fixed_delay_is_what_it_says_and_measures_nothing() {
        let fixed = HedgeSettings { delay: Delay::Fixed(ms(3)), ..HedgeSettings::default() };
        let hedge = Hedge::new(fixed);
        hedge.record(ms(1000), at(0));
        assert_eq!(hedge.delay(at(5_000)), Some(ms(3)));
    }

    #[test]
    fn it_waits_until_enough_is_known_and_follows_what_changes() {
        let hedge = Hedge::new(HedgeSettings::default());
        let late = |now| hedge.delay(at(now)).map_or(0, |delay| delay.as_millis());
        for _ in 0..19 {
            hedge.record(ms(50), at(0));
        }
        assert_eq!(hedge.delay(at(0)), None, "19 say nothing of one in twenty");
        hedge.record(ms(50), at(0));
        assert_eq!(hedge.delay(at(999)), None, "it is measured once a second");
        assert!((50..=54).contains(&late(1_000)));
        // It becomes slower for good.
        for second in 1..120 {
            for _ in 0..10 {
                hedge.record(ms(200), at(second * 1_000));
            }
        }
        assert!((200..=213).contains(&late(120_000)));
        assert_eq!(hedge.delay(at(300_000)), None, "an idle call forgets");
    }

    #[test]
    fn a_measured_delay_is_no_shorter_than_the_minimum() {
        let hedge = Hedge::new(HedgeSettings::default());
        for _ in 0..100 {
            hedge.record(Duration::from_micros(20), at(0));
        }
        assert_eq!(hedge.delay(at(0)), Some(ms(10)));
    }

    proptest! {
        /// Latencies of two modes, one each 8 ms, hedged for minutes: about one in twenty is late by the measured delay, and
        /// nearly one in ten at worst, although none of those that were late is ever seen to its end.
        #[test]
        fn few_calls_are_hedged_whatever_the_latencies(
            mut seed in any::<u64>(),
            slow_share in 0.0_f64..0.5,
            spread in 1_u64..400,
        ) {
            let hedge = Hedge::new(HedgeSettings::default());
            let (mut calls, mut hedges) = (0_u32, 0_u32);
            for i in 0..40_000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let draw = (seed >> 11) as f64 / (1_u64 << 53) as f64;
                // A continuous distribution with two modes.
                let slow = if draw < slow_share { 500.0 } else { 20.0 };
                let took = Duration::from_secs_f64((slow + draw * spread as f64) / 1e3);
                let now = at(i * 8);
                match hedge.delay(now) {
                    Some(delay) if took > delay => {
                        hedge.record_cut_off(delay + ms(1), now);
                        hedges += u32::from(i > 10_000);
                    }
                    _ => hedge.record(took, now),
                }
                calls += u32::from(i > 10_000);
            }
            let share = f64::from(hedges) / f64::from(calls);
            prop_assert!(share <= 0.11, "{share} are hedged");
        }
    }
}
