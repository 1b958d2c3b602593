//! Many loads at once, which would expire at once.
//!
//! A process that has just started fills its caches within seconds; so does one whose replies were all invalidated. A time
//! to live then ends for all of them within the same tenth of it (the default jitter), and they are loaded again ten times
//! as fast as they would be if they were spread: a wave that comes back each time, and that the downstream meets as a peak
//! of its own. Jitter enough to spread such a wave would cost every reply, at all times, a good part of its time to live.
//!
//! So the jitter is wider for what is loaded in a wave, and only for that: five times as wide, a half at most, which
//! spreads the wave over half of the time to live. It is a wave where loads come faster than a hundred a second, and more
//! than three times as fast as on average over the time to live. Both are averages that decay, over a second and over the
//! time to live, so that nothing has to tick. Asked once a load, never at a hit.

use std::time::Duration;

use parking_lot::Mutex;

use crate::units::{Ratio, Tick};

/// How fast loads come, compared to how fast they came.
#[derive(Debug, Default)]
pub struct Waves(Mutex<Rates>);

#[derive(Debug, Default)]
struct Rates {
    at: Tick,
    /// Loads a second, over the last second.
    now: f64,
    /// Loads a second, over the last time to live.
    usual: f64,
}

/// Loads a second that are nothing to spread.
const FEW: f64 = 100.0;

/// By how much faster than usual a wave comes.
const FASTER: f64 = 3.0;

/// By how much wider its jitter is.
const WIDER: f64 = 5.0;

/// The widest jitter that it makes.
const WIDEST: f64 = 0.5;

impl Waves {
    /// Counts a load, and gives the jitter for its reply.
    pub fn jitter(&self, jitter: Ratio, ttl: Duration, now: Tick) -> Ratio {
        let ttl = ttl.as_secs_f64().max(1.0);
        let mut rates = self.0.lock();
        let passed = now.since(rates.at).as_secs_f64();
        rates.at = rates.at.max(now);
        rates.now = rates.now * (-passed).exp() + 1.0;
        rates.usual = rates.usual * (-passed / ttl).exp() + 1.0 / ttl;
        let is_wave = rates.now > FEW && rates.now > FASTER * rates.usual;
        let wide = (jitter.get() * WIDER).min(WIDEST);
        if is_wave && wide > jitter.get() { Ratio::new(wide).unwrap_or(jitter) } else { jitter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Ratio = Ratio::percent(10);
    const TTL: Duration = Duration::from_secs(300);

    fn at(ms: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(ms))
    }

    /// The share of loads that were widened.
    fn widened(waves: &Waves, loads: impl Iterator<Item = u64>) -> f64 {
        let (mut wide, mut all) = (0.0, 0.0);
        for ms in loads {
            wide += f64::from(u8::from(waves.jitter(TENTH, TTL, at(ms)) > TENTH));
            all += 1.0;
        }
        wide / all
    }

    #[test]
    fn what_fills_a_cold_cache_is_spread_over_half_of_its_time() {
        let waves = Waves::default();
        assert!(widened(&waves, (0..10_000).map(|i| i / 10)) > 0.98, "ten thousand within a second");
        assert_eq!(waves.jitter(TENTH, TTL, at(1_000)), Ratio::percent(50));
        assert!(widened(&waves, (0..10_000).map(|i| 1_000 + i)) > 0.98, "and ten seconds more");
    }

    #[test]
    fn what_comes_steadily_is_left_alone() {
        let waves = Waves::default();
        // A thousand a second, for a time to live.
        widened(&waves, 0..300_000);
        assert_eq!(widened(&waves, 300_000..400_000), 0.0);
        // Twice as many.
        assert_eq!(widened(&waves, (800_000..840_000).map(|i| i / 2)), 0.0);
    }

    #[test]
    fn few_are_no_wave() {
        let waves = Waves::default();
        assert_eq!(widened(&waves, std::iter::repeat_n(5, 100)), 0.0);
    }

    #[test]
    fn who_wants_no_jitter_gets_none_and_who_wants_more_than_half_keeps_it() {
        let waves = Waves::default();
        let jitter = |jitter| (0..1_000).map(|_| waves.jitter(jitter, TTL, at(1))).last();
        assert_eq!(jitter(Ratio::NONE), Some(Ratio::NONE));
        assert_eq!(jitter(Ratio::percent(4)), Some(Ratio::percent(20)));
        assert_eq!(jitter(Ratio::percent(80)), Some(Ratio::percent(80)));
    }
}
