//! The server ends its side of each connection and goes on reading: the end is seen before the next request is put on it.

use crate::harness::hostile::echo_bytes;
use crate::harness::resources::close_wait;
use crate::harness::{Bed, Hostile, Report, Rules, Settings, Stage};
use seawall_testkit::Script;

crate::scenario!(N11, "connections that the server has half closed", beside, play);

async fn play(stage: Stage) -> Report {
    let hostile =
        Hostile::start(|nonce, _| Some(Script::new().write(echo_bytes(nonce)).shutdown_write().swallow()));
    let bed = Bed::hostile(&stage, Settings::reference(stage.full), hostile).await;
    let outcome = bed.run_hostile().await;
    let mut report = Report::default();
    report.exactly("sockets in CLOSE_WAIT later", close_wait(), 0);
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.at_most("calls that failed", failed, outcome.records.len() / 1000);
    let open = outcome.hostile.as_ref().map_or(0, |hostile| hostile.stats().open);
    report.exactly("connections still open at the server", open, 0);
    Rules { growth: 32 << 20, attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
