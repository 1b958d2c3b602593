use std::{fmt, num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::duration;

/// How a service's connections are pooled. All numbers are the process's, over all shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolSettings {
    /// Connections at most. Default 20.
    pub max: usize,
    /// Idle connections kept at most. Default 20.
    pub max_idle: usize,
    /// Idle connections kept at least: made ahead, in the background, on each thread that has a pool. Default 0.
    pub min_idle: usize,
    /// How long a connection may be idle. Default 30 s.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long a call may wait for a connection. Default 2 s.
    #[serde(with = "duration")]
    pub acquire_timeout: Duration,
    /// How old a connection may get before it is closed once idle. Default 30 min.
    #[serde(with = "duration")]
    pub lifetime: Duration,
    /// Connections that may be in the making at once. Default 2.
    pub connect_concurrency: usize,
    /// How many shards hold the pool: one on each thread that calls, or a number where connections are dear.
    pub shards: Shards,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max: 20,
            max_idle: 20,
            min_idle: 0,
            idle_timeout: Duration::from_secs(30),
            acquire_timeout: Duration::from_secs(2),
            lifetime: Duration::from_secs(30 * 60),
            connect_concurrency: 2,
            shards: Shards::PerThread,
        }
    }
}

/// How many shards a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    /// `"per_thread"`: one on every thread that calls, opened when it first does.
    PerThread,
    /// This many in all, on threads that the runtime owns.
    Count(NonZeroUsize),
}

impl Serialize for Shards {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PerThread => serializer.serialize_str("per_thread"),
            Self::Count(count) => serializer.serialize_u64(count.get() as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Shards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Shards;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"per_thread\", or a number of shards from 1 to 1024")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Shards, E> {
        match word {
            "per_thread" => Ok(Shards::PerThread),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Shards, E> {
        let wanted = || E::invalid_value(de::Unexpected::Unsigned(count), &self);
        let bounded = usize::try_from(count).ok().filter(|count| *count <= 1024);
        bounded.and_then(NonZeroUsize::new).map(Shards::Count).ok_or_else(wanted)
    }
}
