use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    policy::{bulkhead::BulkheadSettings, rate::RateSettings},
    units::duration,
};

/// The most keys that settings may ask for: each that is used has a kilobyte.
pub const MOST_KEYS: u32 = 1_000_000;

/// What each key of a service has for itself, where code calls with keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyedSettings {
    /// Keys that are known at once; a new one has the longest unused forgotten. Default 1,024.
    pub max: u32,
    /// Keys that are not used for this long are forgotten. Default 10 min.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// Whether each key has a breaker, by the settings of the service's. Default yes.
    pub breaker: bool,
    /// How many calls of one key may be in flight, and how many wait; no limit of its own where `false`, the default.
    pub bulkhead: Option<BulkheadSettings>,
    /// How often one key may call; no limit of its own where `false`, the default.
    pub rate: Option<RateSettings>,
}

impl Default for KeyedSettings {
    fn default() -> Self {
        Self { max: 1024, idle: Duration::from_secs(600), breaker: true, bulkhead: None, rate: None }
    }
}
