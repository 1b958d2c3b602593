//! The server's process as the stage holds it: started, frozen, killed and started again on the same port, with
//! everything that it ever saw.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::net::TcpSocket;

pub(crate) use super::serve::Manner;
use super::serve::{Order, WORD};
use super::times::Epoch;

/// How long the process may take for an order; it takes a millisecond unless the machine is at its end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the server saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) nonce: u64,
    /// When its first byte was read.
    pub(crate) at: Instant,
    pub(crate) connection: u64,
    /// The time left that the client passed on, if it did.
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) write: bool,
    /// What its `x-config` header says, if it has one.
    pub(crate) config: u64,
    /// How often the process had been started when it came.
    pub(crate) life: u64,
}

#[derive(Debug, Default)]
struct Seen {
    arrivals: Vec<Arrival>,
    accepted: u64,
    open: u64,
    peak_open: u64,
    /// When connections came.
    accepts: Vec<Instant>,
    listening: bool,
    acknowledged: u64,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug)]
struct Life {
    child: Child,
    orders: ChildStdin,
}

/// A server of its own process, on a port that stays ours while it is dead.
#[derive(Debug)]
pub(crate) struct Origin {
    addr: SocketAddr,
    _reserved: TcpSocket,
    life: Mutex<Option<Life>>,
    lives: Mutex<u64>,
    orders: Mutex<u64>,
    shared: Arc<Shared>,
}

impl Origin {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// If there is no port or process to be had.
    pub(crate) fn start() -> Self {
        let reserved = reserve().unwrap_or_else(|error| panic!("no free port for a server: {error}"));
        let addr = reserved.local_addr().unwrap_or_else(|error| panic!("no free port for a server: {error}"));
        let origin = Self {
            addr,
            _reserved: reserved,
            life: Mutex::default(),
            lives: Mutex::default(),
            orders: Mutex::default(),
            shared: Arc::default(),
        };
        origin.revive();
        origin
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Starts the process again after it was killed; returns once it listens.
    ///
    /// # Panics
    /// If it cannot be started.
    pub(crate) fn revive(&self) {
        let program = std::env::current_exe().unwrap_or_else(|error| panic!("no program to start: {error}"));
        let mut command = Command::new(program);
        command.arg(WORD).arg(self.addr.port().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).env_remove("LD_PRELOAD");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("no server: {error}"));
        let (Some(orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("the server's process came without its pipes");
        };
        let life = {
            let mut lives = self.lives.lock();
            *lives += 1;
            *lives
        };
        self.shared.seen.lock().listening = false;
        let shared = self.shared.clone();
        let epoch = Epoch::now();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                shared.read(&line, epoch, life);
            }
            // Its connections died with it.
            shared.seen.lock().open = 0;
            shared.changed.notify_all();
        });
        *self.life.lock() = Some(Life { child, orders });
        self.shared.wait("listen", |seen| seen.listening);
    }

    /// Answers in this manner from now on; returns once it does.
    pub(crate) fn behave(&self, manner: Manner) {
        self.order(Some(manner));
    }

    /// Returns once everything that the server has seen until now is known here.
    pub(crate) fn settle(&self) {
        if self.life.lock().is_some() {
            self.order(None);
        }
    }

    fn order(&self, manner: Option<Manner>) {
        let number = {
            let mut orders = self.orders.lock();
            *orders += 1;
            *orders
        };
        let order = serde_json::to_string(&Order { number, manner })
            .unwrap_or_else(|error| panic!("an order cannot be written: {error}"));
        if let Some(life) = &mut *self.life.lock()
            && let Err(error) = writeln!(life.orders, "{order}").and_then(|()| life.orders.flush())
        {
            panic!("the server takes no orders: {error}");
        }
        self.shared.wait("follow an order", |seen| seen.acknowledged >= number);
    }

    /// Freezes it (SIGSTOP): the kernel goes on accepting for it and acknowledging bytes.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP, WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT);
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT, WaitIdOptions::CONTINUED | WaitIdOptions::NOWAIT);
    }

    fn signal(&self, signal: Signal, shown_by: WaitIdOptions) {
        let life = self.life.lock();
        let Some(life) = &*life else { panic!("no {signal:?} for a server that is dead") };
        let pid = Pid::from_child(&life.child);
        let sent = kill_process(pid, signal).and_then(|()| waitid(WaitId::Pid(pid), shown_by));
        if let Err(error) = sent {
            panic!("no {signal:?} for the server: {error}");
        }
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(&self) {
        if let Some(mut life) = self.life.lock().take() {
            // It may have ended by itself, which is as good.
            let _ = life.child.kill();
            let _ = life.child.wait();
        }
    }

    /// Everything that it saw.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.shared.seen.lock().arrivals.clone()
    }

    /// How many requests it saw.
    pub(crate) fn requests(&self) -> usize {
        self.shared.seen.lock().arrivals.len()
    }

    /// When connections came.
    pub(crate) fn accepts(&self) -> Vec<Instant> {
        self.shared.seen.lock().accepts.clone()
    }

    pub(crate) fn open_connections(&self) -> u64 {
        self.shared.seen.lock().open
    }

    pub(crate) fn peak_connections(&self) -> u64 {
        self.shared.seen.lock().peak_open
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn read(&self, line: &str, epoch: Epoch, life: u64) {
        let mut words = line.split(' ');
        let what = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok()).unwrap_or(-1);
        let mut seen = self.seen.lock();
        match what {
            "L" => seen.listening = true,
            "A" => seen.acknowledged = number() as u64,
            "C" => {
                seen.accepted += 1;
                seen.accepts.push(super::times::now());
                seen.open += 1;
                seen.peak_open = seen.peak_open.max(seen.open);
            }
            "c" => seen.open = seen.open.saturating_sub(1),
            "R" => {
                let nonce = number() as u64;
                let at = epoch.instant(number() as u64);
                let connection = number() as u64;
                let deadline_ms = u64::try_from(number()).ok();
                let write = number() == 1;
                let config = number() as u64;
                seen.arrivals.push(Arrival { nonce, at, connection, deadline_ms, write, config, life });
            }
            _ => {}
        }
        drop(seen);
        self.changed.notify_all();
    }

    fn wait(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let end = super::times::now() + PATIENCE;
        let mut seen = self.seen.lock();
        while !condition(&seen) {
            if self.changed.wait_until(&mut seen, end).timed_out() {
                panic!("the server did not {what} within {} s: {seen:?}", PATIENCE.as_secs());
            }
        }
    }
}

fn reserve() -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(socket)
}
