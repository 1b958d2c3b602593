//! Keys that were loaded in one second do not expire in one.

use std::time::Duration;

use futures_util::future::join_all;

use crate::harness::times::now;
use crate::harness::{Bed, Keyed, Report, Rules, Settings, Stage};

crate::scenario!(K4, "keys that were written in the same second", beside, play);

/// In how many parts of its time to live a wave is looked for.
const PARTS: u32 = 5;

async fn play(stage: Stage) -> Report {
    let keys: u64 = stage.either(10_000, 500);
    let ttl = Duration::from_millis(stage.either(5_000, 2_000));
    let cache = format!("{{ ttl = \"{}ms\", jitter = \"80%\" }}", ttl.as_millis());
    let settings = Settings::reference(stage.full).subject(&format!(
        "cache = {cache}\ncalls.Keyed.cache = {cache}\ntimeout = \"30s\"\nbreaker = false\nbulkhead = {{ max_queue = 10000, queue_timeout = \"30s\" }}"
    ));
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        let sweep = async || {
            let answers = join_all((0..keys).map(|key| bed.subject.send(Keyed { key }))).await;
            answers.iter().filter(|answer| answer.is_err()).count()
        };
        let mut failed = sweep().await;
        let loaded = now();
        while loaded.elapsed() < ttl * 3 {
            tokio::time::sleep(ttl / 40).await;
            failed += sweep().await;
        }
        (failed, loaded)
    };
    let ((failed, loaded), outcome) = bed.play(during).await;
    let mut parts = vec![0_usize; 3 * PARTS as usize];
    for arrival in outcome.arrivals.iter().filter(|arrival| arrival.at >= loaded) {
        let part = arrival.at.duration_since(loaded).as_nanos() / (ttl / PARTS).as_nanos();
        if let Some(count) = parts.get_mut(part as usize) {
            *count += 1;
        }
    }
    // From the first expiry on.
    let parts: Vec<usize> = parts.into_iter().skip_while(|count| *count == 0).collect();
    let mean = parts.iter().sum::<usize>() as f64 / parts.len().max(1) as f64;
    let peak = parts.iter().copied().max().unwrap_or_default() as f64;
    let mut report = Report::default();
    report.exactly("calls that failed", failed, 0);
    report.at_least("loads after the first", outcome.arrivals.len() as u64, keys * 2);
    report.holds(
        "peak over mean of loads",
        peak <= 3.0 * mean,
        format!("{:.2}", peak / mean.max(1.0)),
        format!("<= 3 ({parts:?} in parts of {:?})", ttl / PARTS),
    );
    let rules = Rules {
        isolation: false,
        arrivals_are_stamped: false,
        max_queue: 10_000,
        // Ten thousand calls at once have their futures, and the allocator keeps their room.
        growth: 64 << 20,
        deadline: None,
        ..Rules::unloaded()
    };
    rules.judge(&outcome, &mut report);
    report
}
