//! How long a kept reply may be served, and as what.
//!
//! A reply is fresh for its time to live. For a while after that it may be served stale while a newer one is loaded
//! (`stale_while_revalidate`), and for another while in place of an error (`stale_if_error`); both after RFC 5861. The time
//! to live is jittered downwards, so that what was loaded in one second does not expire in one (more so in a wave of
//! loads: [`wave`](super::wave)).
//!
//! Shortly before its time is over, a reply that is asked for is loaded anew in the background, so that nobody waits for the
//! one that much is asked for (Andrea Vattani, Flavio Chierichetti, Keegan Lowenstein, "Optimal Probabilistic Cache
//! Stampede Prevention", VLDB 2015, known as XFetch). Each hit draws by itself, and begins the load if
//!
//! ```text
//! now + (how long the load took) * early_refresh * -ln(random in (0, 1])
//! ```
//!
//! is past the end. So a reply is loaded the earlier the longer its load takes and the more often it is asked for; what
//! nobody asks for is not loaded. A draw has a chance of one in ten million a hit sixteen loads before the end: until then,
//! and for at least half of the time to live, a hit draws nothing and costs the one comparison that it did.
//!
//! "There is no such thing" is a reply too where the call says so (`Call::is_negative`), with a time to live of its own: what
//! is not there yet may be there soon. It is never served stale. Failures are never kept, be it a 404: an error is no
//! value, and who has to tell "no such user" from "no such path" must read the answer. A call that is derived with
//! `reply = Option<User>` does so, and takes a 404 for the reply `None`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tier::TierSettings;
use crate::units::{ByteSize, Ratio, Tick, duration};

/// How replies are kept, of calls that opted in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheSettings {
    /// Whether replies are kept.
    pub mode: CacheMode,
    /// With whom a reply is shared. Default with every caller of the service.
    pub per: Per,
    /// How long a reply is fresh. Default 5 min.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// How long after that it is served while a newer one is loaded. Default 0 s: not at all.
    #[serde(with = "duration")]
    pub stale_while_revalidate: Duration,
    /// How long after its time to live it is served in place of an error. Default 5 min.
    #[serde(with = "duration")]
    pub stale_if_error: Duration,
    /// How long a reply that says "there is none" is kept. Default 0 s: not at all.
    #[serde(with = "duration")]
    pub negative_ttl: Duration,
    /// By how much the time to live is shortened at random, at most; five times as much, and half of it at most, for what
    /// is loaded in a wave. Default 10 %.
    pub jitter: Ratio,
    /// How eagerly a reply is loaded anew in the background before its time is over; 2 is twice as early. Default 1, as
    /// proven best for what is loaded by everybody; `false` for never.
    pub early_refresh: Option<f64>,
    /// The largest reply kept. Default 1 MiB.
    pub max_entry: ByteSize,
    /// Whether those who ask for the same at once share one load. Default yes.
    pub coalesce: bool,
    /// A tier that processes share, behind the memory; of calls that say how their replies are written. Off unless
    /// written.
    pub shared: Option<TierSettings>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            mode: CacheMode::On,
            per: Per::Service,
            ttl: Duration::from_secs(300),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_secs(300),
            negative_ttl: Duration::ZERO,
            jitter: Ratio::percent(10),
            early_refresh: Some(1.0),
            max_entry: ByteSize::mib(1),
            coalesce: true,
            shared: None,
        }
    }
}

impl CacheSettings {
    /// Whether replies are kept.
    pub fn is_on(&self) -> bool {
        self.mode == CacheMode::On
    }
}

/// Whether replies are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// They are, of calls that opted in.
    #[default]
    On,
    /// They are not.
    Off,
}

/// With whom a kept reply is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// With every caller of the service.
    #[default]
    Service,
    /// Within a tenant; a call made for none is not cached.
    Tenant,
    /// Within a principal; a call made for none is not cached.
    Principal,
}

/// When a kept reply may be served, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    loaded: Tick,
    /// From here on a hit may load a newer one.
    early_from: Tick,
    /// How much earlier than its end that is on average, for a single hit, in nanoseconds.
    early: u64,
    fresh_until: Tick,
    revalidate_until: Tick,
    error_until: Tick,
}

/// What may be done with a kept reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Fresh,
    /// Serve it, and load a newer one: its time is nearly over.
    Early,
    /// Serve it as stale, and load a newer one.
    Revalidate,
    /// Serve it only in place of an error.
    StaleIfError,
    /// Drop it.
    Gone,
}

/// How many loads' time before its end a reply is first drawn for.
const DRAWN_FOR: u32 = 16;

impl Freshness {
    /// The times of a reply that is there now, and took this long to load. `jitter` may be wider than the settings'.
    pub fn stamp(settings: &CacheSettings, jitter: Ratio, took: Duration, now: Tick, random: u64) -> Self {
        let ttl = shortened(settings.ttl, jitter, random);
        let fresh_until = now.after(ttl);
        let early = settings.early_refresh.map_or(Duration::ZERO, |eagerly| scaled(took, eagerly));
        let drawn_for = early.saturating_mul(DRAWN_FOR).min(ttl / 2);
        Self {
            loaded: now,
            early_from: now.after(ttl - drawn_for),
            early: nanos(early),
            fresh_until,
            revalidate_until: fresh_until.after(settings.stale_while_revalidate),
            error_until: fresh_until.after(settings.stale_if_error),
        }
    }

    /// The times of a reply that says "there is none".
    pub fn negative(settings: &CacheSettings, jitter: Ratio, now: Tick, random: u64) -> Self {
        let until = now.after(shortened(settings.negative_ttl, jitter, random));
        Self {
            loaded: now,
            early_from: until,
            early: 0,
            fresh_until: until,
            revalidate_until: until,
            error_until: until,
        }
    }

    /// The times of a reply that another process loaded `age` ago, was fresh for `fresh` then, and took this long. These
    /// settings have the last word: it is served no longer than if it had been loaded here.
    pub fn of_age(
        settings: &CacheSettings,
        negative: bool,
        age: Duration,
        fresh: Duration,
        took: Duration,
        now: Tick,
    ) -> Self {
        // Before the start of this clock it is all the same.
        let at = |since_load: Duration| match since_load.checked_sub(age) {
            Some(left) => now.after(left),
            None => Tick::ZERO.after(now.since(Tick::ZERO).saturating_sub(age - since_load)),
        };
        let loaded = Tick::from_nanos(now.as_nanos().wrapping_sub(nanos(age)));
        let ttl = if negative { settings.negative_ttl } else { settings.ttl };
        let fresh = fresh.min(ttl);
        if negative {
            let until = at(fresh);
            return Self {
                loaded,
                early_from: until,
                early: 0,
                fresh_until: until,
                revalidate_until: until,
                error_until: until,
            };
        }
        let early = settings.early_refresh.map_or(Duration::ZERO, |eagerly| scaled(took, eagerly));
        let drawn_for = early.saturating_mul(DRAWN_FOR).min(fresh / 2);
        Self {
            loaded,
            early_from: at(fresh - drawn_for),
            early: nanos(early),
            fresh_until: at(fresh),
            revalidate_until: at(fresh.saturating_add(settings.stale_while_revalidate)),
            error_until: at(fresh.saturating_add(settings.stale_if_error)),
        }
    }

    /// Whether it is within its time to live.
    pub fn is_fresh(&self, now: Tick) -> bool {
        now < self.fresh_until
    }

    /// Whether it may be served at all, be it as stale, without an error.
    pub fn may_be_served(&self, now: Tick) -> bool {
        now < self.fresh_until.max(self.revalidate_until)
    }

    /// Whether it is too early for anybody to load it anew.
    pub fn is_young(&self, now: Tick) -> bool {
        now < self.early_from
    }

    /// How long it is fresh from now on.
    pub fn fresh_for(&self, now: Tick) -> Duration {
        self.fresh_until.since(now)
    }

    /// How long it is of any use from now on.
    pub fn useful_for(&self, now: Tick) -> Duration {
        self.revalidate_until.max(self.error_until).since(now)
    }

    /// What may be done with it now. Near its end that depends on luck.
    pub fn judge(&self, now: Tick, random: impl FnOnce() -> u64) -> Verdict {
        if now < self.early_from {
            Verdict::Fresh
        } else if now < self.fresh_until {
            // From (0, 1], in 53 bits: as many as a float tells apart.
            let luck = ((random() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            let early = Duration::from_nanos((self.early as f64 * -luck.ln()) as u64);
            if now.after(early) < self.fresh_until { Verdict::Fresh } else { Verdict::Early }
        } else if now < self.revalidate_until {
            Verdict::Revalidate
        } else if now < self.error_until {
            Verdict::StaleIfError
        } else {
            Verdict::Gone
        }
    }

    /// How old it is.
    pub fn age(&self, now: Tick) -> Duration {
        // What came from elsewhere may be older than this clock, whose moments before the start wrap around.
        let age = now.as_nanos().wrapping_sub(self.loaded.as_nanos()).cast_signed();
        Duration::from_nanos(age.max(0).cast_unsigned())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn shortened(ttl: Duration, jitter: Ratio, random: u64) -> Duration {
    ttl.mul_f64(1.0 - jitter.get() * (random as f64 / u64::MAX as f64))
}

fn scaled(took: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(took.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let settings = CacheSettings::default();
        assert_eq!((settings.mode, settings.per, settings.coalesce), (CacheMode::On, Per::Service, true));
        let minutes = |n: u64| Duration::from_secs(n * 60);
        assert_eq!((settings.ttl, settings.stale_if_error), (minutes(5), minutes(5)));
        assert_eq!(settings.stale_while_revalidate, Duration::ZERO);
        assert_eq!((settings.jitter, settings.max_entry), (Ratio::percent(10), ByteSize::mib(1)));
        assert_eq!((settings.negative_ttl, settings.early_refresh), (Duration::ZERO, Some(1.0)));
    }

    #[test]
    fn a_reply_goes_from_fresh_to_gone() {
        let settings = CacheSettings {
            ttl: Duration::from_secs(10),
            stale_while_revalidate: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(20),
            jitter: Ratio::NONE,
            ..CacheSettings::default()
        };
        let freshness = Freshness::stamp(&settings, Ratio::NONE, Duration::ZERO, at(100), 0);
        let judge = |now| freshness.judge(at(now), || 0);
        assert_eq!(judge(109), Verdict::Fresh);
        assert_eq!(judge(110), Verdict::Revalidate);
        assert_eq!(judge(115), Verdict::StaleIfError);
        assert_eq!(judge(130), Verdict::Gone);
        assert_eq!(freshness.age(at(103)), Duration::from_secs(3));
    }

    #[test]
    fn what_is_not_there_is_forgotten_when_its_own_time_is_over() {
        let settings = CacheSettings { negative_ttl: Duration::from_secs(10), ..CacheSettings::default() };
        let freshness = Freshness::negative(&settings, Ratio::NONE, at(100), 0);
        assert_eq!(freshness.judge(at(109), || 0), Verdict::Fresh);
        assert_eq!(freshness.judge(at(110), || 0), Verdict::Gone, "it is never served stale");
    }

    proptest! {
        #[test]
        fn what_another_process_loaded_is_served_as_if_it_had_been_loaded_here(
            age_s in 0_u64..2_000,
            start_s in 0_u64..3_000,
            later_s in 0_u64..2_000,
        ) {
            let settings = CacheSettings {
                stale_while_revalidate: Duration::from_secs(60),
                ..CacheSettings::default()
            };
            let (age, took) = (Duration::from_secs(age_s), Duration::from_millis(20));
            // The same reply, by a clock that ran before and by one that starts when it is `age` old.
            let before = Freshness::stamp(&settings, Ratio::NONE, took, at(3_000), 0);
            let now = at(start_s);
            let here = Freshness::of_age(&settings, false, age, settings.ttl, took, now);
            let (there, here_now) = (at(3_000 + age_s + later_s), at(start_s + later_s));
            prop_assert_eq!(here.judge(here_now, || u64::MAX), before.judge(there, || u64::MAX));
            prop_assert_eq!(here.age(here_now), before.age(there));
            prop_assert_eq!(here.is_young(here_now), before.is_young(there));
        }
    }

    #[test]
    fn another_process_settings_do_not_prolong_it() {
        let settings = CacheSettings {
            ttl: Duration::from_secs(10),
            stale_if_error: Duration::ZERO,
            ..CacheSettings::default()
        };
        let hour = Duration::from_secs(3600);
        let old = Freshness::of_age(&settings, false, Duration::from_secs(10), hour, Duration::ZERO, at(100));
        assert_eq!(old.judge(at(100), || 0), Verdict::Gone);
        let none = Freshness::of_age(&settings, true, Duration::ZERO, hour, Duration::ZERO, at(100));
        assert_eq!(none.judge(at(100), || 0), Verdict::Gone, "here nothing is kept of what is not there");
        assert_eq!((none.fresh_for(at(100)), none.useful_for(at(100))), (Duration::ZERO, Duration::ZERO));
    }

    /// How many of a thousand hits, this long before the end, would load anew.
    fn early(freshness: &Freshness, before_end: u64) -> usize {
        let now = Tick::from_nanos(freshness.fresh_until.as_nanos() - before_end * 1_000_000);
        let step = u64::MAX / 1_000;
        (0..1_000).filter(|i| freshness.judge(now, || i * step + step / 2) == Verdict::Early).count()
    }

    #[test]
    fn the_nearer_the_end_the_likelier_a_hit_loads_anew() {
        let settings = CacheSettings::default();
        let freshness = Freshness::stamp(&settings, Ratio::NONE, Duration::from_millis(100), at(0), 0);
        // e to the power of minus how many loads' time is left.
        assert_eq!(early(&freshness, 0), 0, "it is over");
        assert!((985..=995).contains(&early(&freshness, 1)));
        assert!((363..=373).contains(&early(&freshness, 100)));
        assert!((130..=140).contains(&early(&freshness, 200)));
        assert!((3..=10).contains(&early(&freshness, 500)));
        let drawn = |before_end: u64| {
            let now = at(300).since(Tick::ZERO) - Duration::from_millis(before_end);
            let mut drawn = false;
            freshness.judge(Tick::ZERO.after(now), || {
                drawn = true;
                u64::MAX
            });
            drawn
        };
        assert!(drawn(1_600) && !drawn(1_601), "a hit costs a draw only near the end");
    }

    proptest! {
        #[test]
        fn it_does_what_the_paper_does(
            took_ms in 0_u64..2_000,
            eagerly in 0.1_f64..5.0,
            before_end_ms in 1_u64..10_000,
            random in any::<u64>(),
        ) {
            let settings = CacheSettings {
                ttl: Duration::from_secs(20),
                early_refresh: Some(eagerly),
                ..CacheSettings::default()
            };
            let took = Duration::from_millis(took_ms);
            let freshness = Freshness::stamp(&settings, Ratio::NONE, took, at(0), 0);
            let now = Tick::ZERO.after(Duration::from_secs(20) - Duration::from_millis(before_end_ms));
            let luck = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            let by = took_ms as f64 * eagerly;
            let is_early = by * -luck.ln() >= before_end_ms as f64 && before_end_ms as f64 <= by * 16.0;
            // But for what rounding decides.
            prop_assume!((by * -luck.ln() - before_end_ms as f64).abs() > 1e-3);
            prop_assume!((before_end_ms as f64 - by * 16.0).abs() > 1e-3);
            let verdict = freshness.judge(now, || random);
            prop_assert_eq!(verdict, if is_early { Verdict::Early } else { Verdict::Fresh });
        }
    }

    #[test]
    fn what_takes_longer_to_load_than_it_is_fresh_is_fresh_for_half_of_its_time() {
        let settings = CacheSettings { ttl: Duration::from_secs(2), ..CacheSettings::default() };
        let freshness = Freshness::stamp(&settings, Ratio::NONE, Duration::from_secs(5), at(0), 0);
        assert_eq!(freshness.judge(Tick::from_nanos(999_999_999), || 0), Verdict::Fresh);
        assert_eq!(freshness.judge(at(1), || 0), Verdict::Early);
        let never = CacheSettings { early_refresh: None, ..settings };
        let freshness = Freshness::stamp(&never, Ratio::NONE, Duration::from_secs(5), at(0), 0);
        assert_eq!(freshness.judge(Tick::from_nanos(1_999_999_999), || 0), Verdict::Fresh);
    }

    #[test]
    fn jitter_only_shortens() {
        let settings = CacheSettings::default();
        let last = |random| {
            let freshness = Freshness::stamp(&settings, settings.jitter, Duration::ZERO, at(0), random);
            (1..=300).rev().find(|s| freshness.judge(at(*s), || 0) == Verdict::Fresh)
        };
        assert_eq!(last(0), Some(299));
        assert_eq!(last(u64::MAX), Some(269));
    }
}
