//! What an HTTP GET costs its client, beside raw awc and raw reqwest:
//! `cargo run --release -p seawall-benches --bin http [-- --quick]`.
//!
//! The figure is CPU time of this process for each request, with 64 in flight on one thread. The server is a process of
//! its own, so that its work is not counted. All three clients have at most 64 connections, ask for the same paths, and
//! decode the same JSON into the same struct with serde_json; a second row leaves the bytes as they came. Seawall runs
//! whole: a runtime, default policies, only the pool and the bulkhead as wide as the test. Rounds alternate between the
//! clients, and each figure is the least over all rounds.
#![allow(clippy::print_stdout)] // The server tells its port on its output.

use std::{
    env,
    error::Error,
    io::{self, BufRead as _, BufReader, Read as _},
    process::{self, Child, Command, Stdio},
    rc::Rc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use seawall::{Runtime, Service};
use seawall_benches::{Figure, Options};
use seawall_http::{Http, HttpCall};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 15;
/// Requests of each client in a round.
const REQUESTS: usize = 12_800;

/// What this binary is started with to be the server.
const SERVE: &str = "serve";

const BODY: &str =
    r#"{"id":42,"name":"Ann Archer","email":"ann@example.org","active":true,"balance":1250.75}"#;

#[derive(Deserialize)]
struct User {
    id: u64,
    name: String,
    email: String,
    active: bool,
    balance: f64,
}

impl User {
    fn check(&self) {
        assert!(
            self.id == 42 && self.active && self.balance > 0.0 && self.name.len() + self.email.len() > 20
        );
    }
}

#[derive(HttpCall)]
#[http(get = "/users/{id}", reply = User)]
struct GetUser {
    id: usize,
}

#[derive(HttpCall)]
#[http(get = "/users/{id}", reply = Bytes)]
struct GetBytes {
    id: usize,
}

type Problem = Box<dyn Error>;

fn main() -> Result<(), String> {
    if env::args().nth(1).as_deref() == Some(SERVE) {
        return serve().map_err(|error| format!("the server failed: {error}"));
    }
    let options = Options::from_args()?;
    let server = Server::start()?;
    let figures = actix_rt::System::new()
        .block_on(measure(&options, &server.address))
        .map_err(|error| format!("a client failed: {error}"))?;
    options.report(&figures)
}

async fn measure(options: &Options, address: &str) -> Result<Vec<Figure>, Problem> {
    let settings = format!(
        "[services.users]\nkind = \"http\"\nurl = \"http://{address}\"\n\
         pool.max = {IN_FLIGHT}\npool.max_idle = {IN_FLIGHT}\nbulkhead.max_in_flight = {IN_FLIGHT}"
    );
    let runtime = Runtime::builder().kind::<Http>().parse(settings)?.start().await?;
    let seawall: Service<Http> = runtime.service("users")?;
    let awc = awc::Client::builder().connector(awc::Connector::new().limit(IN_FLIGHT)).finish();
    let reqwest = reqwest::Client::builder().pool_max_idle_per_host(IN_FLIGHT).no_proxy().build()?;
    let url: Rc<str> = format!("http://{address}/users/").into();

    let (mut json, mut bytes) = ([f64::MAX; 3], [f64::MAX; 3]);
    for _ in 0..options.rounds(ROUNDS) {
        let [by_awc, by_reqwest, by_seawall] = &mut json;
        let (client, base) = (awc.clone(), url.clone());
        round(by_awc, async move |id| {
            client.get(format!("{base}{id}")).send().await?.json::<User>().await?.check();
            Ok(())
        })
        .await?;
        let (client, base) = (reqwest.clone(), url.clone());
        round(by_reqwest, async move |id| {
            client.get(format!("{base}{id}")).send().await?.json::<User>().await?.check();
            Ok(())
        })
        .await?;
        let users = seawall.clone();
        round(by_seawall, async move |id| {
            users.send(GetUser { id }).await?.check();
            Ok(())
        })
        .await?;

        let [by_awc, by_reqwest, by_seawall] = &mut bytes;
        let (client, base) = (awc.clone(), url.clone());
        round(by_awc, async move |id| whole(&client.get(format!("{base}{id}")).send().await?.body().await?))
            .await?;
        let (client, base) = (reqwest.clone(), url.clone());
        round(by_reqwest, async move |id| {
            whole(&client.get(format!("{base}{id}")).send().await?.bytes().await?)
        })
        .await?;
        let users = seawall.clone();
        round(by_seawall, async move |id| whole(&*users.send(GetBytes { id }).await?)).await?;
    }
    runtime.drain().await;

    let row = |name, [awc, reqwest, seawall]: [f64; 3]| {
        Figure::new(name, seawall, "us", "").beside("awc", awc).beside("reqwest", reqwest)
    };
    let ratios = |[by_awc, by_reqwest, by_seawall]: [f64; 3]| (by_seawall / by_awc, by_seawall / by_reqwest);
    let ((to_awc, to_reqwest), (bytes_to_awc, bytes_to_reqwest)) = (ratios(json), ratios(bytes));
    Ok(vec![
        row("http get, json", json),
        row("http get, bytes", bytes),
        Figure::new("http_awc_ratio", to_awc, "ratio", "<= 1.10").beside("bytes", bytes_to_awc),
        Figure::new("http_reqwest_ratio", to_reqwest, "ratio", "<= 0.85").beside("bytes", bytes_to_reqwest),
    ])
}

/// Runs `one` so often, always as many at once, and keeps its CPU time in microseconds if that is the least so far.
async fn round<F>(least: &mut f64, one: F) -> Result<(), Problem>
where
    F: AsyncFn(usize) -> Result<(), Problem> + 'static,
{
    let one = Rc::new(one);
    let began = cpu_time();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let one = Rc::clone(&one);
            actix_rt::spawn(async move {
                for i in 0..REQUESTS / IN_FLIGHT {
                    one(task * 1000 + i).await.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let took = cpu_time() - began;
    *least = least.min(took.as_secs_f64() * 1e6 / REQUESTS as f64);
    Ok(())
}

/// CPU time of this process so far, the kernel's work for it included.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn whole(body: &Bytes) -> Result<(), Problem> {
    if body == BODY { Ok(()) } else { Err("another body came".into()) }
}

/// The server's process; it ends with this one, whose end of its input closes.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Result<Self, String> {
        let failed = |error: io::Error| format!("the server cannot be started: {error}");
        let binary = env::current_exe().map_err(failed)?;
        let mut child = Command::new(binary)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut address = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut address).map_err(failed)?;
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Nothing is left to do if it ended by itself.
        let _ = self.child.wait();
    }
}

/// Answers every request alike, until its input ends.
fn serve() -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let answer: &'static [u8] = answer.leak().as_bytes();
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (connection, _) = listener.accept().await?;
            tokio::spawn(converse(connection, answer));
        }
    })
}

/// Answers each request on a connection. None has a body, so each ends with its head.
async fn converse(mut connection: TcpStream, answer: &[u8]) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let (mut buffer, mut filled) = ([0; 4096], 0);
    loop {
        match connection.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            read => filled += read,
        }
        while let Some(end) = buffer[..filled].windows(4).position(|end| end == b"\r\n\r\n") {
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
            connection.write_all(answer).await?;
        }
    }
}
