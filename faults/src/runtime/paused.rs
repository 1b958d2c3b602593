//! The process itself is stopped for a while, and goes on.

use std::process::Command;
use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::bed::RATE;
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(R8, "this process is stopped, and goes on", beside, play);

async fn play(stage: Stage) -> Report {
    let pause = stage.either(60, 3);
    let mut bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    bed.forgets_pauses = true;
    let resumed = std::cell::Cell::new(crate::harness::times::now());
    let fault = async |_: &Bed| {
        // Somebody else must wake us.
        let own = std::process::id();
        let order = format!("kill -STOP {own}; sleep {pause}; kill -CONT {own}");
        let mut waker = Command::new("sh").args(["-c", &order]).spawn().unwrap_or_else(|error| {
            panic!("no shell to stop this process with: {error}");
        });
        let before = crate::harness::times::now();
        while before.elapsed() < Duration::from_secs(pause) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        resumed.set(crate::harness::times::now());
        let _ = waker.wait();
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    let resumed = resumed.get();
    let within = resumed..resumed + Duration::from_secs(1);
    let attempts = outcome.arrivals.iter().filter(|arrival| within.contains(&arrival.at)).count();
    report.at_most("attempts in the first second", attempts, (2.0 * RATE) as usize);
    report.exactly("times it opened", outcome.breaker_to(State::Open).len(), 0);
    let failed = outcome.recovered().filter(|record| !record.is_answer()).count();
    report.holds(
        "calls that failed later",
        failed == 0,
        failed,
        format!("= 0 ({})", crate::harness::load::tally(outcome.recovered())),
    );
    // Calls under way stood still with the process: what they took is the pause. Amplification and isolation go by the
    // same clock.
    let rules = Rules {
        deadline: None,
        isolation: false,
        arrivals_are_stamped: false,
        attempts_arrive: false,
        ..Rules::default()
    };
    rules.judge(&outcome, &mut report);
    report
}
