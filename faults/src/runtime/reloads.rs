//! Settings that are read again under load: bad ones change nothing, good ones change everything at once.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use seawall::{Runtime, Service, Services};
use seawall_http::Http;

use crate::harness::logs::Logs;
use crate::harness::{Bed, Get, Keyed, Manner, Origin, Report, Rules, Settings, Stage, Write};

crate::scenario!(R9, "bad settings, again and again", beside, bad);
crate::scenario!(R10, "other settings, again and again", beside, good);

/// What this program says that it needs: settings without these are wrong.
#[derive(Services)]
struct Downstreams {
    #[service(calls(Get, Write, Keyed))]
    #[expect(dead_code, reason = "bound by name elsewhere")]
    subject: Service<Http>,
    #[service(calls(Get))]
    #[expect(dead_code, reason = "bound by name elsewhere")]
    neighbour: Service<Http>,
}

/// A folder of settings, gone with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("seawall-faults-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("no folder for settings: {error}"));
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("default.toml")
    }

    /// Replaces the settings in one step.
    fn put(&self, text: &str) {
        let aside = self.0.join("next");
        let put = fs::write(&aside, text).and_then(|()| fs::rename(&aside, self.file()));
        put.unwrap_or_else(|error| panic!("settings cannot be written: {error}"));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A bed whose settings are read from the folder.
async fn bed(
    stage: &Stage,
    folder: &Folder,
    with: impl FnOnce(seawall::runtime::Builder) -> seawall::runtime::Builder,
) -> (Bed, Settings) {
    let logs = Logs::capture();
    let (origin, neighbours) = (Origin::start(), Origin::start());
    let settings = Settings::reference(stage.full)
        .subject(&format!("url = \"{}\"\nhttp.headers = {{ x-config = \"1\" }}", origin.url()))
        .over(&format!("services.neighbour.url = \"{}\"", neighbours.url()));
    folder.put(&settings.text());
    let runtime = with(Runtime::builder().kind::<Http>().seed(stage.seed))
        .load(&folder.0)
        .unwrap_or_else(|error| panic!("the settings cannot be read: {error}"))
        .start()
        .await
        .unwrap_or_else(|error| panic!("no runtime: {error}"));
    (Bed::around(stage, settings.clone(), logs, origin, neighbours, runtime), settings)
}

async fn bad(stage: Stage) -> Report {
    let folder = Folder::new();
    let (bed, settings) = bed(&stage, &folder, |builder| builder.services::<Downstreams>()).await;
    let whole = settings.text();
    let mistaken: Vec<(&str, String)> = vec![
        ("truncated", whole[..whole.len() / 2].to_owned()),
        ("wrong type", settings.clone().subject("timeout = 500").text()),
        ("unknown key", settings.clone().subject("tiemout = \"1s\"").text()),
        ("no such kind", settings.clone().over("services.other.kind = \"hhtp\"").text()),
        ("empty", String::new()),
        ("rubbish", "\u{0}\u{1}]] = [".to_owned()),
        ("huge", format!("# {}\n{whole}\nx = 1", "x".repeat(100 << 20))),
    ];
    let (mut taken, mut unclear, mut refused) = (Vec::new(), Vec::new(), 0);
    let fault = async |bed: &Bed| {
        // Each on a thread of its own, as a file watcher would: reading 100 MiB takes a while.
        let mut judge = async |name: &str| {
            let runtime = bed.runtime.clone();
            let result =
                tokio::task::spawn_blocking(move || runtime.reload().map_err(|error| error.to_string()));
            match result.await {
                Ok(Ok(_)) => taken.push(name.to_owned()),
                Ok(Err(error)) => {
                    refused += 1;
                    if !error.contains("default.toml") || error.len() > 4_096 {
                        unclear.push(format!("{name}: {}", error.chars().take(200).collect::<String>()));
                    }
                }
                Err(error) => unclear.push(format!("{name}: {error}")),
            }
        };
        let file = folder.file();
        for (name, text) in &mistaken {
            folder.put(text);
            judge(name).await;
        }
        let _ = fs::remove_file(&file);
        judge("deleted").await;
        let _ = fs::create_dir(&file);
        judge("a directory").await;
        let _ = fs::remove_dir(&file);
        // Swapped a hundred times a second: each reload sees one whole file or another.
        for round in 0..stage.either(500, 50) {
            folder.put(if round % 2 == 0 { &mistaken[2].1 } else { &mistaken[1].1 });
            judge("swapped").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    report.holds("bad settings taken", taken.is_empty(), taken.len(), format!("= 0 ({})", taken.join(", ")));
    report.holds(
        "errors that do not say where",
        unclear.is_empty(),
        unclear.len(),
        format!("= 0 {unclear:?}"),
    );
    report.exactly("refusals told, less those made", outcome.snapshot.reloads_refused as i64 - refused, 0);
    report.exactly("generations applied", outcome.snapshot.config_generation, 1);
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    // 100 MiB were read and parsed beside it, and the allocator gives back what it likes; the neighbour shares the cores.
    Rules { growth: 64 << 20, isolation: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}

async fn good(stage: Stage) -> Report {
    let folder = Folder::new();
    let (bed, settings) = bed(&stage, &folder, |builder| builder).await;
    let second = Origin::start();
    let other = settings
        .clone()
        .subject(&format!("url = \"{}\"\nhttp.headers = {{ x-config = \"2\" }}\ntimeout = \"450ms\"\nbulkhead.max_in_flight = 32", second.url()))
        .over(&format!("services.extra = {{ kind = \"http\", url = \"{}\" }}", second.url()));
    let (mut refused, mut generations, mut old_sockets) = (Vec::new(), 1, u64::MAX);
    let rounds = stage.either(101, 11);
    let fault = async |bed: &Bed| {
        bed.origin.behave(Manner::slow(Duration::from_millis(20)));
        second.behave(Manner::slow(Duration::from_millis(20)));
        for round in 0..rounds {
            folder.put(&if round % 2 == 0 { other.text() } else { settings.text() });
            match bed.runtime.reload() {
                Ok(_) => generations += 1,
                Err(error) => refused.push(error.to_string()),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let heal = async |bed: &Bed| {
        // It ended on the second server: nothing may be left at the first.
        let end = tokio::time::Instant::now() + Duration::from_secs(10);
        while bed.origin.open_connections() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        old_sockets = bed.origin.open_connections();
    };
    let mut outcome = bed.run(fault, heal).await;
    second.settle();
    let mut report = Report::default();
    report.holds(
        "good settings refused",
        refused.is_empty(),
        refused.len(),
        format!("= 0 {:?}", refused.first()),
    );
    report.exactly("generations applied", outcome.snapshot.config_generation, generations);
    let torn = |origin: &Origin, config: u64| {
        origin.arrivals().iter().filter(|arrival| arrival.nonce < 1 << 60 && arrival.config != config).count()
    };
    report.exactly("torn settings seen", torn(&outcome.origin, 1) + torn(&second, 2), 0);
    report.at_least("requests at the second server", second.requests(), 1);
    report.exactly("old sockets left", old_sockets, 0);
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    report.holds("the added service is there", outcome.snapshot.service("extra").is_some(), "extra", "there");
    outcome.arrivals.extend(second.arrivals());
    Rules::default().judge(&outcome, &mut report);
    report
}
