use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{Shared, connection::Connection};
use crate::{
    settings::Host,
    wire::{DialError, Dialled},
};

/// Makes the connections of one shard at one server, and looks at each before it is lent again.
pub(crate) struct Manager {
    pub(super) shared: Arc<Shared>,
    /// Which of the service's servers: the first is the one that takes writes.
    pub(super) server: usize,
    /// Where it may be: it is looked for where it was last.
    hosts: Vec<Host>,
    last: AtomicUsize,
    connect_timeout: Duration,
    statements: usize,
    lifetime: Duration,
    /// Connections of an earlier one are not lent any more.
    generation: AtomicU64,
    /// When one of them was told last that its server takes no writes.
    outdated: Mutex<Option<Instant>>,
    /// What was used before this moment is asked whether it lives, since another did not.
    suspicion: Mutex<Option<Instant>>,
}

/// Between two of those.
const BETWEEN: Duration = Duration::from_secs(1);

/// How long a suspected connection has to show that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_millis(250);

impl Manager {
    pub(super) fn new(
        shared: &Arc<Shared>,
        server: usize,
        hosts: Vec<Host>,
        connect_timeout: Duration,
        statements: usize,
        lifetime: Duration,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            server,
            hosts,
            last: AtomicUsize::new(0),
            connect_timeout,
            statements,
            lifetime,
            generation: AtomicU64::new(0),
            outdated: Mutex::new(None),
            suspicion: Mutex::new(None),
        }
    }

    /// None of the connections that there are is lent any more.
    pub(super) fn condemn(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    /// This connection's server takes no writes any more: none is lent that is as old.
    ///
    /// That is once a second at most: where new ones are no better, each write that is refused would else cost a pool.
    pub(super) fn outdate(&self, connection: &Connection) {
        let mut outdated = self.outdated.lock();
        let now = Instant::now();
        let is_due = outdated.is_none_or(|at| now >= at + BETWEEN);
        if is_due && connection.generation == self.generation.load(Relaxed) {
            *outdated = Some(now);
            self.condemn();
        }
    }

    /// One of the connections did not answer in time: none is trusted that has been idle since.
    pub(super) fn suspect(&self) {
        *self.suspicion.lock() = Some(Instant::now());
    }

    pub(super) fn is_fit(&self, connection: &Connection) -> bool {
        !connection.client.is_closed()
            && connection.generation == self.generation.load(Relaxed)
            && Instant::now() < connection.expires
    }

    /// A connection outside of the pool.
    pub(super) async fn dial(&self) -> Result<Dialled, DialError> {
        self.shared.held()?;
        let first = self.last.load(Relaxed);
        let mut last = None;
        // One that is silent must not take the time of the others.
        let within = self.connect_timeout / u32::try_from(self.hosts.len()).unwrap_or(u32::MAX).max(1);
        for turn in 0..self.hosts.len() {
            let index = (first + turn) % self.hosts.len();
            // Whoever gives this up and tries again begins with the next.
            self.last.store(index + 1, Relaxed);
            let dialled = timeout(within, self.shared.dialler.dial(&self.hosts[index], within));
            match dialled.await.unwrap_or(Err(DialError::TimedOut)) {
                // Of several, the one that takes writes is meant. A single one is what it is.
                Ok(dialled) if self.hosts.len() > 1 && dialled.facts.is_read_only() => {
                    last = Some(DialError::ReadOnly);
                }
                Ok(dialled) => {
                    self.shared.dialled(false);
                    self.last.store(index, Relaxed);
                    return Ok(dialled);
                }
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or(DialError::ReadOnly);
        if error.is_full() {
            self.shared.dialled(true);
        }
        Err(error)
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = DialError;

    async fn create(&self) -> Result<Connection, DialError> {
        let closed = || DialError::Setup("the pool is closed".into());
        let permit = self.shared.permit(self.server).await.ok_or_else(closed)?;
        let _turn = self.shared.turns.acquire().await.map_err(|_| closed())?;
        let began = Instant::now();
        let generation = self.generation.load(Relaxed);
        let dialled = self.dial().await?;
        self.shared.counts.create_time.record(began.elapsed());
        Ok(Connection::new(dialled, &self.shared, self.statements, self.lifetime, generation, permit))
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<DialError> {
        if !self.is_fit(connection) {
            return Err(RecycleError::message("it is closed, too old, or of another time"));
        }
        let suspicion = *self.suspicion.lock();
        if suspicion.is_some_and(|since| connection.used <= since) {
            let answer = timeout(SIGN_OF_LIFE, connection.client.check_connection()).await;
            if !matches!(answer, Ok(Ok(()))) {
                connection.quiet = false;
                // Those beside it were idle as long: four that hang must not cost four times as much.
                self.condemn();
                return Err(RecycleError::message("it does not answer"));
            }
            connection.used = Instant::now();
        }
        Ok(())
    }
}
