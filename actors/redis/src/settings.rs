use std::time::Duration;

use seawall::{config::Secret, units::duration};
use serde::{Deserialize, Serialize};

use crate::{target::Target, tls::TlsSettings};

/// How one Redis service is reached. All of it stands on a service or above; a change replaces the connections.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `url` | required | `redis://host:port`, or `rediss://` for TLS; no user, no password, no database |
/// | `tls` | the system's roots, 1.2 | `roots`, `ca`, `cert`, `key`, `server_name`, `min_version`; with `rediss://` only |
/// | `redis.topology` | `"standalone"` | what is at the address |
/// | `redis.database` | `0` | the database that all calls use |
/// | `redis.connections` | `2` | connections that the calls of one thread share, 1 to 16 |
/// | `redis.check` | `"1s"` | within this, a connection that hangs is found and replaced, called or not |
/// | `redis.username`, `password` | none | the ACL user, and a reference to its password; without a user it is `default`'s |
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct RedisSettings {
    targets: Vec<Target>,
    tls: TlsSettings,
    redis: Table,
}

#[derive(Deserialize)]
struct Written {
    url: Option<Target>,
    #[serde(default)]
    tls: TlsSettings,
    #[serde(default)]
    redis: Table,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Table {
    topology: Topology,
    database: u32,
    connections: Connections,
    #[serde(with = "duration")]
    check: Duration,
    username: Option<String>,
    password: Option<Secret>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            topology: Topology::Standalone,
            database: 0,
            connections: Connections(2),
            check: Duration::from_secs(1),
            username: None,
            password: None,
        }
    }
}

/// What is at the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topology {
    /// One server, or what looks like one.
    Standalone,
}

/// How many connections a thread has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u8")]
struct Connections(u8);

impl TryFrom<u8> for Connections {
    type Error = &'static str;

    fn try_from(count: u8) -> Result<Self, &'static str> {
        match count {
            1..=16 => Ok(Self(count)),
            _ => Err(
                "a thread has from 1 to 16 connections, each of which carries thousands of commands at once",
            ),
        }
    }
}

/// Checks are no closer than this, and no further apart than that.
const CHECKS: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(60);

impl TryFrom<Written> for RedisSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { url, tls, redis } = written;
        let target = url.ok_or("`url` is missing: write `url = \"redis://host:6379\"`")?;
        if tls != TlsSettings::default() && !target.is_tls() {
            return Err("`tls` is set, but `url` begins with redis://; write rediss://".into());
        }
        if redis.username.is_some() && redis.password.is_none() {
            return Err(
                "`redis.username` is set without a password: write `password = { env = \"..\" }`".into()
            );
        }
        if !CHECKS.contains(&redis.check) {
            return Err("`redis.check` is from \"20ms\" to \"60s\"".into());
        }
        Ok(Self { targets: vec![target], tls, redis })
    }
}

impl RedisSettings {
    /// Where it is; one at least.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub(crate) fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    pub(crate) fn table(&self) -> &Table {
        &self.redis
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.targets.iter().any(Target::is_tls)
    }

    pub(crate) fn database(&self) -> u32 {
        self.redis.database
    }

    pub(crate) fn connections(&self) -> usize {
        self.redis.connections.0.into()
    }

    pub(crate) fn check(&self) -> Duration {
        self.redis.check
    }

    pub(crate) fn username(&self) -> Option<&str> {
        self.redis.username.as_deref()
    }

    pub(crate) fn password(&self) -> Option<&Secret> {
        self.redis.password.as_ref()
    }
}
