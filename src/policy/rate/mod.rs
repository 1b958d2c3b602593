//! Calls in a time: the generic cell rate algorithm (GCRA, from ATM's traffic management) on one atomic.
//!
//! It keeps the moment at which the next call is due if all come evenly ("theoretical arrival time"). A call may come
//! earlier by as much as the burst allows. One compare-and-swap a call, no refill task, and the time to wait falls out of it.
//!
//! Who may wait for a token stands in line for it, and takes it when it is his turn, not before: a token that was promised
//! to somebody who goes away would be lost, or be given to another at a time that is not his. So the line is only counted
//! here, which is enough to tell whoever comes how long it would take; and nobody comes in between while it is not empty.

mod tenants;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Mode;
use crate::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    units::{Tick, duration},
};

pub use tenants::{MOST_TENANTS, Tenants};

/// How often a service may be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateSettings {
    /// Whether it decides.
    pub mode: Mode,
    /// Calls in each `per`. Default 100.
    pub limit: u32,
    /// The time in which `limit` calls may be made. Default 1 s.
    #[serde(with = "duration")]
    pub per: Duration,
    /// Calls that may come at once after a pause. Default 100.
    pub burst: u32,
    /// How long a call may wait for its turn; it holds its place in the bulkhead meanwhile. Default 0 s.
    #[serde(with = "duration")]
    pub max_wait: Duration,
    /// Whether each tenant has a limit of its own, up to [`MOST_TENANTS`] of them at a time. Those beyond, and calls that
    /// are nobody's, have one together. Default no.
    pub per_tenant: bool,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            limit: 100,
            per: Duration::from_secs(1),
            burst: 100,
            max_wait: Duration::ZERO,
            per_tenant: false,
        }
    }
}

/// A rate limit.
#[derive(Debug)]
pub struct Rate {
    /// Time from one call to the next, in nanoseconds.
    interval: AtomicU64,
    /// How much earlier than due a call may come.
    tolerance: AtomicU64,
    due: AtomicU64,
    /// How many stand in line.
    waiting: AtomicU32,
}

/// What becomes of a call that wants a token and may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has one.
    Taken,
    /// It stands in line: it is to [take](Rate::take) its token when it is its turn, and to [step out](Rate::step_out)
    /// then, or before if it goes away.
    Waits,
    /// It would take longer than it may wait: so long.
    Refused(Duration),
}

impl Rate {
    /// A limit that nothing was taken of yet.
    pub fn new(settings: &RateSettings) -> Self {
        let (interval, tolerance) = pace(settings);
        Self {
            interval: AtomicU64::new(interval),
            tolerance: AtomicU64::new(tolerance),
            due: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
        }
    }

    /// Goes by other settings from now on. What was taken stays taken: as many tokens are owed after as before, and each
    /// comes back at the new pace. Who waits is to ask again.
    pub fn set(&self, settings: &RateSettings, now: Tick) {
        let (interval, tolerance) = pace(settings);
        let before = self.interval.swap(interval, Ordering::Relaxed);
        self.tolerance.store(tolerance, Ordering::Relaxed);
        let now = now.as_nanos();
        let anew = |due: u64| {
            let owed = u128::from(due.saturating_sub(now)) * u128::from(interval) / u128::from(before);
            (owed > 0).then(|| now.saturating_add(u64::try_from(owed).unwrap_or(u64::MAX)))
        };
        // Nothing is owed of what lies behind.
        let _ = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, anew);
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When there is none: the time until there is.
    pub fn take(&self, now: Tick) -> Result<(), Duration> {
        self.reserve(now, Duration::ZERO)
    }

    /// Takes a token that there is within `patience`, whoever else stands in line.
    ///
    /// # Errors
    /// When there is none by then: the time until there is.
    pub fn reserve(&self, now: Tick, patience: Duration) -> Result<(), Duration> {
        let (now, patience) = (now.as_nanos(), nanos(patience));
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            let wait = self.wait(due, now);
            if wait > patience {
                return Err(Duration::from_nanos(wait));
            }
            let next = due.max(now).saturating_add(self.interval());
            match self.due.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(current) => due = current,
            }
        }
    }

    /// Takes a token, or stands in line for one, if it is this call's turn within `patience`.
    pub fn line_up(&self, now: Tick, patience: Duration) -> Turn {
        if self.waiting.load(Ordering::Relaxed) == 0 && self.take(now).is_ok() {
            return Turn::Taken;
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let first = self.wait(self.due.load(Ordering::Relaxed), now.as_nanos());
        let wait = first.saturating_add(self.interval().saturating_mul(ahead.into()));
        if wait > nanos(patience) {
            self.step_out();
            return Turn::Refused(Duration::from_nanos(wait));
        }
        Turn::Waits
    }

    /// Leaves the line. Only for who stands in it.
    pub fn step_out(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives a token back that was taken and not used.
    pub fn give_back(&self) {
        // Each that was taken moved this on by as much, at the pace of then.
        let less = |due: u64| Some(due.saturating_sub(self.interval()));
        let _ = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// When there is a token next, if there is none now. Takes nothing.
    pub fn next(&self, now: Tick) -> Option<Duration> {
        let wait = self.wait(self.due.load(Ordering::Relaxed), now.as_nanos());
        (wait > 0).then(|| Duration::from_nanos(wait))
    }

    /// Whether it is as if nothing had ever been taken of it, and nobody waits.
    pub fn is_at_rest(&self, now: Tick) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && self.due.load(Ordering::Relaxed) <= now.as_nanos()
    }

    /// How long a limit of which all was taken needs to come to rest.
    pub fn recovery(&self) -> Duration {
        Duration::from_nanos(self.tolerance().saturating_add(self.interval()))
    }

    /// How long after `now` the next token is there.
    fn wait(&self, due: u64, now: u64) -> u64 {
        due.saturating_sub(self.tolerance()).saturating_sub(now)
    }

    fn interval(&self) -> u64 {
        self.interval.load(Ordering::Relaxed)
    }

    fn tolerance(&self) -> u64 {
        self.tolerance.load(Ordering::Relaxed)
    }
}

/// Interval and tolerance of these settings, in nanoseconds.
fn pace(settings: &RateSettings) -> (u64, u64) {
    let interval = (nanos(settings.per) / u64::from(settings.limit.max(1))).max(1);
    (interval, interval.saturating_mul(u64::from(settings.burst.max(1)) - 1))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
