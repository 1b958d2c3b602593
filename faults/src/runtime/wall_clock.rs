//! The wall clock jumps by a day and back: nothing opens, closes or expires by it.
//!
//! libfaketime moves it for this process alone, from a file that is read at each question; the monotonic clock stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use seawall::Origin;
use seawall::policy::breaker::State;

use crate::harness::again::again;
use crate::harness::times::now;
use crate::harness::{Bed, Keyed, Manner, Report, Rules, Settings, Stage};

crate::scenario!(R7, "the wall clock jumps by a day, and back", beside, play);

/// What says that this process is the one whose clock jumps.
const FILE: &str = "FAKETIME_TIMESTAMP_FILE";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn play(stage: Stage) -> Report {
    match std::env::var_os(FILE) {
        Some(file) => jump(stage, Path::new(&file)).await,
        None => under_faketime(&stage),
    }
}

/// Plays itself again in a process under libfaketime, and reports what that found.
fn under_faketime(stage: &Stage) -> Report {
    let Some(library) = library() else {
        let mut report = Report::default();
        let advice = "install it: `cargo xtask setup`, or `apt-get install faketime`";
        report.holds("libfaketime", false, "missing", advice);
        return report;
    };
    let file = std::env::temp_dir().join(format!("seawall-faults-clock-{}", std::process::id()));
    write(&file, "+0");
    let report = again("R7", stage, |command| {
        command.env("LD_PRELOAD", library).env(FILE, &file);
        command
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    });
    let _ = fs::remove_file(&file);
    report
}

fn library() -> Option<PathBuf> {
    let folders = ["x86_64-linux-gnu", "aarch64-linux-gnu", ""];
    let paths = folders.iter().flat_map(|folder| {
        ["/usr/lib", "/usr/local/lib"]
            .map(|root| Path::new(root).join(folder).join("faketime").join("libfaketimeMT.so.1"))
    });
    paths.into_iter().find(|path| path.exists())
}

fn write(file: &Path, offset: &str) {
    // In one step: the library reads at any moment.
    let aside = file.with_extension("next");
    let written = fs::write(&aside, offset).and_then(|()| fs::rename(&aside, file));
    written.unwrap_or_else(|error| panic!("the clock's file cannot be written: {error}"));
}

async fn jump(stage: Stage, file: &Path) -> Report {
    let settings = Settings::reference(stage.full)
        .subject(
            "cache = { ttl = \"2s\", jitter = 0.0, stale_if_error = \"0s\" }\nbreaker.reset_jitter = 0.0",
        )
        // Its derive says 5 s, which beats the service.
        .subject("calls.Keyed.cache = { ttl = \"2s\", jitter = 0.0, stale_if_error = \"0s\" }");
    let open = settings.open_time;
    let bed = Bed::start(&stage, settings).await;
    let mut moved = Duration::ZERO;
    let (mut early, mut late) = (0, 0);
    let fault = async |bed: &Bed| {
        for offset in stage.either(&["+1d", "-1d", "+1", "+0"][..], &["+1d", "-1d"]) {
            let loaded = now();
            let key = loaded.elapsed().as_nanos() as u64 + bed.events().len() as u64;
            let _ = bed.subject.send(Keyed { key }).refresh().await;
            let before = SystemTime::now();
            write(file, offset);
            let after = SystemTime::now();
            let jumped = after.duration_since(before).unwrap_or_else(|back| back.duration());
            moved = moved.max(jumped);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let kept = bed.subject.send(Keyed { key }).await;
            early += usize::from(kept.is_ok_and(|answer| answer.origin() != Origin::Cached));
            tokio::time::sleep(Duration::from_millis(550)).await;
            let gone = bed.subject.send(Keyed { key }).await;
            late += usize::from(gone.is_ok_and(|answer| answer.origin() != Origin::Fresh));
            // And once more while the breaker is open.
            bed.origin.behave(Manner::failing(500));
            tokio::time::sleep(Duration::from_millis(600)).await;
            write(file, if *offset == "+1d" { "-1d" } else { "+1d" });
            tokio::time::sleep(Duration::from_millis(600)).await;
            bed.origin.behave(Manner::default());
            tokio::time::sleep(open * 3).await;
        }
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    report.at_least("hours that the clock was moved by", moved.as_secs() / 3600, DAY.as_secs() / 3600 - 1);
    report.exactly("entries that expired early", early, 0);
    report.exactly("entries that were kept too long", late, 0);
    let (opened, half) = (outcome.breaker_to(State::Open), outcome.breaker_to(State::HalfOpen));
    report.at_least("times it opened", opened.len(), 2);
    let noise = outcome.noise.longest(outcome.marks.start, outcome.marks.end);
    let off = opened.iter().filter_map(|opened| {
        let probed = half.iter().find(|half| *half > opened)?;
        Some(probed.saturating_duration_since(*opened).abs_diff(open))
    });
    report.within(
        "a transition off by",
        off.max().unwrap_or(Duration::MAX),
        Duration::from_millis(50) + noise,
    );
    Rules { books: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
