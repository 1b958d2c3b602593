//! What the machine itself does meanwhile, so that its noise is not held against the software.
//!
//! A plain thread asks the neighbour's server over a plain socket, a hundred times a second, without any runtime. What it
//! has to wait is what the kernel, the server and everybody else on these cores cost; only what a call takes beyond that
//! is seawall's. On a quiet machine it is a fraction of a millisecond, and every bound is what FAULTS.md says.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::times::{now, quantile};

const PERIOD: Duration = Duration::from_millis(10);

/// The first nonce that is no call's.
pub(crate) const NONCES: u64 = 1 << 60;

/// The thread that watches the machine.
#[derive(Debug)]
pub(crate) struct Machine {
    stopped: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<(Instant, Duration)>>>,
    thread: Option<JoinHandle<()>>,
}

/// What the machine cost at which time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noise(Vec<(Instant, Duration)>);

impl Machine {
    pub(crate) fn watch(server: SocketAddr) -> Self {
        let (stopped, samples) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (told, kept) = (stopped.clone(), samples.clone());
        let thread = std::thread::spawn(move || {
            // Without a server there is nothing to measure; the bounds are then those of a quiet machine.
            let _ = ask(server, &told, &kept);
        });
        Self { stopped, samples, thread: Some(thread) }
    }

    pub(crate) fn stop(mut self) -> Noise {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        Noise(std::mem::take(&mut self.samples.lock()))
    }
}

fn ask(
    server: SocketAddr,
    stopped: &AtomicBool,
    samples: &Mutex<Vec<(Instant, Duration)>>,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut due = now() + PERIOD;
    let mut answer = [0; 1024];
    for nonce in NONCES.. {
        // A thread of its own, which no runtime shares: this is the measure that runtimes are held against.
        #[allow(clippy::disallowed_methods)]
        std::thread::sleep(due.saturating_duration_since(now()));
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        stream.write_all(format!("GET /echo/{nonce} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())?;
        let mut read = 0;
        while !answer[..read].ends_with(b"}") {
            match stream.read(&mut answer[read..])? {
                0 => return Ok(()),
                more => read += more,
            }
        }
        // Those that were due while this one waited waited too, each for what was left.
        let back = now();
        let mut samples = samples.lock();
        while due <= back {
            samples.push((due, back.saturating_duration_since(due)));
            due += PERIOD;
        }
    }
    Ok(())
}

impl Noise {
    pub(crate) fn all(&self, from: Instant, to: Instant) -> Vec<Duration> {
        self.0.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, took)| *took).collect()
    }

    pub(crate) fn p99(&self, from: Instant, to: Instant) -> Duration {
        quantile(self.all(from, to), 0.99)
    }

    /// The longest that anything had to wait for the machine.
    pub(crate) fn longest(&self, from: Instant, to: Instant) -> Duration {
        self.all(from, to).into_iter().max().unwrap_or_default()
    }
}
