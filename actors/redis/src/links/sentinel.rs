//! Who is the primary, by the sentinels that watch it.
//!
//! Sentinels are asked all at once, and of what half of them and one more say the newest is believed: each of their
//! decisions has a number that only rises (`config-epoch`). One that is cut off from the others still names the old
//! primary, and is outvoted. One that hangs costs nothing, while enough of the others answer.
//!
//! A primary that was just named may still be a replica, or be one again: so it is asked for its role when a connection to
//! it is made, and the connection is used only where it says that it is a primary.

use std::collections::HashMap;

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{Value, aio::MultiplexedConnection};
use seawall::downstream::{Blame, Failure, Reached, Symptom};

use super::Dialer;
use crate::{RedisSettings, failure, target::Target};

/// The primary that they name.
///
/// # Errors
/// If none of them answers, or none knows it.
pub(super) async fn primary(dialer: &Dialer, settings: &RedisSettings) -> Result<Target, Failure> {
    let sentinels = settings.targets();
    let name = settings.master().unwrap_or_default();
    let mut asked: FuturesUnordered<_> = sentinels.iter().map(|target| ask(dialer, target, name)).collect();
    let (mut answers, mut newest, mut failed) = (0, None::<(u64, Target)>, None);
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(named) => {
                answers += 1;
                if newest.as_ref().is_none_or(|(epoch, _)| named.0 > *epoch) {
                    newest = Some(named);
                }
                if answers > sentinels.len() / 2 {
                    break;
                }
            }
            Err(failure) => failed = Some(failure),
        }
    }
    match (newest, failed) {
        (Some((_, target)), _) => Ok(target),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(unknown(name)),
    }
}

/// What one of them says: the number of its decision, and the primary.
async fn ask(dialer: &Dialer, sentinel: &Target, name: &str) -> Result<(u64, Target), Failure> {
    let connected = dialer.sentinel(sentinel).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("MASTER").arg(name);
    let said: Result<HashMap<String, String>, _> =
        command.query_async(&mut connected.connection.clone()).await;
    // A name that it does not know is an ordinary error of its; others have a code of their own, and are about who asks.
    let said = said.map_err(|error| match error.code() {
        Some("ERR") => unknown(name),
        _ => failure::of_handshake(&error, sentinel),
    })?;
    let number = |key: &str| said.get(key)?.parse().ok();
    let epoch = said.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    let (Some(host), Some(port)) = (said.get("ip"), number("port")) else { return Err(unknown(name)) };
    Ok((epoch, Target::new(host.clone(), port, sentinel.is_tls())))
}

fn unknown(name: &str) -> Failure {
    Failure::new(Blame::Downstream, format!("the sentinels know no primary \"{name}\"; see `redis.master`"))
        .symptom(Symptom::Connect)
        .reached(Reached::No)
        .code("sentinel")
}

/// Asks a server for its role.
///
/// # Errors
/// If it is no primary, or does not say.
pub(super) async fn expect_primary(
    connection: &MultiplexedConnection,
    target: &Target,
) -> Result<(), Failure> {
    let role: Result<Value, _> = redis::cmd("ROLE").query_async(&mut connection.clone()).await;
    let role = role.map_err(|error| failure::of_handshake(&error, target))?;
    let is_primary = match &role {
        Value::Array(parts) => matches!(parts.first(), Some(Value::BulkString(role)) if role == b"master"),
        _ => false,
    };
    match is_primary {
        true => Ok(()),
        false => {
            Err(Failure::new(Blame::Topology, format!("{target} was named as the primary, and is none"))
                .symptom(Symptom::Connect)
                .reached(Reached::No)
                .code("role"))
        }
    }
}
