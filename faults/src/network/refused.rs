//! Nobody listens: connections are refused for as long as the server is gone.

use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::times::quantile;
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(N1, "the port refuses", alone, play);

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let outcome = bed.run(async |bed: &Bed| bed.origin.kill(), async |bed: &Bed| bed.origin.revive()).await;
    let mut report = Report::default();
    let opened = outcome.breaker_to(State::Open);
    report.at_least("times it opened", opened.len(), 1);
    let Some(first) = opened.first() else { return report };
    // The window is of a hundred outcomes, which were all good until now: it takes fifty failures, and a call makes up
    // to three.
    let until = outcome.faulty().filter(|record| record.started < *first).count();
    report.at_most("calls until it opens", until, 50);
    let later = outcome.faulty().filter(|record| record.started > *first && !record.is_answer());
    let noise = outcome.noise.p99(outcome.marks.fault, outcome.marks.healed);
    let p99 = quantile(later.filter_map(|record| record.elapsed()).collect(), 0.95);
    report.within("p95 of failing while it is open", p99, Duration::from_millis(5) + noise);
    Rules { attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
