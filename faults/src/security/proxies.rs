//! An environment that names proxies: nobody asked for them here.

use std::net::TcpListener;

use crate::harness::again::again;
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(X15, "an environment that names proxies", beside, play);

/// As other clients read them.
const NAMES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// What says that this process is the one whose environment names them.
const INNER: &str = "SEAWALL_FAULTS_PROXIES";

async fn play(stage: Stage) -> Report {
    match std::env::var_os(INNER) {
        Some(_) => calls(stage).await,
        None => with_proxies(&stage),
    }
}

fn with_proxies(stage: &Stage) -> Report {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("no port: {error}"));
    trap.set_nonblocking(true).unwrap_or_else(|error| panic!("no trap: {error}"));
    let address = trap.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
    let mut report = again("X15", stage, |command| {
        command.env(INNER, "1").env_remove("NO_PROXY").env_remove("no_proxy");
        for name in NAMES {
            command.env(name, format!("http://{address}"));
        }
    });
    let connects = std::iter::from_fn(|| trap.accept().ok()).count();
    report.exactly("connections to the proxy", connects, 0);
    report
}

async fn calls(stage: Stage) -> Report {
    let named = NAMES.iter().filter(|name| std::env::var_os(name).is_some()).count();
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let outcome = bed.run(async |_: &Bed| {}, async |_: &Bed| {}).await;
    let mut report = Report::default();
    report.exactly("variables that name one", named, NAMES.len());
    let answers = outcome.records.iter().filter(|record| record.is_answer()).count();
    report.share("answered", answers, outcome.records.len(), 1.0);
    Rules::default().judge(&outcome, &mut report);
    report
}
