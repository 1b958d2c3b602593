//! Settings with all that settings may have.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    config::Secret,
    units::{ByteSize, Ratio, duration},
};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Runtime {
    pub(super) threads: u8,
    pub(super) cache_max_bytes: Option<ByteSize>,
    pub(super) verbose: bool,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PerService {
    pub(super) kind: String,
    pub(super) pool: Pool,
    pub(super) token: Option<Secret>,
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, try_from = "PoolAsWritten")]
pub(super) struct Pool {
    pub(super) max: u32,
    pub(super) min_idle: u32,
}

impl Default for Pool {
    fn default() -> Self {
        Self { max: 20, min_idle: 0 }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct PoolAsWritten {
    max: u32,
    min_idle: u32,
}

impl Default for PoolAsWritten {
    fn default() -> Self {
        let Pool { max, min_idle } = Pool::default();
        Self { max, min_idle }
    }
}

impl TryFrom<PoolAsWritten> for Pool {
    type Error = String;

    fn try_from(PoolAsWritten { max, min_idle }: PoolAsWritten) -> Result<Self, String> {
        if min_idle > max {
            return Err(format!("min_idle = {min_idle} is more than max = {max}"));
        }
        Ok(Self { max, min_idle })
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PerCall {
    #[serde(with = "duration")]
    pub(super) timeout: Duration,
    #[serde(with = "duration::option")]
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) breaker: Option<Breaker>,
    pub(super) hedge: Option<Hedge>,
    pub(super) retry: Vec<RetryOn>,
}

impl Default for PerCall {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3),
            attempt_timeout: None,
            breaker: Some(Breaker::default()),
            hedge: None,
            retry: vec![RetryOn::Connect],
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Breaker {
    pub(super) error_threshold: Ratio,
    pub(super) minimum_calls: u32,
    pub(super) reset_growth: f64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { error_threshold: Ratio::percent(50), minimum_calls: 10, reset_growth: 2.0 }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hedge {
    #[serde(with = "duration")]
    pub(super) delay: Duration,
    pub(super) attempts: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RetryOn {
    Connect,
    Reset,
    Timeout,
}

/// A kind's own: read from the same table, and strict by itself.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Own {
    pub(super) url: String,
    pub(super) tls: Tls,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) roots: Roots,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Roots {
    #[default]
    System,
    File(PathBuf),
}
