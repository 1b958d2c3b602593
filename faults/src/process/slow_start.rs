//! A server that fails everything after its restart, and is slow for a while once it answers.

use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::{Bed, Manner, Report, Rules, Settings, Stage};

crate::scenario!(P14, "a server that starts slowly", beside, play);

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let failing = Duration::from_millis(stage.either(5_000, 1_500));
    let fault = async |bed: &Bed| {
        bed.origin.behave(Manner::failing(503));
        tokio::time::sleep(failing).await;
        // One in five fails where it is slow; the others are slow within bounds.
        let slow = Manner { jitter_us: 150_000, ..Manner::slow(Duration::from_millis(50)) };
        bed.origin.behave(slow);
    };
    let outcome = bed.run(fault, async |bed: &Bed| bed.origin.behave(Manner::default())).await;
    let mut report = Report::default();
    let closed = outcome.breaker_to(State::Closed);
    report.at_least("times it closed", closed.len(), 1);
    let Some(first) = closed.first() else { return report };
    let reopened = outcome.breaker_to(State::Open).into_iter().filter(|at| at > first).count();
    report.at_most("times it opened again", reopened, 1);
    Rules::default().judge(&outcome, &mut report);
    report
}
