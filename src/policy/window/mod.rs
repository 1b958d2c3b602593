//! What has happened lately: outcomes over the last calls, or over the last seconds.
//!
//! Recording is O(1) and lock-free whatever the window's size; judging sums up at most as many buckets as the window
//! has. Both are truly sliding: a bucket is emptied by whoever first writes into it in a new period, and not counted
//! once its period has left the window, so nothing has to tick.

mod count;
mod time;

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use count::CountWindow;
use time::TimeWindow;

use crate::units::{Tick, duration};

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSize {
    /// This long: `"10s"`.
    Time(Duration),
    /// This many outcomes: `{ calls = 100 }`.
    Calls(u32),
}

/// The largest count window, in calls: one byte each.
pub const MOST_CALLS: u32 = 1_000_000;

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Outcomes.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
    /// Slow ones among them, failed or not.
    pub slow: u64,
}

impl Totals {
    /// Failures over outcomes; 0 without any.
    pub fn error_ratio(&self) -> f64 {
        ratio(self.failures, self.calls)
    }

    /// Slow outcomes over all; 0 without any.
    pub fn slow_ratio(&self) -> f64 {
        ratio(self.slow, self.calls)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A window of outcomes.
#[derive(Debug)]
pub enum Window {
    /// Over the last calls.
    Count(CountWindow),
    /// Over the last seconds.
    Time(TimeWindow),
}

impl Window {
    /// An empty window; one over time has this many buckets.
    pub fn new(size: WindowSize, buckets: u32) -> Self {
        match size {
            WindowSize::Calls(calls) => Self::Count(CountWindow::new(calls)),
            WindowSize::Time(length) => Self::Time(TimeWindow::new(length, buckets)),
        }
    }

    /// Adds one outcome.
    pub fn record(&self, failed: bool, slow: bool, now: Tick) {
        match self {
            Self::Count(window) => window.record(failed, slow),
            Self::Time(window) => window.record(failed, slow, now),
        }
    }

    /// What it holds now.
    pub fn totals(&self, now: Tick) -> Totals {
        match self {
            Self::Count(window) => window.totals(),
            Self::Time(window) => window.totals(now),
        }
    }

    /// Empties it. Outcomes recorded at the same moment may or may not survive.
    pub fn clear(&self) {
        match self {
            Self::Count(window) => window.clear(),
            Self::Time(window) => window.clear(),
        }
    }
}

impl Serialize for WindowSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Time(length) => duration::serialize(length, serializer),
            Self::Calls(calls) => Calls { calls: *calls }.serialize(serializer),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    calls: u32,
}

impl<'de> Deserialize<'de> for WindowSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = WindowSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"10s\", or { calls = 100 }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WindowSize, E> {
        let length = duration::deserialize(de::value::StrDeserializer::<E>::new(text))?;
        if length.is_zero() {
            Err(E::invalid_value(de::Unexpected::Str(text), &self))
        } else {
            Ok(WindowSize::Time(length))
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<WindowSize, A::Error> {
        let Calls { calls } = Calls::deserialize(de::value::MapAccessDeserializer::new(map))?;
        if (1..=MOST_CALLS).contains(&calls) {
            Ok(WindowSize::Calls(calls))
        } else {
            Err(de::Error::custom(format_args!("calls = {calls}: a window has 1 to {MOST_CALLS} calls")))
        }
    }
}

#[cfg(test)]
mod tests;
