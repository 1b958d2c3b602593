use std::{error::Error as _, io, time::Duration};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use super::{server::Server, *};
use crate::wire::Stage;

/// A listener whose queue of connections is full and which takes none.
async fn full_backlog() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) =
        timeout(Duration::from_millis(100), TcpStream::connect(listener.local_addr().unwrap())).await
    {
        queued.push(stream.unwrap());
    }
    (listener, queued)
}

#[test]
fn refused_is_refused_at_once() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(settings(&url), permits(20));
        let error = client.fails().await;
        assert!(matches!(cause(&error), Cause::Refused(_)), "{error:?}");
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(ConnectFailure::find(&error).unwrap().source().is_some());
        assert_eq!((client.wires().counts().refused, client.wires().permits().in_use()), (1, 0));
    });
}

#[test]
fn a_server_that_takes_no_connection_is_a_connect_timeout_for_all_who_queue() {
    run(async {
        let (listener, _queued) = full_backlog().await;
        let url = format!("http://{}", listener.local_addr().unwrap());
        let wire = WireSettings { connect_timeout: Duration::from_millis(300), ..settings(&url) };
        let client = Client::new(wire, permits(20));
        let started = Instant::now();
        let failed = futures_util::future::join_all((0..10).map(|_| client.fails())).await;
        assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
        for error in &failed {
            assert!(matches!(cause(error), Cause::ConnectTimeout { .. }), "{error:?}");
        }
        assert!(failed.iter().any(|error| error.to_string().contains("in the TCP handshake")));
    });
}

#[test]
fn a_server_that_accepts_and_says_nothing_times_out_in_tls() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let wire = WireSettings { connect_timeout: Duration::from_millis(100), ..settings(&url) };
        let error = Client::new(wire, permits(20)).fails().await;
        assert!(matches!(cause(&error), Cause::ConnectTimeout { stage: Stage::Tls, .. }), "{error:?}");
    });
}

#[test]
fn a_name_without_an_address_is_a_failure_of_dns() {
    run(async {
        let client = Client::new(settings("http://nowhere.invalid"), permits(20));
        let error = client.fails().await;
        assert!(matches!(cause(&error), Cause::Dns(_)), "{error:?}");
        assert_eq!(client.wires().counts().dns_errors, 1);
    });
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    run(async {
        // `localhost` is ::1 too on most machines, where this server does not listen.
        let server = Server::plain().await;
        let client = Client::new(settings(&format!("http://localhost:{}", server.port())), permits(20));
        client.ok().await;
        let (_, host) = client.get("/host").await;
        assert_eq!(host.unwrap().to_lowercase(), format!("host: localhost:{}", server.port()));
    });
}

#[test]
fn no_more_connections_are_made_at_once_than_allowed() {
    run(async {
        let (listener, queued) = full_backlog().await;
        let url = format!("http://{}", listener.local_addr().unwrap());
        let wire = WireSettings { connect_timeout: Duration::from_secs(10), ..settings(&url) };
        let client = Client::new(wire, permits_of(20, 2, Duration::from_secs(2)));
        let mut storm = Box::pin(futures_util::future::join_all((0..20).map(|_| client.get("/ok"))));
        assert!((&mut storm).now_or_never().is_none());
        assert_eq!(client.wires().permits().connecting(), 2);
        assert_eq!((client.wires().permits().in_use(), client.wires().permits().max()), (20, 20));
        drop(storm);
        assert_eq!((client.wires().permits().connecting(), client.wires().permits().in_use()), (0, 0));
        drop(queued);
    });
}

#[test]
fn a_limit_of_this_machine_is_not_the_servers_fault() {
    const EMFILE: i32 = 24;
    for error in [io::Error::from_raw_os_error(EMFILE), io::ErrorKind::AddrNotAvailable.into()] {
        assert!(matches!(Cause::of(Stage::Tcp, error), Cause::LocalLimit(_)));
    }
}

#[test]
fn proxy_variables_are_not_read() {
    const INNER: &str = "wire::tests::connect::all_addresses_of_a_name_are_tried";
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", INNER]);
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        inner.env(variable, &url);
    }
    let output = inner.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
