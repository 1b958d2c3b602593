//! Calls at a steady rate, whatever becomes of those before: an open loop.
//!
//! Each call has its time in the schedule, and its latency counts from there. A loop that waits for one answer before the
//! next call stops calling while the system stalls, and so never sees the stall ("coordinated omission"); this one starts
//! what is due as soon as it can, and what started late shows as slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use seawall::downstream::{Blame, Reached};
use seawall::{Answer, CallError};

use super::calls::{Echo, Get, Write};
use super::times::now;

/// How often a call's nonce is moved to make room for its number.
pub(crate) const NONCE_SHIFT: u32 = 40;

/// The load on the service under test, and that on its neighbour.
pub(crate) const SUBJECT: u64 = 1;
pub(crate) const NEIGHBOUR: u64 = 2;

/// One call that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot {
    /// Of no other call in this run.
    pub(crate) nonce: u64,
    /// How many came before it.
    pub(crate) index: u64,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Answer { origin: seawall::Origin, right: bool, age: Duration },
    Error(Class),
}

/// What kind of error it was.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// `rejected/breaker`, `timeout/queue`, `failed/refused`.
    pub(crate) word: String,
    /// Whether it says that time ran out, wherever.
    pub(crate) timeout: bool,
    pub(crate) reached: Reached,
    pub(crate) blame: Blame,
    /// All that it says, in both forms: for secrets to be looked for.
    pub(crate) text: String,
}

impl End {
    /// How a call ended that asked for `nonce`.
    pub(crate) fn of(result: &Result<Answer<Echo>, CallError>, nonce: u64) -> Self {
        Self::judged(result, |echo| echo.nonce == nonce)
    }

    /// How a call ended whose answer is judged by `right`.
    pub(crate) fn judged<R: 'static>(
        result: &Result<Answer<R>, CallError>,
        right: impl FnOnce(&R) -> bool,
    ) -> Self {
        match result {
            Ok(answer) => Self::Answer { origin: answer.origin(), right: right(answer), age: answer.age() },
            Err(error) => Self::Error(Class::of(error)),
        }
    }

    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Answer { .. })
    }

    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Answer { origin, .. } => origin.word(),
            Self::Error(class) => &class.word,
        }
    }
}

impl Class {
    pub(crate) fn of(error: &CallError) -> Self {
        let word = match error {
            CallError::Rejected(_) => {
                format!("rejected/{}", error.reason().map_or("?", |reason| reason.policy()))
            }
            CallError::TimedOut(_) => {
                // The stage stands in its text alone: "timed out after 500ms, waiting for the answer".
                let text = error.to_string();
                format!("timeout/{}", text.rsplit_once(", ").map_or("?", |(_, stage)| stage))
            }
            CallError::Failed(_) => {
                let failure = error.failure();
                let word = failure.map_or("?".to_owned(), |failure| match failure.get_code() {
                    Some(code) => code.to_owned(),
                    None => failure.looked_like().word().to_owned(),
                });
                format!("failed/{word}")
            }
            CallError::FallbackFailed(_) => "fallback_failed".to_owned(),
            _ => "unknown".to_owned(),
        };
        let mut text = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text += &format!(" {error}");
            cause = error.source();
        }
        Self { word, timeout: error.is_timeout(), reached: error.reached(), blame: error.blame(), text }
    }
}

/// One call from its place in the schedule to its end.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) nonce: u64,
    pub(crate) scheduled: Instant,
    pub(crate) started: Instant,
    pub(crate) ended: Option<(Instant, End)>,
}

impl Record {
    pub(crate) fn end(&self) -> Option<&End> {
        self.ended.as_ref().map(|(_, end)| end)
    }

    pub(crate) fn is_answer(&self) -> bool {
        self.end().is_some_and(End::is_answer)
    }

    /// From its place in the schedule to its end.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.ended.as_ref().map(|(at, _)| at.saturating_duration_since(self.scheduled))
    }

    /// From its start to its end.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        self.ended.as_ref().map(|(at, _)| at.saturating_duration_since(self.started))
    }
}

/// Makes one call.
pub(crate) type Shoot = Arc<dyn Fn(Shot) -> BoxFuture<'static, End> + Send + Sync>;

/// Whose threads the calls are made on.
#[derive(Clone)]
pub(crate) enum Via {
    /// In turn, as the workers of a web server do.
    Arbiters(Vec<actix_rt::ArbiterHandle>),
    /// Tokio's own, which run no local tasks.
    Tokio(tokio::runtime::Handle),
}

/// Calls under way, until they are stopped.
pub(crate) struct Load {
    records: Arc<Mutex<Vec<Record>>>,
    stopped: Arc<AtomicBool>,
}

impl Load {
    /// Starts `rate` calls a second. `id` tells its nonces from those of other loads.
    ///
    /// With `forgets_pauses` what is more than a tenth of a second late is not made up for: where this whole process was stopped,
    /// its callers were too.
    pub(crate) fn start(via: &Via, id: u64, rate: f64, shoot: Shoot, forgets_pauses: bool) -> Self {
        let load = Self { records: Arc::default(), stopped: Arc::default() };
        let start = tokio::time::Instant::now();
        let lanes = match via {
            Via::Arbiters(arbiters) => arbiters.len() as u64,
            Via::Tokio(_) => 1,
        };
        let schedule = move |index: u64| start + Duration::from_secs_f64(index as f64 / rate);
        for lane in 0..lanes {
            let (records, stopped, shoot) = (load.records.clone(), load.stopped.clone(), shoot.clone());
            let local = matches!(via, Via::Arbiters(_));
            let tick = async move {
                for index in (lane..).step_by(lanes as usize) {
                    let scheduled = schedule(index);
                    tokio::time::sleep_until(scheduled).await;
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    if forgets_pauses && scheduled.elapsed() > Duration::from_millis(100) {
                        continue;
                    }
                    let shot = Shot { nonce: id << NONCE_SHIFT | index, index };
                    let call = call(records.clone(), shot, scheduled.into_std(), shoot.clone());
                    if local {
                        drop(actix_rt::spawn(call));
                    } else {
                        tokio::spawn(call);
                    }
                }
            };
            match via {
                Via::Arbiters(arbiters) => drop(arbiters[lane as usize].spawn(tick)),
                Via::Tokio(handle) => drop(handle.spawn(tick)),
            }
        }
        load
    }

    /// Starts no more calls, and waits so long for those under way.
    pub(crate) async fn stop(self, patience: Duration) -> Vec<Record> {
        self.stopped.store(true, Ordering::Relaxed);
        // A call that was due in this moment is on its way into the records.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let end = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < end && self.records.lock().iter().any(|one| one.ended.is_none()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::take(&mut *self.records.lock())
    }
}

async fn call(records: Arc<Mutex<Vec<Record>>>, shot: Shot, scheduled: Instant, shoot: Shoot) {
    let place = {
        let mut records = records.lock();
        records.push(Record { nonce: shot.nonce, scheduled, started: now(), ended: None });
        records.len() - 1
    };
    let end = shoot(shot).await;
    let ended = now();
    if let Some(record) = records.lock().get_mut(place) {
        record.ended = Some((ended, end));
    }
}

/// Reads, and one write in ten.
pub(crate) fn mixed(service: &seawall::Service<seawall_http::Http>) -> Shoot {
    let service = service.clone();
    Arc::new(move |shot| {
        let service = service.clone();
        Box::pin(async move {
            let nonce = shot.nonce;
            let result = match is_write(nonce) {
                true => service.send(Write { nonce }).await,
                false => service.send(Get { nonce }).await,
            };
            End::of(&result, nonce)
        })
    })
}

/// Reads alone.
pub(crate) fn reads(service: &seawall::Service<seawall_http::Http>) -> Shoot {
    let service = service.clone();
    Arc::new(move |shot| {
        let service = service.clone();
        Box::pin(async move { End::of(&service.send(Get { nonce: shot.nonce }).await, shot.nonce) })
    })
}

/// Whether a mixed load writes with this nonce.
pub(crate) fn is_write(nonce: u64) -> bool {
    (nonce & ((1 << NONCE_SHIFT) - 1)) % 10 == 7
}

/// How many calls ended in which way: for people to read.
pub(crate) fn tally<'a>(records: impl IntoIterator<Item = &'a Record>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for record in records {
        *counts.entry(record.end().map_or("outstanding", End::word)).or_default() += 1;
    }
    counts.iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
}
