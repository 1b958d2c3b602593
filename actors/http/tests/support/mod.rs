//! A server whose every byte the test decides, and a client of it.
#![allow(dead_code, clippy::unwrap_used, reason = "tests use parts of it, and fail where it does")]

use std::{cell::RefCell, error::Error, net::SocketAddr, rc::Rc, time::Duration};

use seawall::{
    call::Attempt,
    downstream::{Downstream, Failure, OpenContext, PoolSettings},
};
use seawall_http::{Decode, ErrorBody, Http, Request, Untyped};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// Runs a test on a thread of its own kind, within ten seconds.
pub(crate) fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(async {
        tokio::time::timeout(Duration::from_secs(10), test).await.expect("the test hangs");
    });
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The first line.
    pub(crate) line: String,
    /// All other lines of the head.
    pub(crate) headers: Vec<(String, String)>,
    /// As long as `content-length` says.
    pub(crate) body: Vec<u8>,
    /// Which connection it came over, from 0.
    pub(crate) connection: usize,
}

impl Received {
    /// The one header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "two headers {name}: {:?}", self.headers);
        value
    }
}

/// What the server does with a request.
pub(crate) enum Reaction {
    /// Writes these bytes and waits for the next request.
    Write(Vec<u8>),
    /// Writes these bytes and closes.
    WriteAndClose(Vec<u8>),
    /// Closes with a reset.
    Reset,
    /// Writes these bytes and then nothing more.
    Hang(Vec<u8>),
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    received: Rc<RefCell<Vec<Received>>>,
}

impl Server {
    /// Starts a server that reacts to each request, told its number from 0.
    pub(crate) async fn start(react: impl Fn(usize, &Received) -> Reaction + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Rc::new(RefCell::new(Vec::new()));
        let (react, seen) = (Rc::new(react), received.clone());
        actix_rt::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                actix_rt::spawn(serve(stream, connection, react.clone(), seen.clone()));
            }
        });
        Self { address, received }
    }

    /// A server that answers every request with this.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, _| Reaction::Write(answer.clone())).await
    }

    /// All requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    pub(crate) fn last(&self) -> Received {
        self.received().pop().expect("a request came")
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with("").await
    }

    /// A client with more settings.
    pub(crate) async fn client_with(&self, settings: &str) -> Client {
        Client::open(&format!("url = \"http://{}\"\n{settings}", self.address), |context| context).await
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    react: Rc<impl Fn(usize, &Received) -> Reaction>,
    seen: Rc<RefCell<Vec<Received>>>,
) {
    let mut bytes = Vec::new();
    loop {
        let Some(received) = receive(&mut stream, &mut bytes, connection).await else { return };
        let number = seen.borrow().len();
        seen.borrow_mut().push(received.clone());
        match react(number, &received) {
            Reaction::Write(answer) => stream.write_all(&answer).await.unwrap(),
            Reaction::WriteAndClose(answer) => return stream.write_all(&answer).await.unwrap(),
            Reaction::Reset => {
                #[allow(deprecated, reason = "zero does not linger, which is what is deprecated")]
                return stream.set_linger(Some(Duration::ZERO)).unwrap();
            }
            Reaction::Hang(answer) => {
                stream.write_all(&answer).await.unwrap();
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>, connection: usize) -> Option<Received> {
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
        if !matches!(stream.read_buf(bytes).await, Ok(1..)) {
            return None;
        }
    };
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, length)| length.parse().unwrap());
    while bytes.len() < length {
        if !matches!(stream.read_buf(bytes).await, Ok(1..)) {
            return None;
        }
    }
    Some(Received { line, headers, body: bytes.drain(..length).collect(), connection })
}

/// An answer with a body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A 200 with this body, in JSON.
pub(crate) fn json(body: &str) -> Vec<u8> {
    answer("200 OK", "content-type: application/json\r\n", body)
}

pub(crate) struct Client {
    pub(crate) http: Http,
}

impl Client {
    pub(crate) async fn open(settings: &str, extend: impl FnOnce(OpenContext) -> OpenContext) -> Self {
        let settings = toml::from_str(settings).unwrap();
        let context = OpenContext::new("users", Duration::from_secs(2), PoolSettings::default());
        Self { http: Http::open(&settings, &extend(context)).await.unwrap() }
    }

    pub(crate) async fn send<D: Decode>(&self, request: Request) -> Result<D::Reply, Failure> {
        self.send_typed::<D, Untyped>(request).await
    }

    pub(crate) async fn send_typed<D: Decode, E: ErrorBody>(
        &self,
        request: Request,
    ) -> Result<D::Reply, Failure> {
        self.http.send_typed::<D, E>(request, &attempt()).await
    }
}

/// An attempt with five seconds.
pub(crate) fn attempt() -> Attempt {
    Attempt::new("users", "GetUser", Instant::now() + Duration::from_secs(5))
}

/// A failure and its sources, each once.
pub(crate) fn chain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut source = failure.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
