//! Headers without end.

use seawall_testkit::{Request, Script};

use crate::harness::load::tally;
use crate::harness::{Bed, Hostile, Report, Rules, Settings, Stage};

crate::scenario!(N16, "headers without end", alone, play);

async fn play(stage: Stage) -> Report {
    let bomb = |nonce: u64, _: &Request| {
        let start = Script::new().write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n");
        Some(match nonce % 3 {
            0 => start.write(format!("x-large: {}\r\n\r\n{{}}", "x".repeat(200 << 10))).close(),
            1 => start.write("x-small: y\r\n".repeat(10_000)).write("\r\n{}").close(),
            _ => start.write("x-line: ").write_repeated("x".repeat(64 << 10), 16).write("\r\n\r\n{}").close(),
        })
    };
    let bed = Bed::hostile(&stage, Settings::reference(stage.full), Hostile::start(bomb)).await;
    let outcome = bed.run_hostile().await;
    let mut report = Report::default();
    report.exactly("bombs taken for answers", outcome.answered_meanwhile(), 0);
    report.note("how calls ended", tally(outcome.faulty()));
    let peak = outcome.peaks.rss.saturating_sub(outcome.before.rss) >> 20;
    // Its server holds the megabyte that it writes, too.
    report.at_most("MiB at the peak", peak, 48);
    Rules { growth: 48 << 20, attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
