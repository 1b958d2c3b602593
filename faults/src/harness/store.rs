//! A real Redis as the service under test: the service `store`, calls on it whose answers tell whose they are, and what
//! reached the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seawall::Service;
use seawall_redis::{Command, Incr, Redis};
use seawall_testkit::RedisServer;

use super::bed::{Bed, Outcome};
use super::load::{End, Shoot, is_write};
use super::origin::Arrival;
use super::rules::Rules;
use super::settings::{CANARY, Settings, canary};
use super::stage::Stage;

/// What begins the key of each write.
const WRITTEN: &str = "written:";

/// A bed whose service under test is a Redis.
#[derive(Debug)]
pub(crate) struct Store;

impl Store {
    /// A server that asks for a password, which must be seen nowhere.
    pub(crate) async fn server() -> RedisServer {
        RedisServer::builder().password(&canary()).start().await
    }

    /// The settings of a service at this address, which needs that password.
    pub(crate) fn at(url: &str) -> String {
        format!("url = \"{url}\"\nredis.password = {{ env = \"{CANARY}\" }}")
    }

    /// A bed whose service under test has these settings.
    pub(crate) async fn bed(stage: &Stage, text: &str) -> (Bed, Service<Redis>) {
        let bed = Bed::start(stage, Settings::reference(stage.full).store(text)).await.watching("store");
        let store = bed.runtime.service("store").unwrap_or_else(|error| panic!("no service: {error}"));
        (bed, store)
    }

    /// Reads that say whose they are, and one write in ten that shows whether it was made before.
    pub(crate) fn mixed(store: &Service<Redis>) -> Shoot {
        Self::reading(store, |store, nonce| async move {
            let echo = Command::<u64>::new("ECHO").arg(nonce).idempotent();
            End::judged(&store.send(echo).await, |echoed| *echoed == nonce)
        })
    }

    /// The same with other reads.
    pub(crate) fn reading<F: Future<Output = End> + Send>(
        store: &Service<Redis>,
        read: impl Fn(Service<Redis>, u64) -> F + Copy + Send + Sync + 'static,
    ) -> Shoot {
        let store = store.clone();
        Arc::new(move |shot| {
            let (store, nonce) = (store.clone(), shot.nonce);
            Box::pin(async move {
                if is_write(nonce) {
                    End::judged(&store.send(Incr::new(format!("{WRITTEN}{nonce}"))).await, |sum| *sum == 1)
                } else {
                    read(store, nonce).await
                }
            })
        })
    }

    /// Tells an outcome what writes the server has seen in its present life.
    pub(crate) fn tell_writes(server: &RedisServer, outcome: &mut Outcome) {
        let script = "local all = {} for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do \
                      all[#all + 1] = key .. ' ' .. redis.call('GET', key) end return all";
        let said = server.cli(&["EVAL", script, "0", WRITTEN]);
        for line in said.lines() {
            let Some((nonce, times)) = line.strip_prefix(WRITTEN).and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            let nonce = nonce.parse().unwrap_or_else(|_| panic!("a strange key: {line}"));
            let at = outcome.marks.end;
            let arrival =
                Arrival { nonce, at, connection: 0, deadline_ms: None, write: true, config: 0, life: 1 };
            outcome.arrivals.extend((0..times.parse().unwrap_or(0)).map(|_| arrival));
        }
    }

    /// How many commands of the load the server has seen in its present life, those that it refused included.
    pub(crate) fn requests(server: &RedisServer) -> u64 {
        let told = server.cli(&["INFO", "commandstats"]);
        let ours = told
            .lines()
            .filter(|line| ["cmdstat_echo:", "cmdstat_incrby:"].iter().any(|name| line.starts_with(name)));
        let counts = ours.flat_map(|line| line.split([':', ',']));
        let counts = counts.filter_map(|field| {
            let count = field.strip_prefix("calls=").or_else(|| field.strip_prefix("rejected_calls="))?;
            count.trim().parse::<u64>().ok()
        });
        counts.sum()
    }

    /// The rules that can be held against it: it stamps no arrivals, and its counts are the scenario's to judge.
    pub(crate) fn rules() -> Rules {
        Rules {
            arrivals_are_stamped: false,
            amplification: false,
            attempts_arrive: false,
            ..Rules::default()
        }
    }

    /// The connections of clients, by the server's numbers for them.
    pub(crate) fn connections(server: &RedisServer) -> BTreeSet<u64> {
        clients(server).into_keys().collect()
    }
}

/// The clients that are connected and do not come from here, by their numbers, and what the server says of each.
pub(crate) fn clients(server: &RedisServer) -> BTreeMap<u64, String> {
    let told = server.cli(&["CLIENT", "LIST"]);
    let others = told.lines().filter(|line| !line.contains("cmd=client"));
    let numbered = others.filter_map(|line| {
        let id = line.strip_prefix("id=")?.split(' ').next()?.parse().ok()?;
        Some((id, line.to_owned()))
    });
    numbered.collect()
}
