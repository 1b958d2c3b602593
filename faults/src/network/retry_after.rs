//! Servers that say when to come back, in ways that can be honoured and in ways that cannot.

use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::times::now;
use crate::harness::{Bed, Get, Manner, Report, Rules, Settings, Stage};

crate::scenario!(N32, "a Retry-After of every kind", beside, play);

const NONCES: u64 = 1 << 50;

async fn play(stage: Stage) -> Report {
    let settings = Settings::reference(stage.full).subject(
        "timeout = \"3s\"\nmax_timeout = \"3s\"\nretry = { attempts = 2, retry_after_max = \"2s\" }",
    );
    let bed = Bed::start(&stage, settings).await;
    let values = [
        (429, "1"),
        (503, "1"),
        (429, "3600"),
        (503, "-5"),
        (503, "Mon, 01 Jan 2001 00:00:00 GMT"),
        (429, "1e99"),
        (429, "never"),
        (429, ""),
    ];
    let during = async |bed: &Bed| {
        let mut took = Vec::new();
        for (nonce, (status, value)) in (NONCES..).zip(values) {
            bed.origin.behave(Manner { retry_after: Some(value.to_owned()), ..Manner::failing(status) });
            let started = now();
            let answered = bed.subject.send(Get { nonce }).await.is_ok();
            took.push((value, answered, started.elapsed()));
        }
        // A 429 says that it is well: so many of them open nothing.
        bed.origin.behave(Manner { retry_after: Some("0".to_owned()), ..Manner::failing(429) });
        for nonce in (NONCES + 100..).take(100) {
            let _ = bed.subject.send(Get { nonce }).await;
        }
        took
    };
    let (took, outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.exactly("answered", took.iter().filter(|(_, answered, _)| *answered).count(), 0);
    let mut by_nonce = Vec::new();
    for (nonce, (value, ..)) in (NONCES..).zip(&took) {
        let mut came: Vec<_> =
            outcome.arrivals.iter().filter(|one| one.nonce == nonce).map(|one| one.at).collect();
        came.sort();
        by_nonce.push((*value, came));
    }
    for (value, came) in &by_nonce {
        let pause = came.get(1).map(|second| second.duration_since(came[0]));
        let (held, wanted) = match (*value, pause) {
            ("1", Some(pause)) => {
                (pause >= Duration::from_millis(990) && pause <= Duration::from_secs(2), "1 s to 2 s")
            }
            // More than it may ask for: no second try before that, and its caller has other plans.
            ("3600", None) => (true, "none"),
            (_, Some(pause)) => (pause <= Duration::from_secs(2), "within 2 s"),
            (_, None) => (*value != "1", "none, or within 2 s"),
        };
        let told = pause.map_or("none".to_owned(), |pause| format!("{pause:.0?}"));
        report.holds(format!("pause after {value:?}"), held, told, wanted);
    }
    report.exactly("times it opened", outcome.breaker_to(State::Open).len(), 0);
    Rules { deadline: Some(Duration::from_secs(3)), ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}
