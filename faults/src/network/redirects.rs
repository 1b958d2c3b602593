//! Redirects: given back as they are, and followed where that was asked for.

use seawall::Runtime;
use seawall_http::Http;
use seawall_testkit::{IntoScript, Request, Script, TestServer};

use crate::harness::hostile::{echo, nonce_of};
use crate::harness::settings::CANARY;
use crate::harness::{Bed, Get, Hostile, Report, Rules, Settings, Stage, Write};

crate::scenario!(N18, "redirects in circles and to others", beside, play);

async fn play(stage: Stage) -> Report {
    let mut report = given_back(&stage).await;
    followed(&mut report).await;
    report
}

fn redirect(status: u16, location: &str) -> Script {
    let head = format!("HTTP/1.1 {status} Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    Script::new().write(head)
}

async fn given_back(stage: &Stage) -> Report {
    let elsewhere = Hostile::start(|_, _| None);
    let target = elsewhere.url();
    let away = move |nonce: u64, request: &Request| {
        Some(match nonce % 3 {
            0 => redirect(302, &request.target),
            1 => redirect(302, &format!("{target}/echo/{nonce}")),
            _ => redirect(307, &format!("{target}/write/{nonce}")),
        })
    };
    let bed = Bed::hostile(stage, Settings::reference(stage.full), Hostile::start(away)).await;
    let outcome = bed.run_hostile().await;
    let mut report = Report::default();
    // A server in this process keeps what it was sent, and its sockets count with the client's.
    Rules { growth: 32 << 20, attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report.exactly("off: redirects taken for answers", outcome.answered_meanwhile(), 0);
    report.exactly("off: requests at the second host", elsewhere.arrivals().len(), 0);
    let times = |nonce: u64| outcome.arrivals.iter().filter(|arrival| arrival.nonce == nonce).count();
    let most = outcome.faulty().map(|record| times(record.nonce)).max().unwrap_or_default();
    report.at_most("off: requests of one call", most, 1);
    report
}

/// What each kind of redirect is asked for by.
const ENDLESS: u64 = 1;
const CIRCLE: u64 = 2;
const AWAY: u64 = 3;
const WRITE: u64 = 4;

async fn followed(report: &mut Report) {
    let second = TestServer::start(|request: &Request| echo(nonce_of(request)));
    let away = second.url("");
    let server = TestServer::start(move |request: &Request| match nonce_of(request) {
        ENDLESS => redirect(302, &format!("/again{}", request.target)),
        CIRCLE => redirect(302, &request.target),
        AWAY => redirect(302, &format!("{away}/echo/{AWAY}")),
        WRITE => redirect(307, &format!("{away}/write/{WRITE}")),
        nonce => echo(nonce).into_script(request),
    });
    let settings = format!(
        "[services.led]\nkind = \"http\"\nurl = \"{}\"\nretry = false\nbreaker = false\n\
         [services.led.http]\nredirects = 5\nredirect_to = [\"{}\"]\n\
         auth = {{ bearer = {{ env = \"{CANARY}\" }} }}\nheaders = {{ x-api-key = \"secret\" }}",
        server.url(""),
        second.url("")
    );
    let runtime = match Runtime::builder().kind::<Http>().parse(&settings) {
        Ok(builder) => builder.start().await,
        Err(error) => panic!("the settings cannot be read: {error}"),
    };
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let led = runtime.service::<Http>("led").unwrap_or_else(|error| panic!("no service: {error}"));
    let mut answered = [false; 3];
    for (answered, nonce) in answered.iter_mut().zip([ENDLESS, CIRCLE, AWAY]) {
        *answered = led.send(Get { nonce }).await.is_ok();
    }
    let written = led.send(Write { nonce: WRITE }).await.is_ok();
    runtime.drain().await;

    let asked = |nonce: u64| server.requests().iter().filter(|request| nonce_of(request) == nonce).count();
    report.holds(
        "on: answered",
        answered == [false, false, true],
        format!("{answered:?}"),
        "the third alone",
    );
    report.exactly("on: requests of an endless way", asked(ENDLESS), 6);
    report.exactly("on: requests of a circle", asked(CIRCLE), 1);
    report.holds("on: a write that is led away", !written, written, "not made again");
    report.exactly("on: writes at both hosts", asked(WRITE) + second.requests().len() - 1, 1);
    let told = second.requests();
    let credentials = ["authorization", "x-api-key"];
    let told =
        told.iter().filter(|request| credentials.iter().any(|name| request.header(name).is_some())).count();
    report.exactly("on: credentials seen by the second host", told, 0);
}
