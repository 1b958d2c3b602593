//! A server that speaks no Redis but things that look like it: lengths that cannot be, nesting without an end, frames that
//! stop in the midst. A real server stands behind it, for the handshake and for the time before and after.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_redis::Get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::bed::RATE;
use crate::harness::load::Class;
use crate::harness::resources::{forget_peak, peak_rss};
use crate::harness::{Bed, Report, Rules, Stage, Store};

crate::scenario!(X13, "answers that look like Redis", beside, play);

/// What a call may cost of memory, whatever is answered: a buffer and what is read of it.
const MOST_MEMORY: u64 = 32 << 20;

/// Layers of nesting: each costs four bytes to send, and a stack frame to whoever reads it without counting.
const LAYERS: usize = 100_000;

/// Lengths that the redis crate takes for "there is none", which RESP3 has another word for. It does not tell them apart.
const TAKEN_FOR_NONE: [&str; 2] = ["$-2", "*-2"];

/// What is answered, and what it is.
fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |layer: &str| (layer.repeat(LAYERS) + ":1\r\n").into_bytes();
    let mut answers: Vec<(&str, Vec<u8>)> = [
        ("$-2", "$-2\r\n"),
        ("*-2", "*-2\r\n"),
        ("*2147483647", "*2147483647\r\n"),
        ("*2147483647 and a few", "*2147483647\r\n:1\r\n:1\r\n"),
        ("*9223372036854775807", "*9223372036854775807\r\n"),
        ("*18446744073709551616", "*18446744073709551616\r\n"),
        ("$2147483647", "$2147483647\r\nabc"),
        ("$9223372036854775807", "$9223372036854775807\r\nabc"),
        ("%2147483647", "%2147483647\r\n"),
        ("%9223372036854775807", "%9223372036854775807\r\n"),
        ("~2147483647", "~2147483647\r\n"),
        (">2147483647", ">2147483647\r\n"),
        (">0", ">0\r\n"),
        ("|2147483647", "|2147483647\r\n"),
        ("=2147483647", "=2147483647\r\ntxt:"),
        ("=2, too short for its format", "=2\r\nab\r\n"),
        ("!-1", "!-1\r\n"),
        ("an integer beyond all", ":99999999999999999999999\r\n"),
        ("a big number of nothing", "(\r\n"),
        ("a double of letters", ",abc\r\n"),
        ("#x", "#x\r\n"),
        ("a lone newline", "\n"),
        ("HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("an empty error", "-\r\n"),
        ("a MOVED to nowhere", "-MOVED\r\n"),
        ("a MOVED to no port", "-MOVED 1 :999999\r\n"),
    ]
    .map(|(name, bytes)| (name, bytes.as_bytes().to_vec()))
    .into();
    answers.extend([
        ("nested arrays", nested("*1\r\n")),
        ("nested pushes", nested(">1\r\n")),
        ("nested sets", nested("~1\r\n")),
        ("nested maps", nested("%1\r\n:1\r\n")),
        ("nested attributes", nested("|1\r\n:1\r\n")),
        ("NULs", vec![0; 64]),
        ("a status of bytes that are no text", b"+\xff\xfe\r\n".to_vec()),
        ("a line of a megabyte", vec![b'+'; 1 << 20]),
        ("a code of a megabyte", [b"-".as_slice(), &vec![b'X'; 1 << 20], b"\r\n"].concat()),
    ]);
    answers
}

/// What stands before the real server.
#[derive(Clone, Default)]
struct Front {
    /// What is answered to commands, in place of what the server would.
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    /// How often a `GET` was answered so.
    told: Arc<Mutex<usize>>,
}

impl Front {
    async fn start(&self, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no listener: {error}"));
        let addr = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let front = self.clone();
        drop(actix_rt::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let front = front.clone();
                // A client that goes away is an end like another.
                drop(actix_rt::spawn(async move { front.converse(client, server).await }));
            }
        }));
        addr
    }

    async fn converse(&self, mut client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut server = TcpStream::connect(server).await?;
        let (mut asked, mut answered) = (vec![0; 16 << 10], vec![0; 16 << 10]);
        loop {
            tokio::select! {
                biased;
                read = client.read(&mut asked) => {
                    let bytes = &asked[..read?];
                    let is = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
                    let answer = self.answer.lock().clone();
                    match answer {
                        _ if bytes.is_empty() => return Ok(()),
                        Some(answer) if is(b"GET\r\n") || is(b"ECHO\r\n") || is(b"INCRBY\r\n") => {
                            client.write_all(&answer).await?;
                            *self.told.lock() += usize::from(is(b"GET\r\n"));
                            // Nothing more is said: what it meant by the rest is its secret.
                            while client.read(&mut asked).await? > 0 {}
                            return Ok(());
                        }
                        _ => server.write_all(bytes).await?,
                    }
                }
                read = server.read(&mut answered) => match read? {
                    0 => return Ok(()),
                    read => client.write_all(&answered[..read]).await?,
                },
            }
        }
    }
}

async fn play(stage: Stage) -> Report {
    let (server, front) = (Store::server().await, Front::default());
    let addr = front.start(server.addr()).await;
    let text = format!("breaker = false\nretry = false\n{}", Store::at(&format!("redis://{addr}")));
    let (bed, store) = Store::bed(&stage, &format!("{text}\nredis.check = \"100ms\"")).await;
    let (mut accepted, mut none, mut never, mut words) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut grown, asker) = (0, store.clone());
    let fault = async |_: &Bed| {
        for (name, answer) in answers() {
            forget_peak();
            let before = peak_rss();
            *front.answer.lock() = Some(answer);
            let told = *front.told.lock();
            // Until one meets the answer: those before may wait at a connection that says nothing more.
            let mut ended = None;
            for _ in 0..50 {
                let get = asker.send(Get::<String>::new("name")).deadline(Duration::from_millis(150)).await;
                if *front.told.lock() > told {
                    ended = Some(get);
                    break;
                }
            }
            grown = grown.max(peak_rss().saturating_sub(before));
            match ended {
                None => never.push(name),
                Some(Ok(answer)) if answer.is_none() && TAKEN_FOR_NONE.contains(&name) => none.push(name),
                Some(Ok(_)) => accepted.push(name),
                Some(Err(error)) => words.push(Class::of(&error).word),
            }
        }
        *front.answer.lock() = None;
    };
    let mut outcome = bed.run_with(Store::mixed(&store), RATE, fault, async |_: &Bed| {}).await;
    Store::tell_writes(&server, &mut outcome);
    words.sort_unstable();
    words.dedup();
    let mut report = Report::default();
    report.holds(
        "answers taken for good",
        accepted.is_empty(),
        accepted.len(),
        format!("= 0 ({accepted:?})"),
    );
    report.note("answers taken for none", none.join(", "));
    report.holds("answers that nobody met", never.is_empty(), never.len(), format!("= 0 ({never:?})"));
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    report.holds(
        "memory at the peak of each",
        grown <= MOST_MEMORY,
        mib(grown),
        format!("<= {}", mib(MOST_MEMORY)),
    );
    let longest = words.iter().map(String::len).max().unwrap_or_default();
    report.at_most("bytes of the longest code", longest, 100);
    report.exactly("codes of nothing", words.iter().filter(|word| word.ends_with('/')).count(), 0);
    report.note("what they are told as", words.join(", "));
    report.exactly("answers out of nowhere", outcome.answered_meanwhile(), 0);
    // Both ends of its connections are in this process.
    Rules { growth: 48 << 20, books: false, ..Store::rules() }.judge(&outcome, &mut report);
    report
}
