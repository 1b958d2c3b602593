//! A connection from its acceptance to its end, and the playing of scripts on it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::{task, time};
use tokio_rustls::TlsAcceptor;

use super::read::{ReadError, read_body, read_head};
use super::record::Record;
use super::script::Step;
use super::wire::{Stream, Wire};
use super::{Request, Script, ServerStats};
use crate::port::Listener;

const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(super) type OnConnect = Box<dyn Fn(u64) -> Option<Script> + Send + Sync>;
pub(super) type OnRequest = Box<dyn Fn(&Request) -> Script + Send + Sync>;

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) on_connect: OnConnect,
    pub(super) on_request: OnRequest,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) stats: watch::Sender<ServerStats>,
    pub(super) record: Mutex<Record>,
}

/// What becomes of the connection after a script.
enum Then {
    Serve,
    End,
}

/// Counts a connection as open for as long as its socket is.
struct Open(watch::Sender<ServerStats>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|stats| stats.open -= 1);
    }
}

pub(super) async fn serve(stream: TcpStream, connection: u64, shared: Arc<Shared>) {
    // Declared first, hence dropped last: no test sees the count fall before the socket is closed.
    let _open = Open(shared.stats.clone());
    // Slices must leave as they are written. A socket that refuses is already gone, which the first read tells.
    let _ = stream.set_nodelay(true);
    let stream = match &shared.tls {
        None => Stream::Plain(stream),
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => Stream::Tls(Box::new(stream)),
            Err(_) => {
                shared.stats.send_modify(|stats| stats.failed_handshakes += 1);
                return;
            }
        },
    };
    let mut wire = Wire::new(stream, shared.stats.clone());
    if let Err(ReadError::Malformed(what)) = converse(&mut wire, connection, &shared).await {
        shared.stats.send_modify(|stats| stats.malformed += 1);
        let text = format!("the test server could not read this request: {what}\n");
        let reply = format!(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        // The client may be gone; it is counted already.
        let _ = wire.write((reply + &text).as_bytes()).await;
        let _ = wire.shutdown().await;
    }
}

async fn converse(wire: &mut Wire, connection: u64, shared: &Shared) -> Result<(), ReadError> {
    if let Some(script) = (shared.on_connect)(connection)
        && let Then::End = play(script, wire, connection, shared).await?
    {
        return Ok(());
    }
    loop {
        let request = read_request(wire, connection, shared).await?;
        let script = (shared.on_request)(&request);
        if let Then::End = play(script, wire, connection, shared).await? {
            return Ok(());
        }
    }
}

async fn read_request(wire: &mut Wire, connection: u64, shared: &Shared) -> Result<Arc<Request>, ReadError> {
    let mut request = read_head(wire, connection).await?;
    request.body = read_body(wire, &request).await?;
    Ok(record(request, shared))
}

fn record(request: Request, shared: &Shared) -> Arc<Request> {
    let request = Arc::new(request);
    // Recorded before it is counted: whoever has waited for the count finds the request.
    shared.record.lock().push(request.clone());
    shared.stats.send_modify(|stats| stats.requests += 1);
    request
}

async fn play(script: Script, wire: &mut Wire, connection: u64, shared: &Shared) -> Result<Then, ReadError> {
    let mut head = None;
    for step in script.0 {
        match step {
            Step::ReadHead => head = Some(record(read_head(wire, connection).await?, shared)),
            Step::ReadBody => {
                if let Some(head) = head.take() {
                    read_body(wire, &head).await?;
                }
            }
            Step::ReadRequest => {
                read_request(wire, connection, shared).await?;
            }
            Step::Write { bytes, times, slice, pause } => {
                for _ in 0..times {
                    for piece in bytes.chunks(slice) {
                        wire.write(piece).await?;
                        if pause.is_zero() { task::yield_now().await } else { time::sleep(pause).await }
                    }
                }
            }
            Step::Wait(time) => time::sleep(time).await,
            Step::WaitFor(gate) => gate.passed().await,
            Step::ShutdownWrite => wire.shutdown().await?,
            Step::Swallow => loop {
                wire.buffer.clear();
                wire.fill().await?;
            },
            Step::Hang => std::future::pending().await,
            Step::Close => {
                wire.shutdown().await?;
                return Ok(Then::End);
            }
            Step::HangUp => return Ok(Then::End),
            Step::Reset => {
                wire.reset_on_close()?;
                return Ok(Then::End);
            }
        }
    }
    Ok(Then::Serve)
}

/// Accepts for as long as the server lives.
pub(super) async fn accept(listener: Listener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let mut connection = 0;
                shared.stats.send_modify(|stats| {
                    stats.accepted += 1;
                    stats.open += 1;
                    connection = stats.accepted;
                });
                task::spawn(serve(stream, connection, shared.clone()));
            }
            // No descriptors left, most likely: without a pause, the loop would take a core from those who free some.
            Err(_) => time::sleep(ACCEPT_PAUSE).await,
        }
    }
}
