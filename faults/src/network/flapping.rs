//! A server that comes and goes ten times a second.

use std::time::Duration;

use seawall_testkit::FaultProxy;

use crate::harness::{Bed, Origin, Report, Rules, Settings, Stage};

crate::scenario!(N26, "a line that comes and goes", beside, play);

const BEAT: Duration = Duration::from_millis(100);

async fn play(stage: Stage) -> Report {
    let origin = Origin::start();
    let proxy = FaultProxy::seeded(origin.addr(), stage.seed);
    let settings = Settings::reference(stage.full).subject(&format!("url = \"http://{}\"", proxy.addr()));
    let bed = Bed::start(&stage, settings).await.with_origin(origin);
    let flap = async |_: &Bed| {
        let end = tokio::time::Instant::now() + stage.during();
        while tokio::time::Instant::now() < end {
            proxy.refuse().await;
            proxy.reset_open().await;
            tokio::time::sleep(BEAT).await;
            proxy.heal().await;
            tokio::time::sleep(BEAT).await;
        }
    };
    let outcome = bed.run(flap, async |_: &Bed| proxy.heal().await).await;
    let mut report = Report::default();
    let changes = outcome.events.iter().filter(|seen| {
        matches!(seen.event.what, seawall::telemetry::What::Breaker { .. }) && seen.at < outcome.marks.healed
    });
    let open = outcome.settings.open_time.as_secs_f64() * 0.95;
    let lasted = outcome.marks.healed.duration_since(outcome.marks.fault).as_secs_f64();
    // Open, half-open, and open again or closed: three changes at most each time.
    report.at_most("changes of the breaker", changes.count(), (lasted / open * 3.0) as usize + 3);
    Rules { growth: 32 << 20, attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
