//! More keys, tenants and names than anything may keep.

use seawall_testkit::{Behaviour, Lookup, Reaction, Scripted};

use crate::harness::resources::Resources;
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(C7, "millions of keys and tenants", beside, play);

const CAP: u64 = 16 << 20;

async fn play(stage: Stage) -> Report {
    let keys: u64 = stage.either(10_000_000, 250_000);
    let settings = Settings::reference(stage.full).over(
        "runtime.cache_max_bytes = \"16MiB\"\n\
         services.wide = { kind = \"scripted\", cache = { per = \"tenant\", ttl = \"1h\" } }",
    );
    let behaviour = Behaviour::new(|_| Reaction::Reply);
    let given = behaviour.clone();
    let bed =
        Bed::build(&stage, settings, |builder| builder.kind::<Scripted>().extension("wide", given)).await;
    let during = async |bed: &Bed| {
        let wide =
            bed.runtime.service::<Scripted>("wide").unwrap_or_else(|error| panic!("no service: {error}"));
        let warm = 20_000;
        let mut failed = 0;
        let (mut series, mut rss) = (0, 0);
        for key in 0..keys {
            let tenant = format!("tenant-{key}");
            failed += usize::from(wide.send(Lookup(key)).tenant(tenant).await.is_err());
            if key == warm {
                (series, rss) = (bed.runtime.metrics().lines().count(), Resources::now().rss);
            }
            // The loop would keep this thread from everything else.
            if key % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let grown = Resources::now().rss.saturating_sub(rss);
        (failed, bed.runtime.metrics().lines().count() - series, grown, bed.runtime.snapshot().cache)
    };
    let ((failed, series, grown, cache), outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.exactly("calls that failed", failed, 0);
    report.exactly("attempts at the downstream", behaviour.attempts(), keys);
    report.exactly("series added", series, 0);
    report.at_most("bytes that the cache counts", cache.bytes, CAP);
    report.at_most("MiB grown since the first keys", grown >> 20, (CAP + CAP / 10) >> 20);
    // The neighbour shares its threads with nobody, but the machine with a loop that never rests.
    Rules { growth: CAP + CAP / 2, isolation: false, ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}
