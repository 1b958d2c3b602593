//! Through real sockets on both sides: what the client and the server see is what is judged.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Direction::{ToClient, ToServer};
use super::*;
use crate::{Script, TestServer};

/// A server that greets and then reads until the client goes.
fn greeter(greeting: &'static str) -> TestServer {
    TestServer::builder().on_connect(move |_| Some(Script::new().write(greeting).swallow())).start()
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

async fn read_text(stream: &mut TcpStream, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// How a new connection fails: where a reset is quick, its connecting already does.
async fn failure_of_next(proxy: &FaultProxy) -> io::ErrorKind {
    match TcpStream::connect(proxy.addr()).await {
        Ok(mut stream) => stream.read(&mut [0]).await.unwrap_err().kind(),
        Err(error) => error.kind(),
    }
}

#[tokio::test]
async fn forwards_both_ways_and_passes_the_end_on() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    let mut stream = connect(&proxy).await;
    assert_eq!(read_text(&mut stream, 5).await, "hello");
    stream.write_all(b"abc").await.unwrap();
    server.wait_for("three bytes", |stats| stats.bytes_read == 3).await;
    let stats = proxy.stats();
    assert_eq!((stats.accepted, stats.open), (1, 1));
    assert_eq!((stats.to_server.bytes_written, stats.to_client.bytes_written), (3, 5));

    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the server's end");
    server.wait_for_open(0).await;
    proxy.wait_for("no open connection", |stats| stats.open == 0).await;
}

#[tokio::test]
async fn refuses_on_the_same_port_and_listens_again() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    let mut open = connect(&proxy).await;
    for _ in 0..3 {
        proxy.refuse().await;
        let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        proxy.heal().await;
        assert_eq!(read_text(&mut connect(&proxy).await, 5).await, "hello");
    }
    assert_eq!(read_text(&mut open, 5).await, "hello", "an open connection goes on");
}

#[tokio::test]
async fn a_hang_delivers_nothing_until_healed() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    proxy.hang();
    let mut stream = connect(&proxy).await;
    stream.write_all(b"abc").await.unwrap();
    proxy
        .wait_for("both sides' bytes in the proxy", |stats| {
            stats.to_server.bytes_read == 3 && stats.to_client.bytes_read == 5
        })
        .await;
    let stats = proxy.stats();
    assert_eq!((stats.to_server.bytes_written, stats.to_client.bytes_written), (0, 0));
    assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);

    proxy.heal().await;
    assert_eq!(read_text(&mut stream, 5).await, "hello");
    server.wait_for("what was held", |stats| stats.bytes_read == 3).await;
}

#[tokio::test]
async fn resets_what_is_open_and_then_what_comes() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    let mut open = connect(&proxy).await;
    read_text(&mut open, 5).await;
    proxy.reset_open().await;
    assert_eq!(open.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    server.wait_for_open(0).await;
    assert_eq!(read_text(&mut connect(&proxy).await, 5).await, "hello", "the next one is left alone");

    proxy.reset_all().await;
    assert_eq!(failure_of_next(&proxy).await, io::ErrorKind::ConnectionReset);
    proxy.heal().await;
    assert_eq!(read_text(&mut connect(&proxy).await, 5).await, "hello");
}

#[tokio::test]
async fn an_unreachable_server_is_a_reset() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    drop(server);
    assert_eq!(failure_of_next(&proxy).await, io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.stats().unreachable, 1);
}

#[tokio::test]
async fn a_delay_comes_before_the_first_byte_and_not_before_each() {
    const BYTES: usize = 100;
    let delay = Duration::from_millis(100);
    let server = TestServer::builder()
        .on_connect(|_| {
            Some(Script::new().write_sliced([b'x'; BYTES], 1, Duration::from_millis(1)).swallow())
        })
        .start();
    let proxy = FaultProxy::seeded(server.addr(), 7);
    proxy.flow(ToClient, |flow| {
        flow.delay = delay;
        flow.jitter = delay / 2;
    });
    let start = Instant::now();
    let mut stream = connect(&proxy).await;
    stream.readable().await.unwrap();
    assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
    assert_eq!(read_text(&mut stream, BYTES).await, "x".repeat(BYTES));
    assert!(start.elapsed() < delay * BYTES as u32 / 2, "each byte waited for the one before");
}

#[tokio::test]
async fn a_bandwidth_holds() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    proxy.flow(ToServer, |flow| flow.bandwidth = Some(10_000));
    let mut stream = connect(&proxy).await;
    let start = Instant::now();
    stream.write_all(&[0; 2_000]).await.unwrap();
    server.wait_for("all of it", |stats| stats.bytes_read == 2_000).await;
    // The last portion of 20 ms is written before it is waited for.
    assert!(start.elapsed() >= Duration::from_millis(180), "{:?}", start.elapsed());
    assert_eq!(read_text(&mut stream, 5).await, "hello", "the other way is free");
}

#[tokio::test]
async fn slices_are_small_and_lose_nothing() {
    const TEXT: &str = "the quick brown fox jumps over the lazy dog";
    let server = greeter(TEXT);
    let proxy = FaultProxy::start(server.addr());
    proxy.flow(ToClient, |flow| flow.slice = Some(1..=3));
    assert_eq!(read_text(&mut connect(&proxy).await, TEXT.len()).await, TEXT);
    let writes = proxy.stats().to_client.writes as usize;
    assert!((TEXT.len() / 3..=TEXT.len()).contains(&writes), "{writes} writes");
}

#[tokio::test]
async fn the_same_seed_slices_alike() {
    let mut writes = Vec::new();
    for seed in [1, 1, 2, 3] {
        let server =
            TestServer::builder().on_connect(|_| Some(Script::new().write("x".repeat(1000)).close())).start();
        let proxy = FaultProxy::seeded(server.addr(), seed);
        proxy.flow(ToClient, |flow| flow.slice = Some(1..=30));
        read_text(&mut connect(&proxy).await, 1000).await;
        writes.push(proxy.stats().to_client.writes);
    }
    assert_eq!(writes[0], writes[1]);
    assert!(writes[1..].windows(2).any(|pair| pair[0] != pair[1]), "seeds make no difference: {writes:?}");
}

#[tokio::test]
async fn a_cut_comes_after_exactly_so_many_bytes() {
    let server = greeter("0123456789");
    let proxy = FaultProxy::start(server.addr());
    for after in [0, 4, 10] {
        proxy.flow(ToClient, |flow| flow.cut = Some(Cut { after, how: End::Close }));
        let mut text = String::new();
        connect(&proxy).await.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "0123456789"[..after as usize]);
    }
    proxy.flow(ToClient, |flow| flow.cut = Some(Cut { after: 0, how: End::Reset }));
    assert_eq!(failure_of_next(&proxy).await, io::ErrorKind::ConnectionReset);
    server.wait_for_open(0).await;
}

#[tokio::test]
async fn a_loss_one_way_takes_the_end_too_and_leaves_the_other_way() {
    let server = TestServer::builder()
        .on_connect(|_| Some(Script::new().write("hello").shutdown_write().swallow()))
        .start();
    let proxy = FaultProxy::start(server.addr());
    proxy.flow(ToClient, |flow| flow.lossy = true);
    let mut stream = connect(&proxy).await;
    proxy.wait_for("the greeting's loss", |stats| stats.to_client.bytes_read == 5).await;
    stream.write_all(b"abc").await.unwrap();
    server.wait_for("the request", |stats| stats.bytes_read == 3).await;
    assert_eq!(proxy.stats().to_client.bytes_written, 0);
    assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn one_byte_is_inverted() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    proxy.flow(ToClient, |flow| flow.corrupt_at = Some(1));
    let mut bytes = [0; 5];
    connect(&proxy).await.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, [b'h', !b'e', b'l', b'l', b'o']);
}

#[tokio::test(start_paused = true)]
async fn a_test_on_a_paused_clock_may_wait_for_it() {
    let server = greeter("hello");
    let proxy = FaultProxy::start(server.addr());
    let _stream = connect(&proxy).await;
    proxy.wait_for("the greeting", |stats| stats.to_client.bytes_written == 5).await;
}

#[test]
#[should_panic(expected = "no slice has a size in 0..=3")]
fn slices_of_nothing_are_refused() {
    FaultProxy::start(greeter("").addr()).flow(ToClient, |flow| flow.slice = Some(0..=3));
}
