//! A line that is slow, narrow, cut into pieces, or deaf in one direction: a proxy stands in for it.

use std::time::Duration;

use seawall::policy::breaker::State;
use seawall_testkit::{Direction, FaultProxy, Flow};

use crate::harness::bed::RATE;
use crate::harness::load::{Record, mixed, tally};
use crate::harness::settings::DEADLINE;
use crate::harness::times::quantile;
use crate::harness::{Bed, Manner, Origin, Outcome, Report, Rules, Settings, Stage};

crate::scenario!(N21, "a line with latency and jitter", alone, jitter);
crate::scenario!(N22, "a line of ten kilobytes a second", beside, narrow);
crate::scenario!(N23, "a line that cuts everything into pieces", beside, sliced);
crate::scenario!(N24, "a server that lingers before it closes", beside, lingering);
crate::scenario!(N25, "requests arrive, and replies are lost", beside, deaf);

/// Runs the usual load through a proxy that does this to each direction meanwhile.
async fn through(
    stage: &Stage,
    settings: Settings,
    manner: Manner,
    rate: f64,
    fault: impl Fn(Direction, &mut Flow),
) -> Outcome {
    let origin = Origin::start();
    let proxy = FaultProxy::seeded(origin.addr(), stage.seed);
    let settings = settings.subject(&format!("url = \"http://{}\"", proxy.addr()));
    let bed = Bed::start(stage, settings).await.with_origin(origin);
    bed.origin.behave(manner);
    let broken = async |_: &Bed| {
        for direction in [Direction::ToServer, Direction::ToClient] {
            proxy.flow(direction, |flow| fault(direction, flow));
        }
    };
    let shoot = mixed(&bed.subject);
    bed.run_with(shoot, rate, broken, async |_: &Bed| proxy.heal().await).await
}

async fn jitter(stage: Stage) -> Report {
    let outcome = through(&stage, Settings::reference(stage.full), Manner::default(), RATE, |_, flow| {
        // 20 to 180 ms, as 100 +- 80 ms.
        flow.delay = Duration::from_millis(20);
        flow.jitter = Duration::from_millis(160);
    })
    .await;
    let mut report = Report::default();
    report.exactly("times it opened", outcome.breaker_to(State::Open).len(), 0);
    let failed = outcome.faulty().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    // What it tells of its own latency, beside what its callers saw: most calls of the run were fast.
    let told = outcome.subject().calls.iter().find(|call| call.name == "Get").map(|call| call.latency.p95_us);
    let reads = outcome.records.iter().filter(|record| !crate::harness::load::is_write(record.nonce));
    let seen = quantile(reads.filter_map(Record::elapsed).collect(), 0.95).as_micros() as f64;
    let told = told.unwrap_or_default() as f64;
    report.holds(
        "p95 that it tells",
        (told - seen).abs() <= 0.1 * seen + 1_000.0,
        format!("{:.0} ms", told / 1e3),
        format!("{:.0} ms +- 10 %", seen / 1e3),
    );
    Rules::default().judge(&outcome, &mut report);
    report
}

async fn narrow(stage: Stage) -> Report {
    let large = Manner { body_bytes: 30 << 10, ..Manner::default() };
    let outcome = through(&stage, Settings::reference(stage.full), large, RATE, |direction, flow| {
        if direction == Direction::ToClient {
            flow.bandwidth = Some(10 << 10);
        }
    })
    .await;
    let mut report = Report::default();
    // Each connection has a full socket's worth of bytes under way when its line becomes narrow.
    let settled = outcome.marks.broken + DEADLINE;
    let late = outcome.faulty().filter(|record| record.started > settled && record.is_answer());
    let late = late.filter(|record| record.ended.as_ref().is_some_and(|(at, _)| *at < outcome.marks.mending));
    report.exactly("answers that cannot have come", late.count(), 0);
    report.note("how calls ended", tally(outcome.faulty()));
    // A narrow line goes on delivering what was asked before the fault ended.
    Rules { growth: 48 << 20, attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}

async fn sliced(stage: Stage) -> Report {
    // Hundreds of segments for each call, which the proxy is to write one by one.
    let outcome =
        through(&stage, Settings::reference(stage.full), Manner::default(), RATE / 4.0, |_, flow| {
            flow.slice = Some(1..=3);
        })
        .await;
    let mut report = Report::default();
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    Rules { growth: 32 << 20, ..Rules::default() }.judge(&outcome, &mut report);
    report
}

async fn lingering(stage: Stage) -> Report {
    use crate::harness::Hostile;
    use crate::harness::hostile::echo_bytes;
    use seawall_testkit::Script;
    let linger = Duration::from_secs(stage.either(5, 1));
    let hostile = Hostile::start(move |nonce, _| {
        let reply = echo_bytes(nonce).replacen("\r\n", "\r\nconnection: close\r\n", 1);
        Some(Script::new().write(reply).wait(linger).close())
    });
    let bed = Bed::hostile(&stage, Settings::reference(stage.full), hostile).await;
    let outcome = bed.run_hostile().await;
    let mut report = Report::default();
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    // The server keeps its ends for as long as it lingers; this process has both ends of each.
    let most = (crate::harness::bed::RATE * linger.as_secs_f64()) as usize + 3 * 64;
    report.at_most("in flight at the peak", outcome.peaks.in_flight, 64);
    report.at_most("descriptors later", outcome.later.descriptors, outcome.before.descriptors + most);
    Rules { growth: 32 << 20, ..Rules::default() }.judge(&outcome, &mut report);
    report
}

async fn deaf(stage: Stage) -> Report {
    let outcome =
        through(&stage, Settings::reference(stage.full), Manner::default(), RATE, |direction, flow| {
            if direction == Direction::ToClient {
                flow.lossy = true;
            }
        })
        .await;
    let mut report = Report::default();
    let writes = outcome.arrivals.iter().filter(|arrival| arrival.write);
    let mut nonces: Vec<u64> = writes.map(|arrival| arrival.nonce).collect();
    let all = nonces.len();
    nonces.sort_unstable();
    nonces.dedup();
    report.exactly("writes made twice", all - nonces.len(), 0);
    report.exactly("answers out of nowhere", outcome.answered_meanwhile(), 0);
    Rules { growth: 32 << 20, attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
