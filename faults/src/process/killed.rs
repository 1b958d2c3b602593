//! The server is killed under load, and started again.

use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(P1, "the server is killed, and started again", beside, play);

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let dead = Duration::from_millis(stage.either(5_000, 1_500));
    let fault = async |bed: &Bed| {
        bed.origin.kill();
        tokio::time::sleep(dead).await;
        bed.origin.revive();
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    report.at_least("times it opened", outcome.breaker_to(State::Open).len(), 1);
    let second_life = outcome.arrivals.iter().filter(|arrival| arrival.life == 2).count();
    report.at_least("requests at its second life", second_life, 100);
    let last = outcome.recovered().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed once it was well for long", last, 0);
    Rules { attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
