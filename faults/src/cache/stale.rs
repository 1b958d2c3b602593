//! The server dies, and kept replies stand in for it: for so long, and never without saying so.

use std::sync::Arc;
use std::time::Duration;

use seawall::Origin;

use crate::harness::load::{End, Shoot};
use crate::harness::{Bed, Keyed, Report, Rules, Settings, Stage};

crate::scenario!(K5, "kept replies while the server is dead", beside, play);

const KEYS: u64 = 20;

async fn play(mut stage: Stage) -> Report {
    let (ttl, stale) = stage.either((5_000, 60_000), (500, 1_500));
    let (ttl, stale) = (Duration::from_millis(ttl), Duration::from_millis(stale));
    let cache =
        format!("{{ ttl = \"{}ms\", stale_if_error = \"{}ms\" }}", ttl.as_millis(), stale.as_millis());
    let settings =
        Settings::reference(stage.full).subject(&format!("cache = {cache}\ncalls.Keyed.cache = {cache}"));
    // Dead for longer than anything may be served.
    stage.longer = if stage.full { Duration::from_secs(70) } else { Duration::from_secs(1) };
    let bed = Bed::start(&stage, settings).await;
    let subject = bed.subject.clone();
    let shoot: Shoot = Arc::new(move |shot| {
        let subject = subject.clone();
        Box::pin(async move {
            let key = shot.nonce % KEYS;
            End::of(&subject.send(Keyed { key }).await, key)
        })
    });
    let kill = async |bed: &Bed| bed.origin.kill();
    let outcome =
        bed.run_with(shoot, crate::harness::bed::RATE, kill, async |bed: &Bed| bed.origin.revive()).await;
    let mut report = Report::default();
    let answers: Vec<_> = outcome
        .faulty()
        .filter_map(|record| match record.ended.as_ref()? {
            (_, End::Answer { origin, age, .. }) => Some((record, *origin, *age)),
            _ => None,
        })
        .collect();
    let slack = Duration::from_millis(50);
    let stale_ones = answers.iter().filter(|(_, origin, _)| *origin == Origin::Stale);
    report.at_least("stale answers", stale_ones.clone().count(), 10);
    let too_old = stale_ones.clone().filter(|(_, _, age)| *age > ttl + stale + slack).count();
    report.exactly("older than allowed", too_old, 0);
    let unmarked = answers.iter().filter(|(_, origin, age)| *origin == Origin::Cached && *age > ttl + slack);
    report.exactly("stale and not marked so", unmarked.count(), 0);
    // What was under way when the server died may still have come.
    let settled = outcome.marks.fault + slack;
    let fresh =
        answers.iter().filter(|(record, origin, _)| record.started > settled && *origin == Origin::Fresh);
    report.exactly("fresh from a dead server", fresh.count(), 0);
    let last: Vec<_> = outcome
        .faulty()
        .filter(|record| record.started > outcome.marks.fault + ttl + stale + slack)
        .collect();
    let answered = last.iter().filter(|record| record.is_answer()).count();
    report.at_least("calls after all of it", last.len(), 10);
    report.exactly("of them answered", answered, 0);
    Rules { attempts_arrive: false, writes: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
