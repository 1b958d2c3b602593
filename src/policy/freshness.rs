//! How long a kept reply may be served, and as what.
//!
//! A reply is fresh for its time to live. For a while after that it may be served stale while a newer one is loaded
//! (`stale_while_revalidate`), and for another while in place of an error (`stale_if_error`); both after RFC 5861. The time
//! to live is jittered downwards, so that what was loaded in one second does not expire in one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// By how much the time to live is shortened at random, at most. Default 10 %.
    pub jitter: Ratio,
    /// The largest reply kept. Default 1 MiB.
    pub max_entry: ByteSize,
    /// Whether those who ask for the same at once share one load. Default yes.
    pub coalesce: bool,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            mode: CacheMode::On,
            per: Per::Service,
            ttl: Duration::from_secs(300),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_secs(300),
            jitter: Ratio::percent(10),
            max_entry: ByteSize::mib(1),
            coalesce: true,
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
    fresh_until: Tick,
    revalidate_until: Tick,
    error_until: Tick,
}

/// What may be done with a kept reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Fresh,
    /// Serve it as stale, and load a newer one.
    Revalidate,
    /// Serve it only in place of an error.
    StaleIfError,
    /// Drop it.
    Gone,
}

impl Freshness {
    /// The times of a reply loaded now.
    pub fn stamp(settings: &CacheSettings, now: Tick, random: u64) -> Self {
        let share = random as f64 / u64::MAX as f64;
        let ttl = settings.ttl.mul_f64(1.0 - settings.jitter.get() * share);
        let fresh_until = now.after(ttl);
        Self {
            loaded: now,
            fresh_until,
            revalidate_until: fresh_until.after(settings.stale_while_revalidate),
            error_until: fresh_until.after(settings.stale_if_error),
        }
    }

    /// What may be done with it now.
    pub fn judge(&self, now: Tick) -> Verdict {
        if now < self.fresh_until {
            Verdict::Fresh
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
        now.since(self.loaded)
    }
}

#[cfg(test)]
mod tests {
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
        let freshness = Freshness::stamp(&settings, at(100), 0);
        assert_eq!(freshness.judge(at(109)), Verdict::Fresh);
        assert_eq!(freshness.judge(at(110)), Verdict::Revalidate);
        assert_eq!(freshness.judge(at(115)), Verdict::StaleIfError);
        assert_eq!(freshness.judge(at(130)), Verdict::Gone);
        assert_eq!(freshness.age(at(103)), Duration::from_secs(3));
    }

    #[test]
    fn jitter_only_shortens() {
        let settings = CacheSettings::default();
        let last = |random| {
            (1..=300)
                .rev()
                .find(|s| Freshness::stamp(&settings, at(0), random).judge(at(*s)) == Verdict::Fresh)
        };
        assert_eq!(last(0), Some(299));
        assert_eq!(last(u64::MAX), Some(269));
    }
}
