use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    policy::{Mode, window::WindowSize},
    units::{Ratio, duration},
};

/// When a breaker opens, and how it closes again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BreakerSettings {
    /// Whether it decides. Default `enforce`.
    pub mode: Mode,
    /// What one breaker is for. Default the whole service.
    pub scope: BreakerScope,
    /// How far back it looks. Default 10 s.
    pub window: WindowSize,
    /// Buckets of a window over time. Default 10.
    pub buckets: u32,
    /// Outcomes in the window before a ratio can open it. Default 10.
    pub minimum_calls: u32,
    /// The share of failures that opens it. Default 50 %.
    pub error_threshold: Ratio,
    /// Failures in a row that open it, whatever their number in the window; 0 for never. Default 5.
    pub consecutive_failures: u32,
    /// Slow calls that open it; off by default.
    pub slow_call: Option<SlowCall>,
    /// How long it stays open the first time. Default 30 s.
    #[serde(with = "duration")]
    pub reset_timeout: Duration,
    /// What that time grows by with each failed probe. Default 2.
    pub reset_growth: f64,
    /// How long it stays open at most, before the jitter is added. Default 60 s.
    #[serde(with = "duration")]
    pub reset_max: Duration,
    /// How far that time is spread at random around what it would be, so that a fleet does not probe in step. Default
    /// 10 %: from 10 % less to 10 % more, as the randomization factor of resilience4j and Google's backoff has it.
    pub reset_jitter: Ratio,
    /// Probes that must succeed to close it, and that are let through at once. Default 1.
    pub half_open_calls: u32,
    /// How long after the last probe was let through those under way may hold the gate. Default 10 s.
    #[serde(with = "duration")]
    pub half_open_timeout: Duration,
    /// How long after closing only a growing share of a flood is let through. Default 10 s.
    #[serde(with = "duration")]
    pub ramp: Duration,
    /// Whether it leaves open only by a health check of the service that is well, whatever the reset time. Default no.
    pub health_gate: bool,
    /// How long after the start it does not open. Default 0 s.
    #[serde(with = "duration")]
    pub warm_up: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            scope: BreakerScope::Service,
            window: WindowSize::Time(Duration::from_secs(10)),
            buckets: 10,
            minimum_calls: 10,
            error_threshold: Ratio::percent(50),
            consecutive_failures: 5,
            slow_call: None,
            reset_timeout: Duration::from_secs(30),
            reset_growth: 2.0,
            reset_max: Duration::from_secs(60),
            reset_jitter: Ratio::percent(10),
            half_open_calls: 1,
            half_open_timeout: Duration::from_secs(10),
            ramp: Duration::from_secs(10),
            health_gate: false,
            warm_up: Duration::ZERO,
        }
    }
}

/// What one breaker is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakerScope {
    /// All calls of the service.
    #[default]
    Service,
    /// One call: a bad route does not close the rest.
    Call,
    /// One endpoint, where the service has several: a call is refused only when all of them refuse. Of a call whose
    /// breaker is not its service's, it is one for all.
    Endpoint,
}

impl BreakerScope {
    /// Whether each call has its own.
    pub fn is_per_call(self) -> bool {
        self == Self::Call
    }

    /// Whether each endpoint has its own.
    pub fn is_per_endpoint(self) -> bool {
        self == Self::Endpoint
    }
}

/// Which calls are slow, and how many of them are too many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlowCall {
    /// From when on a call is slow. Default 1 s.
    #[serde(with = "duration")]
    pub duration: Duration,
    /// The share of slow calls that opens the breaker. Default 50 %.
    pub threshold: Ratio,
}

impl Default for SlowCall {
    fn default() -> Self {
        Self { duration: Duration::from_secs(1), threshold: Ratio::percent(50) }
    }
}
