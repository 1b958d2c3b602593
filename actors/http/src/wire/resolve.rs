use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// How long an answer is taken as it is.
const FRESH: Duration = Duration::from_secs(30);
/// How long an older answer is still used while, or because, no newer one comes.
const USABLE: Duration = Duration::from_secs(5 * 60);
/// How many addresses of a name are kept.
const MAX_ADDRESSES: usize = 16;

/// Looks a name up. A parameter, so that a test can have a resolver that is slow or broken.
pub(super) type Lookup =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The addresses of one service's host, shared by its threads.
///
/// The system's resolver blocks a thread for as long as it likes, knows no cancellation and caches nothing. So there is
/// never more than one look-up of a name under way, whoever waits for it or gave up waiting; a known answer is used for
/// [`FRESH`] without a question, and after that until [`USABLE`] while a new one is fetched behind it. A resolver that
/// is slow or down thus costs the first connection its time and the later ones nothing. A host that is an address is
/// never looked up. When none of the addresses takes a connection, [`Resolver::doubt`] has the next one ask anew.
pub(super) struct Resolver {
    host: String,
    port: u16,
    fixed: Option<SocketAddr>,
    lookup: Lookup,
    state: Mutex<State>,
    answered: Notify,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    looking: bool,
    /// Counts the look-ups that ended, so that who waits for one knows that it did.
    round: u64,
    failed: Option<Failed>,
}

/// What is needed to tell each who waits; an `io::Error` cannot be cloned.
struct Failed {
    code: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

impl Failed {
    fn error(&self) -> io::Error {
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.kind, self.text.clone()),
        }
    }
}

struct Known {
    addresses: Arc<[SocketAddr]>,
    at: Instant,
    doubted: bool,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16) -> Arc<Self> {
        let system: Lookup = Arc::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        });
        Self::with_lookup(host, port, system)
    }

    pub(super) fn with_lookup(host: &str, port: u16, lookup: Lookup) -> Arc<Self> {
        Arc::new(Self {
            host: host.to_owned(),
            port,
            fixed: host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port)),
            lookup,
            state: Mutex::default(),
            answered: Notify::new(),
        })
    }

    /// The addresses of the host; never empty.
    ///
    /// # Errors
    /// When no usable answer is known and the look-up fails or finds nothing.
    pub(super) async fn resolve(self: &Arc<Self>) -> io::Result<Arc<[SocketAddr]>> {
        if let Some(address) = self.fixed {
            return Ok(Arc::from([address]));
        }
        let mut joined = None;
        loop {
            // Made before the state is read, so that an answer in between wakes it.
            let answered = self.answered.notified();
            {
                let mut state = self.state.lock();
                let known = state.known.as_ref().filter(|known| known.at.elapsed() < USABLE);
                let addresses = known.map(|known| known.addresses.clone());
                let renew = known.is_none_or(|known| known.doubted || known.at.elapsed() >= FRESH);
                if addresses.is_none()
                    && joined.is_some_and(|joined| joined != state.round)
                    && let Some(failed) = &state.failed
                {
                    return Err(failed.error());
                }
                if renew && !state.looking {
                    state.looking = true;
                    tokio::spawn(self.clone().look());
                }
                if let Some(addresses) = addresses {
                    return Ok(addresses);
                }
                joined = Some(state.round);
            }
            answered.await;
        }
    }

    /// None of the addresses took a connection: they may be out of date. They are used on while a new answer is
    /// fetched, since they may also be right.
    pub(super) fn doubt(&self) {
        if let Some(known) = &mut self.state.lock().known {
            known.doubted = true;
        }
    }

    async fn look(self: Arc<Self>) {
        // A thread that stops takes its tasks with it: who waits must hear of that too.
        let mut looking = Looking { resolver: &self, outcome: None };
        let found = (self.lookup)(self.host.clone(), self.port).await;
        looking.outcome = Some(found.and_then(|mut addresses| {
            addresses.truncate(MAX_ADDRESSES);
            match addresses.is_empty() {
                true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
                false => Ok(addresses),
            }
        }));
    }
}

struct Looking<'a> {
    resolver: &'a Resolver,
    outcome: Option<io::Result<Vec<SocketAddr>>>,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut state = self.resolver.state.lock();
        state.looking = false;
        state.round += 1;
        state.failed = None;
        match self.outcome.take() {
            Some(Ok(addresses)) => {
                state.known = Some(Known { addresses: addresses.into(), at: Instant::now(), doubted: false });
            }
            Some(Err(error)) => {
                let (code, kind) = (error.raw_os_error(), error.kind());
                state.failed = Some(Failed { code, kind, text: error.to_string() });
            }
            None => {}
        }
        drop(state);
        self.resolver.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::time::{advance, sleep};

    use super::*;

    struct Fake {
        resolver: Arc<Resolver>,
        asked: Arc<AtomicUsize>,
        takes: Arc<Mutex<Duration>>,
        broken: Arc<Mutex<bool>>,
    }

    fn fake() -> Fake {
        let (asked, takes, broken) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Mutex::new(Duration::ZERO)),
            Arc::new(Mutex::new(false)),
        );
        let lookup: Lookup = Arc::new({
            let (asked, takes, broken) = (asked.clone(), takes.clone(), broken.clone());
            move |_, port| {
                let last = asked.fetch_add(1, SeqCst) as u8;
                let (takes, broken) = (*takes.lock(), *broken.lock());
                Box::pin(async move {
                    sleep(takes).await;
                    if broken {
                        Err(io::Error::other("down"))
                    } else {
                        Ok(vec![([10, 0, 0, last], port).into()])
                    }
                })
            }
        });
        Fake { resolver: Resolver::with_lookup("users.internal", 80, lookup), asked, takes, broken }
    }

    #[tokio::test(start_paused = true)]
    async fn many_share_one_lookup_and_giving_up_starts_no_other() {
        let fake = fake();
        *fake.takes.lock() = Duration::from_secs(10);
        for _ in 0..5 {
            let waited = tokio::time::timeout(Duration::from_secs(1), fake.resolver.resolve()).await;
            assert!(waited.is_err());
        }
        let (a, b) = tokio::join!(fake.resolver.resolve(), fake.resolver.resolve());
        assert_eq!(a.unwrap(), b.unwrap());
        assert_eq!(fake.asked.load(SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_or_broken_resolver_is_paid_for_once() {
        let fake = fake();
        let first = fake.resolver.resolve().await.unwrap();
        *fake.takes.lock() = Duration::from_secs(10);
        *fake.broken.lock() = true;
        advance(FRESH).await;
        let before = Instant::now();
        assert_eq!(fake.resolver.resolve().await.unwrap(), first);
        assert_eq!(before.elapsed(), Duration::ZERO);
        advance(USABLE).await;
        assert_eq!(fake.resolver.resolve().await.unwrap_err().to_string(), "down");
    }

    #[tokio::test(start_paused = true)]
    async fn doubted_addresses_are_asked_for_again() {
        let fake = fake();
        let first = fake.resolver.resolve().await.unwrap();
        assert_eq!(fake.resolver.resolve().await.unwrap(), first);
        assert_eq!(fake.asked.load(SeqCst), 1);
        fake.resolver.doubt();
        assert_eq!(fake.resolver.resolve().await.unwrap(), first);
        sleep(Duration::from_millis(1)).await;
        assert_ne!(fake.resolver.resolve().await.unwrap(), first);
        assert_eq!(fake.asked.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let resolver = Resolver::with_lookup("::1", 80, Arc::new(|_, _| panic!("looked up")));
        assert_eq!(&*resolver.resolve().await.unwrap(), [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80))]);
    }
}
