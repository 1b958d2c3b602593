//! A pool that panics as it is opened: it is tried again, ever more slowly, and callers are told so at once.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use seawall_testkit::{Ask, Behaviour, Opening, Reaction, Scripted};
use std::sync::Arc;

use crate::harness::times::now;
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(R2, "a pool that panics as it is opened", beside, play);

/// How often it panics.
const PANICS: u64 = 5;

async fn play(stage: Stage) -> Report {
    let settings = Settings::reference(stage.full)
        .over("services.brittle = { kind = \"scripted\", startup = { mode = \"lazy\" }, breaker = false }");
    let behaviour = Behaviour::new(|_| Reaction::Reply);
    let builds = Arc::<Mutex<Vec<Instant>>>::default();
    let built = builds.clone();
    behaviour.open(move |before| {
        built.lock().push(now());
        if before < PANICS { Opening::Panics } else { Opening::Succeeds }
    });
    let given = behaviour.clone();
    let bed =
        Bed::build(&stage, settings, |builder| builder.kind::<Scripted>().extension("brittle", given)).await;
    let during = async |bed: &Bed| {
        let brittle = bed.runtime.service::<Scripted>("brittle").unwrap_or_else(|error| panic!("{error}"));
        let (mut slowest, mut states) = (Duration::ZERO, Vec::new());
        let end = now() + Duration::from_secs(6);
        let mut waited = 0;
        while now() < end {
            let started = now();
            let answer = brittle.send(Ask(1)).await;
            // The first waits for the pool that is being opened; the others are told.
            if waited > 0 {
                slowest = slowest.max(started.elapsed());
            }
            waited += 1;
            let shards = bed.runtime.snapshot().service("brittle").map(|service| service.shards.clone());
            for shard in shards.into_iter().flatten() {
                if !states.contains(&shard.state) {
                    states.push(shard.state);
                }
            }
            if answer.is_ok() {
                return (slowest, states, true);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (slowest, states, false)
    };
    let ((slowest, states, recovered), outcome) = bed.play(during).await;
    let builds = builds.lock().clone();
    let mut report = Report::default();
    report.holds("it recovered", recovered, recovered, "true");
    report.exactly("builds", builds.len() as u64, PANICS + 1);
    let noise = outcome.noise.longest(outcome.marks.start, outcome.marks.end);
    // At once, and then from 100 ms on twice as long each time.
    let pauses: Vec<Duration> = builds.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (number, pause) in pauses.iter().enumerate() {
        let table = if number == 0 { Duration::ZERO } else { Duration::from_millis(100 << (number - 1)) };
        let near = *pause + Duration::from_millis(5) >= table.mul_f64(0.5)
            && *pause <= table.mul_f64(1.5) + Duration::from_millis(50) + noise;
        report.holds(
            format!("pause {}", number + 1),
            near,
            format!("{pause:.0?}"),
            format!("about {table:.0?}"),
        );
    }
    report.within("slowest refusal", slowest, Duration::from_millis(20) + noise);
    let visible = states.contains(&"restarting");
    report.holds("its states are shown", visible, states.join(", "), "restarting among them");
    Rules { panics: PANICS, ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}
