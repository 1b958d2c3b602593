use std::{fmt, time::Duration};

use serde::Serialize;

use crate::units::duration;

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All calls.
    Closed,
    /// None, until the reset time has passed.
    Open,
    /// A few probes.
    HalfOpen,
    /// None, until told otherwise.
    ForcedOpen,
    /// All calls, and it does not look at them.
    Disabled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::Disabled];

    /// The word for it in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
        }
    }

    /// Whether it refuses all calls.
    pub fn refuses(self) -> bool {
        matches!(self, Self::Open | Self::ForcedOpen)
    }
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The share of failures reached its threshold.
    ErrorRatio,
    /// So many failed in a row.
    ConsecutiveFailures,
    /// The share of slow calls reached its threshold.
    SlowCalls,
    /// The reset time has passed.
    ResetTimeout,
    /// All probes succeeded.
    ProbesSucceeded,
    /// A probe failed.
    ProbeFailed,
    /// The service's own health checks failed, or one was well again.
    HealthCheck,
    /// Somebody asked for it.
    Requested,
}

impl Cause {
    /// The word for it in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::ErrorRatio => "error_ratio",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::SlowCalls => "slow_calls",
            Self::ResetTimeout => "reset_timeout",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ProbeFailed => "probe_failed",
            Self::HealthCheck => "health_check",
            Self::Requested => "requested",
        }
    }
}

/// A change of state, and the figures it went by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// Changes so far, this one included.
    pub generation: u64,
    /// Outcomes in the window.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
    /// Slow ones among them.
    pub slow: u64,
    /// Failures over outcomes.
    pub error_ratio: f64,
    /// The share that opens it.
    pub threshold: f64,
    /// How long it stays open; zero unless it opened.
    #[serde(rename = "retry_after_ms", serialize_with = "duration::millis")]
    pub retry_after: Duration,
    /// How long the state before lasted; since it opened, where it closes.
    #[serde(rename = "lasted_ms", serialize_with = "duration::millis")]
    pub lasted: Duration,
    /// Calls refused since it opened.
    pub rejected: u64,
    /// How often it opened since it was last closed.
    pub open_count: u32,
}

/// A refusal, and the figures the breaker went by when it opened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rejected {
    /// The state that refused.
    pub state: State,
    /// When the next probe is due; zero where nobody knows. Serialized in milliseconds.
    #[serde(rename = "retry_after_ms", serialize_with = "duration::millis")]
    pub retry_after: Duration,
    /// How long it has been in that state. Serialized in milliseconds.
    #[serde(rename = "since_ms", serialize_with = "duration::millis")]
    pub since: Duration,
    /// Outcomes in the window when it opened.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
    /// Slow ones among them.
    pub slow: u64,
    /// The share that opens it.
    pub threshold: f64,
    /// Why it opened.
    pub cause: Cause,
    /// How often it opened since it was last closed.
    pub open_count: u32,
    /// Whether it waits for a health check, whatever the time.
    pub health_gate: bool,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { retry_after, since, calls, failures, slow, .. } = self;
        match self.state {
            State::ForcedOpen => write!(f, "its breaker was forced open {since:.1?} ago"),
            State::HalfOpen => f.write_str("its breaker is half open, and all its probes are under way"),
            State::Closed => {
                f.write_str("its breaker closed a moment ago, and lets only a growing share of calls through")
            }
            State::Open | State::Disabled => {
                write!(f, "its breaker opened {since:.1?} ago, after ")?;
                match self.cause {
                    Cause::HealthCheck => f.write_str("its health checks had failed")?,
                    Cause::SlowCalls => write!(f, "{slow} of {calls} calls had been slow")?,
                    _ => write!(f, "{failures} of {calls} calls had failed")?,
                }
                match (self.health_gate, retry_after.is_zero()) {
                    (false, _) => write!(f, "; the next probe is due in {retry_after:.1?}"),
                    (true, false) => {
                        write!(
                            f,
                            "; it waits for a health check that is well, {retry_after:.1?} from now or later"
                        )
                    }
                    (true, true) => f.write_str("; it waits for a health check that is well"),
                }
            }
        }
    }
}

/// A breaker as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BreakerSnapshot {
    /// Its state.
    pub state: State,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// Outcomes in the window.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
    /// Slow ones among them.
    pub slow: u64,
    /// Failures over outcomes.
    pub error_ratio: f64,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// How long only a growing share of a flood is still let through, in milliseconds; 0 for all.
    pub ramp_ms: u64,
    /// For how long all that came was that the downstream had moved, in milliseconds; 0 if it is in its place.
    pub moving_ms: u64,
    /// Changes of state so far.
    pub generation: u64,
    /// How often it opened since it was last closed.
    pub open_count: u32,
    /// Calls refused since it opened.
    pub rejected: u64,
    /// When the next probe is due, in milliseconds; 0 unless it is open.
    pub retry_after_ms: u64,
}
