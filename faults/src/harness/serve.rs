//! The server that is called, as a process of its own: it can be killed and frozen, and its memory is not the client's.
//!
//! It writes one line for each request, before it answers: what it saw is known even if it is killed in that moment. Its
//! orders come over standard input, a JSON object a line; the end of input is the end of the process.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};

use super::random::Random;
use super::times::now_ns;

/// What this program is started with to be the server.
pub(crate) const WORD: &str = "serve";

/// How the server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manner {
    /// How long an answer takes.
    pub(crate) delay_us: u64,
    /// Up to how much longer.
    pub(crate) jitter_us: u64,
    pub(crate) status: u16,
    /// Of a thousand requests, so many are answered with the status; the others with 200.
    pub(crate) permille: u64,
    pub(crate) retry_after: Option<String>,
    /// Bytes of each body; the echo alone where 0.
    pub(crate) body_bytes: usize,
    /// Requests worked on at once; the others wait. 0 for all.
    pub(crate) workers: usize,
    /// How long a body comes after its head.
    pub(crate) body_after_us: u64,
    /// Closes each connection after its answer, without saying so.
    pub(crate) closes: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            delay_us: 0,
            jitter_us: 0,
            status: 200,
            permille: 1000,
            retry_after: None,
            body_bytes: 0,
            workers: 0,
            body_after_us: 0,
            closes: false,
        }
    }
}

impl Manner {
    /// Answers after so long.
    pub(crate) fn slow(delay: Duration) -> Self {
        Self { delay_us: delay.as_micros() as u64, ..Self::default() }
    }

    /// Answers everything with this status.
    pub(crate) fn failing(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// An order to the server: a manner, and the number by which it is acknowledged.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) manner: Option<Manner>,
}

struct Server {
    manner: RefCell<Manner>,
    workers: RefCell<Rc<Semaphore>>,
    serial: Cell<u64>,
    random: RefCell<Random>,
}

/// Serves on a port of the loopback interface until its input ends.
///
/// # Errors
/// When there is no such port, or no runtime.
pub(crate) fn run(port: u16) -> io::Result<()> {
    // A frozen server must not outlive whoever would have woken it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let listener = socket.listen(1024)?;
        let server = Rc::new(Server {
            manner: RefCell::new(Manner::default()),
            workers: RefCell::new(Rc::new(Semaphore::new(Semaphore::MAX_PERMITS))),
            serial: Cell::new(0),
            random: RefCell::new(Random::new(u64::from(port))),
        });
        say("L");
        let accepting = server.clone();
        spawn_local(async move {
            for connection in 1_u64.. {
                match listener.accept().await {
                    Ok((stream, _)) => drop(spawn_local(accepting.clone().serve(stream, connection))),
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        let orders = orders();
        tokio::pin!(orders);
        while let Some(order) = orders.recv().await {
            if let Some(manner) = order.manner {
                let workers = if manner.workers == 0 { Semaphore::MAX_PERMITS } else { manner.workers };
                server.workers.replace(Rc::new(Semaphore::new(workers)));
                server.manner.replace(manner);
            }
            say(&format!("A {}", order.number));
        }
        Ok(())
    })
}

/// Reads orders on a thread: standard input has no other way to be waited for.
fn orders() -> tokio::sync::mpsc::Receiver<Order> {
    let (give, orders) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { return };
            let Ok(order) = serde_json::from_str(&line) else { return };
            if give.blocking_send(order).is_err() {
                return;
            }
        }
    });
    orders
}

/// One line, in one system call: it is out before anything that follows.
fn say(line: &str) {
    let line = format!("{line}\n");
    if io::stdout().lock().write_all(line.as_bytes()).and_then(|()| io::stdout().lock().flush()).is_err() {
        // Nobody listens any more.
        std::process::exit(0);
    }
}

impl Server {
    async fn serve(self: Rc<Self>, stream: TcpStream, connection: u64) {
        say(&format!("C {connection}"));
        let _ = stream.set_nodelay(true);
        // The client may go away at any point; that is an end like another.
        let _ = self.converse(stream, connection).await;
        say(&format!("c {connection}"));
    }

    async fn converse(&self, stream: TcpStream, connection: u64) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut buffer = BytesMut::new();
        loop {
            if stream.fill_buf().await?.is_empty() {
                return Ok(());
            }
            let arrived = now_ns();
            let Some(asked) = read(&mut stream, &mut buffer).await? else { return Ok(()) };
            let serial = self.serial.get() + 1;
            self.serial.set(serial);
            say(&format!(
                "R {} {arrived} {connection} {} {} {}",
                asked.nonce,
                asked.deadline_ms,
                u8::from(asked.write),
                asked.config
            ));
            let manner = self.manner.borrow().clone();
            let workers = self.workers.borrow().clone();
            let working = workers.acquire().await.map_err(io::Error::other)?;
            let mut delay = manner.delay_us;
            if manner.jitter_us > 0 {
                delay += self.random.borrow_mut().below(manner.jitter_us);
            }
            if delay > 0 {
                tokio::time::sleep(Duration::from_micros(delay)).await;
            }
            drop(working);
            let fails = manner.permille == 1000 || self.random.borrow_mut().below(1000) < manner.permille;
            let status = if fails { manner.status } else { 200 };
            let mut body = format!(r#"{{"nonce":{},"serial":{serial}"#, asked.nonce);
            if manner.body_bytes > body.len() + 12 {
                body += r#","pad":""#;
                body += &"x".repeat(manner.body_bytes - body.len() - 2);
                body.push('"');
            }
            body.push('}');
            let retry_after = match &manner.retry_after {
                Some(value) if status != 200 => format!("retry-after: {value}\r\n"),
                _ => String::new(),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n{retry_after}content-type: application/json\r\n\r\n"
            );
            if manner.body_after_us > 0 {
                stream.get_mut().write_all(head.as_bytes()).await?;
                tokio::time::sleep(Duration::from_micros(manner.body_after_us)).await;
                stream.get_mut().write_all(body.as_bytes()).await?;
            } else {
                stream.get_mut().write_all((head + &body).as_bytes()).await?;
            }
            if manner.closes {
                return Ok(());
            }
        }
    }
}

struct Asked {
    nonce: u64,
    write: bool,
    deadline_ms: i64,
    config: i64,
}

async fn read(stream: &mut BufReader<TcpStream>, buffer: &mut BytesMut) -> io::Result<Option<Asked>> {
    loop {
        if let Some((asked, head, body)) = parse(buffer)? {
            buffer.advance(head);
            // A body is read and forgotten: it may be larger than what this process should hold.
            let mut left = body;
            while left > 0 {
                if buffer.is_empty() && stream.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
                let read = left.min(buffer.len());
                buffer.advance(read);
                left -= read;
            }
            return Ok(Some(asked));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// A head, how long it is, and how long its body will be.
fn parse(buffer: &[u8]) -> io::Result<Option<(Asked, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(buffer).map_err(io::Error::other)? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let nonce = path.rsplit('/').next().and_then(|nonce| nonce.parse().ok()).unwrap_or(u64::MAX);
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<i64>().ok())
    };
    let asked = Asked {
        nonce,
        write: request.method == Some("POST"),
        deadline_ms: header(seawall_http::DEADLINE_HEADER).unwrap_or(-1),
        config: header("x-config").unwrap_or(0),
    };
    let body = header("content-length").unwrap_or(0) as usize;
    Ok(Some((asked, head, body)))
}
