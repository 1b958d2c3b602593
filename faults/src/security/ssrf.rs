//! A server, or a value, that would have the client ask somebody within its network.

use std::net::{Ipv4Addr, TcpListener};

use seawall::Runtime;
use seawall_http::{Http, HttpCall};
use seawall_testkit::{Reply, Request, Script, TestServer};

use crate::harness::load::tally;
use crate::harness::{Bed, Echo, Hostile, Report, Rules, Settings, Stage};

crate::scenario!(X6, "redirects and values that lead into the network", beside, play);

/// A read whose place in the path is data.
#[derive(HttpCall)]
#[http(get = "/echo/{name}", reply = Echo)]
struct ByName {
    name: String,
}

async fn play(stage: Stage) -> Report {
    let trap = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("no port: {error}"));
    trap.set_nonblocking(true).unwrap_or_else(|error| panic!("no trap: {error}"));
    let port = trap.local_addr().map(|address| address.port()).unwrap_or_else(|error| panic!("{error}"));

    let places = places(port);
    let away = move |nonce: u64, _: &Request| {
        let location = &places[usize::try_from(nonce).unwrap_or_default() % places.len()];
        let status = if nonce.is_multiple_of(2) { 302 } else { 307 };
        let head = format!("HTTP/1.1 {status} Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        Some(Script::new().write(head))
    };
    let settings = Settings::reference(stage.full).subject("http.redirects = 5");
    let bed = Bed::hostile(&stage, settings, Hostile::start(away)).await;
    let outcome = bed.run_hostile().await;

    let mut report = Report::default();
    Rules { growth: 32 << 20, attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report.exactly("redirects taken for answers", outcome.answered_meanwhile(), 0);
    report.note("how calls ended", tally(outcome.faulty()));
    let times = |nonce: u64| outcome.arrivals.iter().filter(|arrival| arrival.nonce == nonce).count();
    let most = outcome.faulty().map(|record| times(record.nonce)).max().unwrap_or_default();
    report.at_most("requests of one call", most, 1);
    values(port, &mut report).await;
    let connects = std::iter::from_fn(|| trap.accept().ok()).count();
    report.exactly("connects to where they lead", connects, 0);
    report
}

/// All of them lead to this machine's own port, or to nowhere that a client should go.
fn places(port: u16) -> Vec<String> {
    let mut places: Vec<_> = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "0",
        "localhost",
        "LOCALHOST.",
        "[::ffff:127.0.0.1]",
        "users.internal@127.0.0.1",
    ]
    .iter()
    .flat_map(|host| [format!("http://{host}:{port}/"), format!("//{host}:{port}/x")])
    .collect();
    places.extend(
        [
            "http://127.0.0.1:22/",
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/latest/meta-data/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:70/_x",
            "dict://127.0.0.1:2628/",
            "http:/127.0.0.1/",
            "\\\\127.0.0.1/",
        ]
        .map(str::to_owned),
    );
    places
}

/// Values that would be another place, were they not values.
async fn values(port: u16, report: &mut Report) {
    let server =
        TestServer::start(|_: &Request| Reply::json(&serde_json::json!({ "nonce": 0, "serial": 0 })));
    let settings = format!("[services.named]\nkind = \"http\"\nurl = \"{}\"", server.url(""));
    let runtime = Runtime::builder().kind::<Http>().parse(&settings);
    let runtime = match runtime {
        Ok(builder) => builder.start().await,
        Err(error) => panic!("the settings cannot be read: {error}"),
    };
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let named = runtime.service::<Http>("named").unwrap_or_else(|error| panic!("no service: {error}"));
    let mut names = places(port);
    names.extend(["/evil", "//evil", "@evil", "..", "../admin", "x\r\nhost: evil"].map(str::to_owned));
    let count = names.len();
    for name in names {
        // Some of them no path can carry, and those calls fail.
        let _ = named.send(ByName { name }).await;
    }
    runtime.drain().await;
    let own = server.addr().to_string();
    let requests = server.requests();
    let strayed = requests.iter().filter(|request| {
        let within = request.target.strip_prefix("/echo/").is_some_and(|rest| !rest.contains('/'));
        !within || request.header("host") != Some(&own)
    });
    report.exactly("values that left their place in the path", strayed.count(), 0);
    report.at_least("of so many that came", requests.len(), count - 1);
}
