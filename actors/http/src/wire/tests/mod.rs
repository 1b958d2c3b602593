//! Against real sockets on this machine's loopback. Where a pitfall is awc's own, it is shown with bare awc first.

mod connect;
mod exchange;
mod idle;
mod permits;
mod server;
mod spares;
mod tls;

use std::{num::NonZeroUsize, rc::Rc, sync::Arc, time::Duration};

use actix_http::RequestHead;
use awc::{
    error::SendRequestError,
    http::header::{HOST, HeaderValue},
};

use super::{
    Answer, Cause, ConnectFailure, ConnectionPermits, Exchange, Sending, Target, Wire, WireSettings, Wires,
};

/// Runs a test as an actix thread would.
fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

/// Waits for a condition, in real time.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never happened: {what}");
}

/// Waits for a condition while the clock is paused, without letting it advance by itself.
async fn until_paused(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..200_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never happened: {what}");
}

fn permits(max: usize) -> Arc<ConnectionPermits> {
    permits_of(max, 2, Duration::from_secs(2))
}

fn permits_of(max: usize, connecting: usize, acquire: Duration) -> Arc<ConnectionPermits> {
    let count = |n| NonZeroUsize::new(n).unwrap();
    ConnectionPermits::new(count(max), count(connecting), acquire)
}

fn settings(url: &str) -> WireSettings {
    WireSettings::new(Target::parse(url).unwrap())
}

/// One thread's client and what is shared with others.
struct Client {
    wire: Wire,
    client: super::Client,
}

impl Client {
    fn new(settings: WireSettings, permits: Arc<ConnectionPermits>) -> Self {
        Self::of(&Wires::new(settings, permits).unwrap())
    }

    fn of(wires: &Arc<Wires>) -> Self {
        let wire = Wire::new(wires);
        Self { client: wire.client().unwrap(), wire }
    }

    fn wires(&self) -> &Arc<Wires> {
        self.wire.wires()
    }

    fn send(&self, path: &str) -> Sending {
        let mut head = RequestHead::default();
        head.uri = path.parse().unwrap();
        let host = HeaderValue::try_from(self.wires().target().host_header()).unwrap();
        head.headers.insert(HOST, host);
        self.client.send(Rc::new(head), None)
    }

    /// The whole of a request, as the kind is to make it.
    async fn get(&self, path: &str) -> (Exchange, Result<String, SendRequestError>) {
        let exchange = Exchange::new();
        let answer = exchange.send(self.send(path)).await;
        let answer = match answer {
            Ok(mut answer) => Ok(read(&mut answer).await),
            Err(error) => Err(error),
        };
        (exchange, answer)
    }

    async fn ok(&self) {
        let (_, answer) = self.get("/ok").await;
        assert_eq!(answer.unwrap(), "fine");
    }

    async fn fails(&self) -> SendRequestError {
        let (exchange, answer) = self.get("/ok").await;
        assert!(!exchange.sent());
        answer.unwrap_err()
    }
}

async fn read(answer: &mut Answer) -> String {
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("content-length"));
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await {
        body.extend_from_slice(&chunk.unwrap());
    }
    String::from_utf8(body).unwrap()
}

fn cause(error: &SendRequestError) -> &Cause {
    ConnectFailure::find(error).unwrap_or_else(|| panic!("no failure to connect: {error:?}")).cause()
}
