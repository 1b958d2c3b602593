//! Code of a user's that blocks its thread: told by name, and felt on that thread alone.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use seawall::telemetry::What;
use seawall_http::HttpCall;
use serde::{Deserialize, Deserializer};

use crate::harness::load::{End, Shoot};
use crate::harness::times::now;
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(C11, "a decoder that blocks its thread", alone, play);

const BLOCKED: Duration = Duration::from_secs(1);
/// How long a thread may be blocked before it is named.
const WATCHDOG: Duration = Duration::from_millis(100);

static BLOCKED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// What blocks whoever decodes it.
#[derive(Clone)]
struct Blocking;

impl<'de> Deserialize<'de> for Blocking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        *BLOCKED_AT.lock() = Some(now());
        // The fault itself.
        #[allow(clippy::disallowed_methods)]
        std::thread::sleep(BLOCKED);
        Ok(Self)
    }
}

#[derive(HttpCall)]
#[http(get = "/echo/{nonce}", reply = Blocking)]
struct Block {
    nonce: u64,
}

async fn play(stage: Stage) -> Report {
    let settings = Settings::reference(stage.full).over("runtime.watchdog = \"100ms\"");
    let bed = Bed::start(&stage, settings).await;
    let (blocked, neighbours) = (bed.arbiter(0), bed.arbiter(1));
    let bed = bed.calls_from(blocked, neighbours);
    let service = bed.subject.clone();
    let fault = async |bed: &Bed| {
        let (subject, thread) = (bed.subject.clone(), bed.thread(0));
        thread.spawn(async move { drop(subject.send(Block { nonce: 1 << 50 }).await) });
    };
    let shoot: Shoot = crate::harness::load::mixed(&service);
    let outcome = bed.run_with(shoot, crate::harness::bed::RATE, fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    let at = *BLOCKED_AT.lock();
    let stalled = outcome.events.iter().find(|seen| matches!(seen.event.what, What::ThreadStalled { .. }));
    let told = at.zip(stalled).map(|(at, seen)| seen.at.saturating_duration_since(at));
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.healed);
    report.within(
        "until it is told",
        told.unwrap_or(Duration::MAX),
        WATCHDOG + Duration::from_millis(200) + noise,
    );
    let recovered =
        outcome.events.iter().filter(|seen| matches!(seen.event.what, What::ThreadRecovered { .. }));
    report.at_least("told that it is over", recovered.count(), 1);
    let late = outcome.neighbour.iter().filter(|record| !matches!(record.end(), Some(End::Answer { .. })));
    report.exactly("neighbour's errors", late.count(), 0);
    // Calls on the blocked thread are as late as it is; those of the load time out there, and are told apart by no rule.
    let rules = Rules {
        deadline: Some(Duration::from_millis(500) + BLOCKED),
        books: false,
        recovery: false,
        attempts_arrive: false,
        ..Rules::default()
    };
    rules.judge(&outcome, &mut report);
    report
}
