use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    policy::{Mode, adaptive::AdaptiveSettings},
    units::duration,
};

/// How many calls may be in flight, and how many wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BulkheadSettings {
    /// Whether it decides.
    pub mode: Mode,
    /// Calls in flight at most. Default 100; for kinds with a pool, the pool's size.
    pub max_in_flight: u32,
    /// Calls waiting at most. Default 100.
    pub max_queue: u32,
    /// How long a call may wait. Default 1 s.
    #[serde(with = "duration")]
    pub queue_timeout: Duration,
    /// When waiting is taken for overload, and then kept short. On by default.
    pub codel: Option<CodelSettings>,
    /// Whether tenants get the same share of the places, however much each of them sends. Default no.
    pub per_tenant: bool,
    /// Measures how many calls may be in flight, in place of `max_in_flight`. Off by default.
    pub adaptive: Option<AdaptiveSettings>,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            max_in_flight: 100,
            max_queue: 100,
            queue_timeout: Duration::from_secs(1),
            codel: Some(CodelSettings::default()),
            per_tenant: false,
            adaptive: None,
        }
    }
}

/// When waiting is taken for overload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodelSettings {
    /// How long calls may wait while overload stands. Default 5 ms.
    #[serde(with = "duration")]
    pub target: Duration,
    /// How long calls must have waited longer than that for it to be overload. Default 100 ms.
    #[serde(with = "duration")]
    pub interval: Duration,
}

impl Default for CodelSettings {
    fn default() -> Self {
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100) }
    }
}
