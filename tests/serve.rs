//! A service ends in good order: requests first, then calls, and at once for who asks twice.

mod support;

use std::{net::TcpStream, time::Duration};

use seawall_http::{ATTEMPT_HEADER, DEADLINE_HEADER, TRACE_HEADER, TRACE_STATE_HEADER};
use seawall_testkit::{Gate, IntoScript as _, Process, Reply, Script, TestServer};
use support::example;
use tokio::time::{Instant, timeout};

/// A downstream whose replies wait at the gate.
fn gated(gate: &Gate) -> TestServer {
    let gate = gate.clone();
    TestServer::start(move |request| {
        Script::new().wait_for(&gate).and(Reply::text("ann").into_script(request))
    })
}

/// The example `minimal` in front of it, and its address.
async fn service(downstream: &TestServer, drain: &str) -> (Process, String) {
    let mut command = example("minimal");
    command.env("SEAWALL__SERVICES__USERS__URL", downstream.url("/")).env("SEAWALL__RUNTIME__DRAIN", drain);
    let process = Process::spawn(&mut command);
    let line = process.wait_for_line("listening on ").await;
    let address = line.rsplit("http://").next().expect("it has an address").to_owned();
    (process, address)
}

/// Waits until nothing listens there any more.
async fn closed(address: &str) {
    let look = async {
        while TcpStream::connect(address).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), look).await.expect("it goes on accepting");
}

#[actix_web::test]
async fn requests_under_way_are_answered_and_no_more_are_taken() {
    let gate = Gate::shut();
    let downstream = gated(&gate);
    let (process, address) = service(&downstream, "20s").await;
    let client = awc::Client::default();
    let request = actix_rt::spawn(client.get(format!("http://{address}/users/7")).send());
    downstream.wait_for_requests(1).await;
    process.terminate();
    closed(&address).await;
    gate.open();
    let mut response = request.await.expect("it does not panic").expect("it is answered");
    assert_eq!(response.status(), 200);
    assert_eq!(response.body().await.expect("whole"), "ann");
    drop(response);
    assert!(process.wait_for_exit().await.success());
    process.wait_for_line("drained, 0 calls cut off").await;
}

#[actix_web::test]
async fn calls_that_outlast_the_drain_are_cut_off_and_their_clients_told() {
    let downstream = gated(&Gate::shut());
    let (process, address) = service(&downstream, "300ms").await;
    let client = awc::Client::default();
    let request = actix_rt::spawn(client.get(format!("http://{address}/users/7")).send());
    downstream.wait_for_requests(1).await;
    process.terminate();
    let response = request.await.expect("it does not panic").expect("it is answered");
    assert!(response.status().is_server_error(), "{}", response.status());
    drop(response);
    assert!(process.wait_for_exit().await.success());
    process.wait_for_line("drained, 1 calls cut off").await;
}

#[actix_web::test]
async fn a_second_signal_ends_it_at_once() {
    let downstream = gated(&Gate::shut());
    let (process, address) = service(&downstream, "30s").await;
    let client = awc::Client::default();
    let request = actix_rt::spawn(client.get(format!("http://{address}/users/7")).send());
    downstream.wait_for_requests(1).await;
    process.terminate();
    closed(&address).await;
    let began = Instant::now();
    process.terminate();
    assert_eq!(process.wait_for_exit().await.code(), Some(128 + 15));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(request.await.expect("it does not panic").is_err());
}

#[actix_web::test]
async fn what_a_request_says_of_its_time_and_trace_reaches_the_next_service() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let downstream = TestServer::start(|_| Reply::text("ann"));
    let (_process, address) = service(&downstream, "1s").await;
    let request = awc::Client::default()
        .get(format!("http://{address}/users/7"))
        .insert_header((DEADLINE_HEADER, "900"))
        .insert_header((ATTEMPT_HEADER, "2"))
        .insert_header((TRACE_HEADER, TRACE))
        .insert_header((TRACE_STATE_HEADER, "a=1"));
    assert_eq!(request.send().await.expect("it is answered").status(), 200);
    let requests = downstream.requests();
    let passed_on = |name| requests[0].header(name).unwrap_or_else(|| panic!("no {name}"));
    let left: u64 = passed_on(DEADLINE_HEADER).parse().expect("a number");
    assert!((1..=900).contains(&left), "{left}");
    assert_eq!(passed_on(ATTEMPT_HEADER), "2");
    assert_eq!(passed_on(TRACE_HEADER), TRACE);
    assert_eq!(passed_on(TRACE_STATE_HEADER), "a=1");
}
