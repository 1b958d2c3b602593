//! The kind `"memcached"`: its text protocol, over a few connections. All that a kind has to do is to make one attempt and to
//! say whose fault it was; breaker, queue, retries, cache and restarts are the core's.

use std::{cell::RefCell, io};

use seawall::{
    Call, Downstream, Failure,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing},
    downstream::{Blame, EndpointAddress, OpenContext, OpenError, Reached, Stage, Symptom},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Lines of the protocol are short; a longer one is no memcached's.
const LONGEST_LINE: u64 = 2048;
/// What memcached itself stores under a key at most, by default.
const LARGEST_VALUE: usize = 1024 * 1024;

/// One thread's connections that nobody uses at the moment. The bulkhead bounds those in use.
pub(crate) struct Memcached {
    addr: String,
    idle: RefCell<Vec<std::net::TcpStream>>,
}

type Connection = BufReader<TcpStream>;

/// What a service of this kind has beside the library's own settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Settings {
    /// `"host:port"`.
    addr: String,
}

impl Downstream for Memcached {
    const KIND: &'static str = "memcached";
    const POOLED: bool = true;
    type Settings = Settings;

    async fn open(settings: &Settings, _: &OpenContext) -> Result<Self, OpenError> {
        Ok(Self { addr: settings.addr.clone(), idle: RefCell::default() })
    }

    fn endpoints(settings: &Settings) -> Vec<EndpointAddress> {
        vec![EndpointAddress::new(settings.addr.as_str())]
    }
}

impl Memcached {
    /// Sends `request` and reads the reply by `read`. A connection comes back only after a whole exchange: one whose caller
    /// went away, or that broke, is closed.
    async fn exchange<T>(
        &self,
        attempt: &Attempt,
        request: &[u8],
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let stream = match self.live() {
            Some(stream) => stream,
            None => {
                attempt.enter(Stage::Connect);
                let refused = |error| broken(error).symptom(Symptom::Connect).reached(Reached::No);
                TcpStream::connect(&self.addr).await.map_err(refused)?
            }
        };
        stream.set_nodelay(true).map_err(broken)?;
        let mut connection = BufReader::new(stream);
        attempt.enter(Stage::Attempt);
        attempt.mark_sent();
        connection.write_all(request).await.map_err(broken)?;
        let reply = read(&mut connection).await?;
        self.idle.borrow_mut().extend(connection.into_inner().into_std());
        Ok(reply)
    }

    /// An idle connection that the server has not closed meanwhile.
    fn live(&self) -> Option<TcpStream> {
        let is_open = |stream: &std::net::TcpStream| {
            stream.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        let mut idle = self.idle.borrow_mut();
        let stream = std::iter::from_fn(|| idle.pop()).find(is_open)?;
        TcpStream::from_std(stream).ok()
    }
}

/// The value of a key; `None` where there is none.
pub(crate) struct Get(pub(crate) String);

impl Call<Memcached> for Get {
    type Reply = Option<Vec<u8>>;
    const NAME: &'static str = "Get";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&self.0);
        Cacheable::Yes
    }

    fn sharing() -> Option<Sharing<Self::Reply>> {
        Some(Sharing::new())
    }

    async fn attempt(&self, memcached: &Memcached, attempt: &Attempt) -> Result<Self::Reply, Failure> {
        let request = format!("get {}\r\n", checked(&self.0)?);
        memcached
            .exchange(attempt, request.as_bytes(), async |connection| {
                let head = line(connection).await?;
                if head == "END" {
                    return Ok(None);
                }
                let length =
                    head.strip_prefix("VALUE ").and_then(|rest| rest.rsplit(' ').next()?.parse().ok());
                let length: usize =
                    length.filter(|length| *length <= LARGEST_VALUE).ok_or_else(|| said(&head))?;
                let mut value = vec![0; length];
                connection.read_exact(&mut value).await.map_err(broken)?;
                match (line(connection).await?.as_str(), line(connection).await?.as_str()) {
                    ("", "END") => Ok(Some(value)),
                    (_, end) => Err(said(end)),
                }
            })
            .await
    }
}

/// Keeps a value under a key, for this many seconds.
pub(crate) struct Set(pub(crate) String, pub(crate) Vec<u8>, pub(crate) u32);

impl Call<Memcached> for Set {
    type Reply = ();
    const NAME: &'static str = "Set";

    async fn attempt(&self, memcached: &Memcached, attempt: &Attempt) -> Result<(), Failure> {
        let Self(key, value, seconds) = self;
        let mut request = format!("set {} 0 {seconds} {}\r\n", checked(key)?, value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        memcached
            .exchange(attempt, &request, async |connection| match line(connection).await?.as_str() {
                "STORED" => Ok(()),
                other => Err(said(other)),
            })
            .await
    }
}

/// A key that stays one word of its line, whatever it holds.
fn checked(key: &str) -> Result<&str, Failure> {
    let fits = (1..=250).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong =
        || Failure::new(Blame::Caller, "a key is 1 to 250 visible ASCII characters").reached(Reached::No);
    fits.then_some(key).ok_or_else(wrong)
}

async fn line(connection: &mut Connection) -> Result<String, Failure> {
    let mut line = String::new();
    connection.take(LONGEST_LINE).read_line(&mut line).await.map_err(broken)?;
    line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| broken(io::ErrorKind::UnexpectedEof.into()))
}

fn broken(error: io::Error) -> Failure {
    Failure::new(Blame::Downstream, "the connection broke")
        .symptom(Symptom::Reset)
        .reached(Reached::Maybe)
        .caused_by(error)
}

/// Whose fault an answer is that is none.
fn said(line: &str) -> Failure {
    let blame = match line.split(' ').next() {
        Some("SERVER_ERROR") => Blame::Overload,
        Some("CLIENT_ERROR" | "ERROR") => Blame::Caller,
        _ => Blame::Downstream,
    };
    Failure::new(blame, format!("memcached said {line:?}")).reached(Reached::Yes)
}
