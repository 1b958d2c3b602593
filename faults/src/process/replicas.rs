//! A service of three replicas: one goes after the other and comes back, or one of them fails everything at once.

use std::time::Duration;

use crate::harness::load::tally;
use crate::harness::{Bed, Manner, Origin, Outcome, Report, Rules, Settings, Stage};

crate::scenario!(P5, "three replicas are restarted in turn", beside, rolling);
crate::scenario!(P15, "one replica of three fails at once, and fast", beside, grey);

/// Starts the two replicas beside the bed's own, and a bed that calls all three.
async fn three(stage: &Stage, settings: Settings) -> (Bed, [Origin; 2]) {
    let [first, second, third] = [Origin::start(), Origin::start(), Origin::start()];
    let urls = [&first, &second, &third].map(Origin::url);
    let bed = Bed::start(stage, settings.subject(&format!("urls = {urls:?}"))).await;
    (bed.with_origin(first), [second, third])
}

/// All three saw what the service was asked.
fn together(outcome: &mut Outcome, others: &[Origin; 2]) {
    for other in others {
        other.settle();
        outcome.arrivals.extend(other.arrivals());
    }
}

async fn rolling(stage: Stage) -> Report {
    // Left alone for less time than the quick form has, so that each is seen to be asked again.
    let eject = stage.either("5s", "500ms");
    let settings = Settings::reference(stage.full).subject(&format!("outlier.eject = \"{eject}\""));
    let (bed, others) = three(&stage, settings).await;
    let down = Duration::from_millis(stage.either(2_000, 600));
    let mut in_flight = 0;
    let fault = async |bed: &Bed| {
        for replica in [&bed.origin, &others[0], &others[1]] {
            let snapshot = bed.runtime.snapshot();
            let bulkhead = snapshot.service("subject").and_then(|service| service.bulkhead);
            in_flight += bulkhead.map_or(0, |bulkhead| bulkhead.in_flight as usize);
            replica.kill();
            tokio::time::sleep(down).await;
            replica.revive();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut outcome = bed.run(fault, async |_: &Bed| {}).await;
    together(&mut outcome, &others);
    let mut report = Report::default();
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    // One more for each kill, whose call may have begun between the look and the signal.
    report.at_most("calls that failed", failed, in_flight + 3);
    report.note("how calls ended", tally(&outcome.records));
    for (name, origin) in ["first", "second", "third"].iter().zip([&outcome.origin, &others[0], &others[1]]) {
        let in_life = |life| origin.arrivals().iter().filter(|arrival| arrival.life == life).count();
        report.note(
            format!("requests at the {name}, before and after"),
            format!("{}, {}", in_life(1), in_life(2)),
        );
    }
    Rules { attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}

async fn grey(stage: Stage) -> Report {
    let settings = Settings::reference(stage.full)
        .subject("retry.on = [\"connect\", \"reset\", \"timeout\", \"overload\", \"response\"]");
    let (bed, others) = three(&stage, settings).await;
    let fault = async |_: &Bed| others[0].behave(Manner::failing(500));
    let mut outcome = bed.run(fault, async |_: &Bed| others[0].behave(Manner::default())).await;
    together(&mut outcome, &others);
    let mut report = Report::default();
    let (all, answered) = (outcome.faulty().count(), outcome.faulty().filter(|one| one.is_answer()).count());
    report.share("success", answered, all, 0.99);
    let within = outcome.marks.broken..outcome.marks.mending;
    let at_bad = others[0].arrivals().iter().filter(|arrival| within.contains(&arrival.at)).count();
    // Five in a row eject it; then a probe for each time that it is let back in.
    let probes = 5 + outcome.marks.mending.duration_since(outcome.marks.broken).as_secs() as usize;
    report.at_most("requests at the bad one", at_bad, probes * 2);
    Rules::default().judge(&outcome, &mut report);
    report
}
