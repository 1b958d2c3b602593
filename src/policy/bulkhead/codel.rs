//! Whether a queue has a standing delay.
//!
//! A queue that is long for a moment absorbs a burst; one that is long all the time only makes every call late, and its
//! callers gone by the time they are served. CoDel (Nichols and Jacobson, "Controlling Queue Delay", 2012) tells the two
//! apart by how long waiting has lasted and not by how many wait: it is a standing delay once no call has waited less
//! than `target` for an `interval`. What then drops calls one by one in a router, faster and faster, is too slow where
//! ten times the capacity comes at once, so we do as Facebook does with requests (Maurer, "Fail at Scale", 2015): while the
//! delay stands, whoever has waited for longer than `target` is sent away, and the newest is served first, since it is
//! the one that still has time.
//!
//! Two things differ from both, since places are few here and are handed on seldom. A queue to which fewer have come over
//! the interval than were served is a burst that is being worked off: a hundred calls sent at once over twenty places all
//! get through. And `target` and `interval` stretch with the pace at which places are handed on, as RFC 8289 has it for slow
//! links: with one place and calls of 50 ms, waiting for the next one is no overload, however much longer than 5 ms that is.

use std::time::Duration;

use super::settings::CodelSettings;
use crate::units::Tick;

/// What a queue's delay is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Delay {
    /// The oldest is in time.
    #[default]
    Calm,
    /// The oldest has been late since then, when so many more had come than had been served.
    Late { since: Tick, surplus: i64 },
    /// Somebody was late at that time.
    Standing { late: Tick },
}

impl Delay {
    /// What it is like now, that the oldest is late or not, and so many more have come than were served.
    pub(super) fn judge(&mut self, codel: CodelSettings, late: bool, surplus: i64, now: Tick) {
        *self = match *self {
            // Standing => Calm, once nobody has been late for an interval: right after the late were sent away nobody is
            Self::Standing { late: last } if !late && now.since(last) >= codel.interval => Self::Calm,
            Self::Standing { late: last } => Self::Standing { late: if late { now } else { last } },
            // Late => Calm
            _ if !late => Self::Calm,
            // Calm => Late
            Self::Calm => Self::Late { since: now, surplus },
            // Late => Standing, or Late anew where it is being worked off
            Self::Late { since, surplus: before } if now.since(since) >= codel.interval => {
                if surplus < before {
                    Self::Late { since: now, surplus }
                } else {
                    Self::Standing { late: now }
                }
            }
            unchanged => unchanged,
        };
    }

    pub(super) fn stands(self) -> bool {
        matches!(self, Self::Standing { .. })
    }
}

impl CodelSettings {
    /// What they come to for those who are more important than others who wait: these are sent away first.
    pub(super) fn patient(self) -> Self {
        Self { target: self.target.max(self.interval), interval: self.interval }
    }
}

/// How often places are handed on, while somebody waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    last: Option<Tick>,
    /// From one to the next on average, in nanoseconds.
    gap: f64,
    /// Of how many that is the average, at most [`MEMORY`].
    count: f64,
}

/// So many times the gap is `target` at least: who has waited for less may have missed no place at all.
const GAPS: f64 = 1.5;
/// Places often become free several at once, after a pause: it takes some to know the pace.
const MEMORY: f64 = 32.0;

impl Pace {
    /// Nobody waits any more: the time until somebody does says nothing.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
    }

    pub(super) fn hand_on(&mut self, now: Tick) {
        if let Some(last) = self.last.replace(now) {
            self.count = (self.count + 1.0).min(MEMORY);
            self.gap += (now.since(last).as_nanos() as f64 - self.gap) / self.count;
        }
    }

    /// What `codel` comes to at this pace.
    pub(super) fn stretch(&self, codel: CodelSettings) -> CodelSettings {
        let CodelSettings { target, interval } = codel;
        let slow = Duration::from_nanos((self.gap * GAPS) as u64);
        if slow <= target {
            return codel;
        }
        let factor = slow.as_secs_f64() / target.as_secs_f64().max(1e-9);
        let longest = Duration::from_secs(3600);
        let interval = Duration::try_from_secs_f64(interval.as_secs_f64() * factor).unwrap_or(longest);
        CodelSettings { target: slow, interval: interval.min(longest) }
    }
}
