//! Redis as the tier that other services keep their replies in: `cache.shared` may name a service of this kind.
//!
//! Each question is one script, so that it is answered in one step: what it compares cannot change before it acts. It needs
//! a server of version 7 or newer, or Valkey. What lies there:
//!
//! ```text
//! seawall:v:{users}:...    an entry, in an envelope of the core's
//! seawall:l:{users}:...    the lease of an entry
//! seawall:e:{users}:t1f..  an epoch
//! seawall:n:{users}:t1f..  news: set and deleted at once, for those who track keys below `seawall:n:`
//! ```
//!
//! News is what tracking tells of those keys. Epochs and entries are not tracked themselves: they are written by every load,
//! and each write would be told to every process.
//!
//! In a cluster, the name of a service in braces keeps all of it on one node. There, news is not heard (each node tells of
//! its own keys alone, and nodes come and go), so what is kept in the cluster is not kept in memory besides.
//!
//! Let the server evict (`maxmemory-policy allkeys-lru`, or `allkeys-lfu`): what it evicts is loaded again, and never served old. One that may not
//! refuses new entries when it is full, and goes on to answer with those it has.

mod keys;
mod news;
mod scripts;

use std::sync::Arc;

use redis::{Cmd, Value};
use seawall::{
    Failure,
    call::Attempt,
    downstream::{
        OpenContext, SharedTier, Stamp, TierEntry, TierFound, TierGet, TierInvalidate, TierKept, TierLease,
        TierLeased, TierNews, TierPut, TierRelease,
    },
};
use tokio::time::Instant;

use crate::{Redis, RedisSettings, downstream::How, failure};
use keys::Keys;
use scripts::Script;

impl SharedTier for Redis {
    async fn get(&self, ask: &TierGet, until: Instant) -> Result<TierFound, Failure> {
        let keys = Keys::of(&ask.place.namespace, &ask.place.group);
        let mut all = vec![keys.entry(&ask.place.key)];
        all.extend(ask.place.epochs.iter().map(|epoch| keys.epoch(epoch)));
        let answer = self.run(&scripts::GET, &all, &[number(ask.largest)], ("TierGet", until)).await?;
        found(answer, ask.largest)
    }

    async fn lease(&self, ask: &TierLease, until: Instant) -> Result<TierLeased, Failure> {
        let (place, largest) = (&ask.get.place, ask.get.largest);
        let keys = Keys::of(&place.namespace, &place.group);
        let mut all = vec![keys.entry(&place.key), keys.lease(&place.key)];
        all.extend(place.epochs.iter().map(|epoch| keys.epoch(epoch)));
        let lifetime = ask.lifetime.max(ask.exclusive);
        let arguments = [
            number(largest),
            ask.known.clone().unwrap_or_default(),
            ask.stamp.to_vec(),
            number(lifetime.as_millis()),
            number((lifetime - ask.exclusive).as_millis()),
            number(u8::from(ask.seize)),
        ];
        let answer = self.run(&scripts::LEASE, &all, &arguments, ("TierLease", until)).await?;
        let Value::Array(parts) = answer else { return Err(nonsense()) };
        match parts.as_slice() {
            [Value::BulkString(word), Value::Array(epochs)] if word == b"granted" => {
                epochs.iter().map(stamp).collect::<Option<_>>().map(TierLeased::Granted).ok_or_else(nonsense)
            }
            [Value::BulkString(word)] if word == b"unsettled" => Ok(TierLeased::Unsettled),
            [Value::BulkString(word), Value::Int(left)] if word == b"held" => {
                Ok(TierLeased::Held(millis(*left)))
            }
            [Value::BulkString(word), answer] if word == b"found" => {
                found(answer.clone(), largest).map(TierLeased::Found)
            }
            _ => Err(nonsense()),
        }
    }

    async fn put(&self, ask: &TierPut, until: Instant) -> Result<TierKept, Failure> {
        let keys = Keys::of(&ask.place.namespace, &ask.place.group);
        let mut all = vec![keys.entry(&ask.place.key), keys.lease(&ask.place.key)];
        all.extend(ask.place.epochs.iter().map(|epoch| keys.epoch(epoch)));
        let mut arguments =
            vec![ask.stamp.to_vec(), ask.bytes.clone(), number(ask.lifetime.as_millis().max(1))];
        arguments.extend(ask.epochs.iter().map(|epoch| epoch.to_vec()));
        match self.run(&scripts::PUT, &all, &arguments, ("TierPut", until)).await? {
            Value::Int(1) => Ok(TierKept::Kept),
            Value::Int(0) => Ok(TierKept::Outdated),
            _ => Err(nonsense()),
        }
    }

    async fn release(&self, ask: &TierRelease, until: Instant) -> Result<(), Failure> {
        let keys = [Keys::of(&ask.place.namespace, &ask.place.group).lease(&ask.place.key)];
        self.run(&scripts::RELEASE, &keys, &[ask.stamp.to_vec()], ("TierRelease", until)).await.map(drop)
    }

    async fn invalidate(&self, ask: &TierInvalidate, until: Instant) -> Result<(), Failure> {
        let keys = Keys::of(&ask.namespace, &ask.group);
        let epochs = ask.epochs.iter().map(|epoch| keys.epoch(epoch));
        let all: Vec<_> = epochs.chain(ask.epochs.iter().map(|epoch| keys.news(epoch))).collect();
        let arguments = [number(ask.held.as_millis())];
        self.run(&scripts::INVALIDATE, &all, &arguments, ("TierInvalidate", until)).await.map(drop)
    }

    async fn watch(
        settings: &RedisSettings,
        context: &OpenContext,
        namespace: &str,
        news: &TierNews,
    ) -> Failure {
        let listener = Arc::new(news::Heard::new(namespace, news.clone()));
        match Self::track_alone(settings, context, [keys::news_of(namespace)], listener) {
            // It goes on by itself, and tells when it is lost and found.
            Ok(_tracking) => std::future::pending().await,
            Err(failure) => failure,
        }
    }
}

impl Redis {
    /// Runs a script by its hash, or in full where the server does not know it.
    async fn run(
        &self,
        script: &Script,
        keys: &[Vec<u8>],
        arguments: &[Vec<u8>],
        (name, until): (&'static str, Instant),
    ) -> Result<Value, Failure> {
        let attempt = Attempt::new(Arc::clone(self.service()), name, until);
        let command = |how: &str, what: &str| {
            let mut command = Cmd::new();
            command.arg(how).arg(what).arg(keys.len());
            keys.iter().chain(arguments).for_each(|argument| _ = command.arg(&**argument));
            command
        };
        let how = How::partial(true);
        match self.ask(&command("EVALSHA", script.hash()), how, &attempt).await {
            Err(failure) if failure.get_code() == Some("NOSCRIPT") => {
                self.ask(&command("EVAL", script.source()), how, &attempt).await
            }
            answer => answer,
        }
    }
}

/// What a place has: its entry's bytes, how many there are, how long they stay, and the epochs.
fn found(answer: Value, largest: usize) -> Result<TierFound, Failure> {
    let Value::Array(parts) = answer else { return Err(nonsense()) };
    let [entry, Value::Int(size), Value::Int(left), Value::Array(epochs)] = parts.as_slice() else {
        return Err(nonsense());
    };
    let entry = match entry {
        Value::BulkString(bytes) => Some(TierEntry {
            bytes: bytes.clone(),
            whole: usize::try_from(*size).is_ok_and(|size| size <= largest),
            // One that is there for ever was put there by nobody of us, and is read to be judged.
            left: (*left >= 0).then(|| millis(*left)),
        }),
        _ => None,
    };
    // An epoch that is held is no stamp.
    Ok(TierFound { entry, epochs: epochs.iter().map(stamp).collect() })
}

fn stamp(value: &Value) -> Option<Stamp> {
    match value {
        Value::BulkString(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

fn millis(millis: i64) -> std::time::Duration {
    std::time::Duration::from_millis(millis.max(0).cast_unsigned())
}

fn number(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn nonsense() -> Failure {
    failure::undecodable("an answer of the tier's script")
}
