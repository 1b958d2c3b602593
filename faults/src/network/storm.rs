//! The server comes back while five hundred callers wait for it: they do not all knock at once.

use std::time::Duration;

use futures_util::future::join_all;

use crate::harness::{Bed, Get, Report, Rules, Settings, Stage};

crate::scenario!(N28, "five hundred callers as the server comes back", beside, play);

const NONCES: u64 = 1 << 50;
const PROBES: usize = 5;
/// Connections that may be made at once, and all that there may be.
const POOL: usize = 64;

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let dead = Duration::from_millis(stage.either(20_000, 1_500));
    let mut back = None;
    let fault = async |bed: &Bed| {
        bed.origin.kill();
        tokio::time::sleep(dead).await;
        let callers = join_all((0..500).map(|caller| bed.subject.send(Get { nonce: NONCES + caller })));
        let revive = async {
            bed.origin.revive();
            back = Some(crate::harness::times::now());
        };
        tokio::join!(callers, revive);
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    let Some(back) = back else { return report };
    let accepts = outcome.origin.accepts();
    let within = |length: Duration| accepts.iter().filter(|at| **at >= back && **at < back + length).count();
    report.at_most("connections in the first second", within(Duration::from_secs(1)), POOL);
    // Until the breaker closes nothing comes but its probes, and theirs.
    let closed = outcome.breaker_to(seawall::policy::breaker::State::Closed);
    let first = closed.first().copied().unwrap_or(outcome.marks.end);
    let probes = outcome.arrivals.iter().filter(|one| one.life == 2 && one.at < first).count();
    report.at_most("requests before it closes", probes, PROBES + 1);
    Rules { attempts_arrive: false, books: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
