use std::time::Duration;

use seawall::{config::Secret, units::duration};
use serde::{Deserialize, Serialize};

use crate::{target::Target, tls::TlsSettings};

/// How one Redis service is reached. All of it stands on a service or above; a change replaces the connections.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `url` | required | `redis://host:port`, or `rediss://` for TLS; no user, no password, no database |
/// | `urls` | none | several of these in place of `url`: of sentinels, or of some of a cluster's nodes |
/// | `tls` | the system's roots, 1.2 | `roots`, `ca`, `cert`, `key`, `server_name`, `min_version`; with `rediss://` only |
/// | `redis.topology` | `"standalone"` | what is there: `"standalone"`, `"sentinel"` or `"cluster"` |
/// | `redis.master` | none | by this name the sentinels know the primary; with `"sentinel"` only |
/// | `redis.database` | `0` | the database that all calls use |
/// | `redis.connections` | `2` | connections that the calls of one thread share, 1 to 16; to each node of a cluster |
/// | `redis.check` | `"1s"` | within this, a connection that hangs is found and replaced, called or not |
/// | `redis.username`, `password` | none | the ACL user, and a reference to its password; without a user it is `default`'s |
/// | `redis.sentinel_username`, `sentinel_password` | none | the same for the sentinels |
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
    urls: Option<Vec<Target>>,
    #[serde(default)]
    tls: TlsSettings,
    #[serde(default)]
    redis: Table,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Table {
    topology: Topology,
    master: Option<String>,
    database: u32,
    connections: Connections,
    #[serde(with = "duration")]
    check: Duration,
    username: Option<String>,
    password: Option<Secret>,
    sentinel_username: Option<String>,
    sentinel_password: Option<Secret>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            topology: Topology::Standalone,
            master: None,
            database: 0,
            connections: Connections(2),
            check: Duration::from_secs(1),
            username: None,
            password: None,
            sentinel_username: None,
            sentinel_password: None,
        }
    }
}

/// What is at the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topology {
    /// One server, or what looks like one.
    Standalone,
    /// Sentinels, which know the primary.
    Sentinel,
    /// Nodes of a cluster, which share the keys between them.
    Cluster,
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

/// Addresses to begin with.
const MOST_TARGETS: usize = 64;

/// Checks are no closer than this, and no further apart than that.
const CHECKS: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(60);

impl TryFrom<Written> for RedisSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { url, urls, tls, redis } = written;
        let targets = match (url, urls) {
            (Some(url), None) => vec![url],
            (None, Some(urls)) => urls,
            (None, None) => return Err("`url` is missing: write `url = \"redis://host:6379\"`".into()),
            (Some(_), Some(_)) => {
                return Err("`url` and `urls` are both set; write one, or all of them in `urls`".into());
            }
        };
        let Some((first, others)) = targets.split_first() else {
            return Err("`urls` is empty; write one at least".into());
        };
        if targets.len() > MOST_TARGETS {
            return Err(format!("`urls` has more than {MOST_TARGETS}; the others are found by these"));
        }
        if others.iter().any(|other| other.is_tls() != first.is_tls()) {
            return Err("`urls` are all redis:// or all rediss://".into());
        }
        match (redis.topology, &redis.master) {
            (Topology::Standalone, _) if !others.is_empty() => {
                return Err("several `urls` are sentinels or nodes of a cluster: write \
                            `redis = { topology = \"sentinel\", master = \"..\" }` or `topology = \"cluster\"`"
                    .into());
            }
            (Topology::Sentinel, None) => {
                return Err(
                    "`redis.master` is missing: by which name do the sentinels know the primary?".into()
                );
            }
            (Topology::Standalone | Topology::Cluster, Some(_)) => {
                return Err("`redis.master` is set; it goes with `topology = \"sentinel\"`".into());
            }
            (Topology::Cluster, None) if redis.database != 0 => {
                return Err("`redis.database` is 0 in a cluster, which has no other".into());
            }
            _ => {}
        }
        if tls != TlsSettings::default() && !first.is_tls() {
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
        Ok(Self { targets, tls, redis })
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

    pub(crate) fn topology(&self) -> Topology {
        self.redis.topology
    }

    /// By this name the sentinels know the primary.
    pub(crate) fn master(&self) -> Option<&str> {
        self.redis.master.as_deref()
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

    /// Who we are to the servers.
    pub(crate) fn account(&self) -> Account<'_> {
        Account {
            setting: "redis.password",
            username: self.redis.username.as_deref(),
            password: self.redis.password.as_ref(),
        }
    }

    /// Who we are to the sentinels.
    pub(crate) fn sentinel_account(&self) -> Account<'_> {
        Account {
            setting: "redis.sentinel_password",
            username: self.redis.sentinel_username.as_deref(),
            password: self.redis.sentinel_password.as_ref(),
        }
    }
}

/// A user, and where the password is.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) setting: &'static str,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a Secret>,
}
