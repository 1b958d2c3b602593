//! A listener that never accepts, with its backlog full: connections are begun, and never made.

use std::time::Duration;

use seawall_testkit::TestServer;

use crate::harness::load::Class;
use crate::harness::rules::TIMER;
use crate::harness::settings::DEADLINE;
use crate::harness::times::now;
use crate::harness::{Bed, Get, Report, Rules, Settings, Stage};

crate::scenario!(N3, "a listener whose backlog is full", beside, play);

const NONCES: u64 = 1 << 50;

async fn play(stage: Stage) -> Report {
    let server = TestServer::builder().backlog(1).never_accept().start();
    // The backlog's own connections, which the kernel makes without the server.
    let mut held = Vec::new();
    for _ in 0..2 {
        let made =
            tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(server.addr()));
        held.extend(made.await.ok().and_then(Result::ok));
    }
    let settings = Settings::reference(stage.full).subject(&format!(
        "url = \"{}\"\nbreaker = false\nretry = false\nconnect_timeout = \"300ms\"",
        server.url("")
    ));
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        let (mut words, mut slowest) = (Vec::new(), Duration::ZERO);
        for nonce in (NONCES..).take(stage.either(40, 6)) {
            let started = now();
            let error = bed.subject.send(Get { nonce }).await.err();
            slowest = slowest.max(started.elapsed());
            words.push(error.map_or("an answer".to_owned(), |error| Class::of(&error).word));
        }
        (words, slowest)
    };
    let ((words, slowest), outcome) = bed.play(during).await;
    drop(held);
    let mut report = Report::default();
    let connect =
        words.iter().filter(|word| *word == "failed/connect_timeout" || *word == "timeout/connecting");
    report.holds(
        "calls that say that connecting took too long",
        connect.clone().count() == words.len(),
        format!("{} of {}", connect.count(), words.len()),
        format!("all ({:?})", words.first()),
    );
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.healed);
    report.within("slowest call", slowest, DEADLINE + TIMER + noise);
    Rules { attempts_arrive: false, ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}
