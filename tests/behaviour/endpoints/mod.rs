//! A service with several endpoints.

mod balance;
mod held;
mod outlier;
mod reload;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use seawall::{
    Failure, Runtime, Service,
    call::Reason,
    downstream::{Blame, Reached, Symptom},
    runtime::Builder,
    service::EndpointHealth,
    telemetry::{EventStream, What},
};
use seawall_testkit::{Ask, Asked, Behaviour, Change, Reaction, Scripted, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, start};

const THREE: &str = "endpoints = [\"a\", \"b\", \"c\"]\n";

/// The health of each endpoint.
fn health(runtime: &Runtime) -> Vec<EndpointHealth> {
    let users = runtime.snapshot().service("users").cloned().expect("it is there");
    users.endpoints.into_iter().map(|endpoint| endpoint.health.expect("there are several")).collect()
}

/// How many attempts each endpoint has ended.
fn attempts(runtime: &Runtime) -> Vec<u64> {
    health(runtime).iter().map(|health| health.successes + health.failures).collect()
}

/// An answer that says 500.
fn broken() -> Reaction {
    Reaction::Fail(Failure::new(Blame::Downstream, "it answered 500").symptom(Symptom::Response).code("500"))
}

fn refused() -> Reaction {
    Reaction::Fail(down().symptom(Symptom::Connect).reached(Reached::No))
}

/// What became of calls: answered, failed.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    answered: u64,
    failed: u64,
}

/// So many callers at once, one call after the other, each for this long.
async fn load(users: &Service<Scripted>, callers: u64, lasts: Duration) -> Ended {
    let until = Instant::now() + lasts;
    let mut calling: FuturesUnordered<_> = (0..callers)
        .map(|id| async move {
            let mut ended = Ended::default();
            while Instant::now() < until {
                match users.send(Ask(id)).await {
                    Ok(_) => ended.answered += 1,
                    Err(_) => {
                        ended.failed += 1;
                        // What is refused costs no time, and time must go on.
                        sleep(ms(1)).await;
                    }
                }
            }
            ended
        })
        .collect();
    let mut all = Ended::default();
    while let Some(ended) = calling.next().await {
        all.answered += ended.answered;
        all.failed += ended.failed;
    }
    all
}

/// What has been told of endpoints so far, in short.
fn told(events: &mut EventStream) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        match event.what {
            What::Ejected { endpoint, shadow, ejection } => {
                let mode = if shadow { "would be ejected" } else { "ejected" };
                told.push(format!("{endpoint} {mode}: {}", ejection.cause.word()));
            }
            What::Returned { endpoint, shadow, .. } => {
                told.push(format!("{endpoint} {}", if shadow { "would return" } else { "returned" }));
            }
            What::AllEjected { ejected, endpoints } => {
                told.push(format!("{ejected} of {endpoints}: all used"))
            }
            _ => {}
        }
    }
    told
}
