//! Over plain sockets, so that the bytes on the wire are what is judged.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::Gate;

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const NO_PAUSE: Duration = Duration::ZERO;

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.addr()).await.unwrap()
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn read_text(stream: &mut TcpStream, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// One request, one script, everything that comes until the end.
async fn answer_to(request: &str, server: &TestServer) -> String {
    let mut stream = connect(server).await;
    send(&mut stream, request).await;
    read_to_end(&mut stream).await
}

#[tokio::test]
async fn a_reply_keeps_the_connection_and_counts() {
    let server = TestServer::start(|request| Reply::json(&json!({ "path": request.path() })));
    let mut stream = connect(&server).await;
    let expected =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"path\":\"/a\"}";
    for _ in 0..2 {
        send(&mut stream, "GET /a?b HTTP/1.1\r\n\r\n").await;
        assert_eq!(read_text(&mut stream, expected.len()).await, expected);
    }
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.open, stats.requests), (1, 1, 2));
    assert_eq!(stats.bytes_written, 2 * expected.len() as u64);
    drop(stream);
    server.wait_for_open(0).await;
}

#[tokio::test]
async fn a_reply_closes_where_the_client_asks_and_sends_no_body_to_head() {
    let server = TestServer::start(|_| Reply::text("body"));
    let head = answer_to("HEAD / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", &server).await;
    assert!(head.ends_with("content-length: 4\r\nconnection: close\r\n\r\n"), "{head}");
    let old = answer_to("GET / HTTP/1.0\r\n\r\n", &server).await;
    assert!(old.ends_with("connection: close\r\n\r\nbody"), "{old}");
}

#[tokio::test]
async fn bodies_of_both_framings_are_recorded() {
    let server = TestServer::start(|request| Reply::text(format!("{}", request.body.len())).close());
    let mut stream = connect(&server).await;
    send(&mut stream, "POST /l HTTP/1.1\r\nContent-Length: 7\r\n\r\n{\"a\"").await;
    send(&mut stream, ":1}").await;
    assert!(read_to_end(&mut stream).await.ends_with("\r\n\r\n7"));
    let chunked =
        "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: u\r\n\r\n";
    assert!(answer_to(chunked, &server).await.ends_with("\r\n\r\n5"));

    let requests = server.requests();
    assert_eq!(requests[0].json().unwrap(), json!({ "a": 1 }));
    assert_eq!((requests[1].method.as_str(), &requests[1].body[..]), ("POST", &b"abcde"[..]));
    assert_eq!((requests[0].connection, requests[1].connection), (1, 2));
    assert!(requests[0].arrived <= requests[1].arrived);
}

#[tokio::test]
async fn what_is_no_http_is_told_so() {
    let server = TestServer::start(|_| Reply::status(200));
    for bad in [
        "\0\0\0\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let answer = answer_to(bad, &server).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?} got {answer:?}");
    }
    server.wait_for("five bad requests", |stats| stats.malformed == 5 && stats.requests == 0).await;
}

#[tokio::test]
async fn a_script_sends_exactly_its_bytes_and_ends_the_connection() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab";
    let server = TestServer::start(move |_| Script::new().write(short).close());
    assert_eq!(answer_to(GET, &server).await, short);
    let flood = TestServer::start(|_| Script::new().write_repeated("0123456789", 100_000).hang_up());
    assert_eq!(answer_to(GET, &flood).await.len(), 1_000_000);
}

#[tokio::test]
async fn slices_arrive_one_by_one() {
    let gate = Gate::shut();
    let held = gate.clone();
    let server = TestServer::start(move |_| {
        let first = Script::new().write_sliced("abcdefg", 3, NO_PAUSE);
        first.wait_for(&held).write_sliced("hij", 1, Duration::from_millis(1)).close()
    });
    let mut stream = connect(&server).await;
    send(&mut stream, GET).await;
    assert_eq!(read_text(&mut stream, 7).await, "abcdefg");
    assert_eq!(server.stats().bytes_written, 7, "written past a shut gate");
    gate.open();
    assert_eq!(read_to_end(&mut stream).await, "hij");
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let server = TestServer::start(|_| Script::new().write("HTTP/1.1 2").reset());
    let mut stream = connect(&server).await;
    send(&mut stream, GET).await;
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    server.wait_for_open(0).await;
}

#[tokio::test]
async fn a_half_closed_connection_still_reads() {
    let server = TestServer::start(|_| Script::new().shutdown_write().read_request().read_head());
    let mut stream = connect(&server).await;
    send(&mut stream, GET).await;
    assert_eq!(read_to_end(&mut stream).await, "");
    send(&mut stream, GET).await;
    server.wait_for_requests(2).await;
}

#[tokio::test]
async fn swallowing_sees_the_client_go_and_hanging_does_not_read() {
    let server = TestServer::builder()
        .on_connect(|connection| {
            Some(if connection == 1 { Script::new().swallow() } else { Script::new().hang() })
        })
        .start();
    let mut swallowed = connect(&server).await;
    send(&mut swallowed, GET).await;
    server.wait_for("its bytes", |stats| stats.bytes_read == GET.len() as u64).await;
    let hung = connect(&server).await;
    server.wait_for_open(2).await;
    drop((swallowed, hung));
    server.wait_for_open(1).await;
    assert_eq!(server.stats().bytes_read, GET.len() as u64);
}

#[tokio::test]
async fn a_script_may_speak_before_any_request_and_then_serve() {
    let server = TestServer::builder()
        .on_connect(|_| {
            Some(Script::new().write("HTTP/1.1 408 Early\r\n\r\n").read_head().write("!").read_body())
        })
        .on_request(|request| Reply::text(request.method.clone()).close())
        .start();
    let post_then_get = format!("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nxyz{GET}");
    let answer = answer_to(&post_then_get, &server).await;
    assert!(answer.starts_with("HTTP/1.1 408 Early\r\n\r\n!HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nGET"), "{answer}");
    assert_eq!(server.stats().requests, 2);
}

#[tokio::test]
async fn a_full_backlog_hangs_in_the_handshake() {
    let server = TestServer::builder().backlog(1).never_accept().start();
    let mut waiting = Vec::new();
    // Linux completes one more than the backlog.
    for _ in 0..2 {
        waiting.push(connect(&server).await);
    }
    let late = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(server.addr())).await;
    assert!(late.is_err(), "a connection beyond the backlog: {late:?}");
    assert_eq!(server.stats().accepted, 0);
}

#[tokio::test]
async fn dropping_it_closes_everything() {
    let server = TestServer::start(|_| Script::new().hang());
    let mut stream = connect(&server).await;
    send(&mut stream, GET).await;
    server.wait_for_requests(1).await;
    let addr = server.addr();
    drop(server);
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

/// The answer, or why the handshake failed, for a client that trusts the server's authority.
async fn over_tls(server: &TestServer, client: Option<&ClientIdentity>) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    let ca_pem = server.ca_pem().unwrap().as_bytes();
    roots.add(CertificateDer::from_pem_slice(ca_pem).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, connect(server).await).await?;
    stream.write_all(GET.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn tls_server(identity: TlsIdentity) -> TestServer {
    TestServer::builder().tls(identity).on_request(|_| Reply::text("secret").close()).start()
}

#[tokio::test]
async fn tls_serves_who_trusts_its_authority() {
    let server = tls_server(TlsIdentity::new());
    let answer = over_tls(&server, None).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nsecret"), "{answer}");
    assert!(server.url("/").starts_with("https://"));
    assert_eq!(server.requests()[0].server_name.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let server = tls_server(TlsIdentity::new().require_client_certificate());
    assert!(over_tls(&server, None).await.is_err());
    server.wait_for("a failed handshake", |stats| stats.failed_handshakes == 1).await;
    let answer = over_tls(&server, server.client_identity()).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nsecret"), "{answer}");
}

#[tokio::test]
async fn each_flaw_of_a_certificate_is_refused_for_what_it_is() {
    for (identity, reason) in [
        (TlsIdentity::new().wrong_host(), "NotValidForName"),
        (TlsIdentity::new().expired(), "Expired"),
        (TlsIdentity::new().not_yet_valid(), "NotValidYet"),
        (TlsIdentity::new().self_signed(), "UnknownIssuer"),
    ] {
        let server = tls_server(identity.clone());
        let error = over_tls(&server, None).await.unwrap_err();
        let debug = format!("{error:?}");
        assert!(debug.contains(reason), "{identity:?} was refused with {debug}");
        server.wait_for("a failed handshake", |stats| stats.failed_handshakes == 1).await;
        assert_eq!(server.stats().requests, 0);
    }
}

#[tokio::test]
async fn hanging_up_skips_the_goodbye_of_tls() {
    let server = TestServer::builder()
        .tls(TlsIdentity::new())
        .on_request(|_| Script::new().write("ab").hang_up())
        .start();
    let error = over_tls(&server, None).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
