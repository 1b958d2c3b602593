use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool::{
    Runtime,
    managed::{Object, Pool, PoolConfig, PoolError, QueueMode, TimeoutType, Timeouts, WeakPool},
};
use parking_lot::Mutex;
use seawall::{
    call::Attempt,
    downstream::{Blame, Failure, OpenContext, PoolSettings, Reached, Stage},
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{Lease, Shared, manager::Manager, shared::Guard};
use crate::{
    failure,
    settings::{Host, PostgresSettings, Reset},
    wire::{DialError, Dialled},
};

/// One server, as one shard has it.
pub(crate) struct Place {
    pool: Pool<Manager>,
    shared: Arc<Shared>,
    always_reset: bool,
    /// Left alone until then, since it could not be reached: of replicas.
    shunned: Mutex<Option<Instant>>,
    steward: AbortHandle,
    connect_timeout: Duration,
    closing: Arc<Closing>,
}

/// Whether the pool is closed, for those that outlive it.
#[derive(Default)]
struct Closing {
    closed: AtomicBool,
    told: Notify,
}

/// Makes connections outside of the pool, as long as that is open.
pub(crate) struct Listening {
    pool: Pool<Manager>,
    connect_timeout: Duration,
    closing: Arc<Closing>,
}

impl Listening {
    pub(crate) async fn dial(&self) -> Result<Dialled, DialError> {
        let manager = self.pool.manager();
        timeout(self.connect_timeout, manager.dial()).await.unwrap_or(Err(DialError::TimedOut))
    }

    pub(crate) fn failure(&self, error: DialError) -> Failure {
        failure::of_dial(error, &self.pool.manager().shared.dialler)
    }

    /// Waits until the pool is closed.
    pub(crate) async fn closed(&self) {
        loop {
            let told = self.closing.told.notified();
            if self.closing.closed.load(Relaxed) {
                return;
            }
            told.await;
        }
    }

    pub(crate) fn spread(&self, time: Duration) -> Duration {
        self.pool.manager().shared.spread(time)
    }
}

/// All servers of a service, as one shard has them.
pub(crate) struct Places {
    pub(crate) primary: Place,
    replicas: Vec<Place>,
    next: AtomicUsize,
}

/// How long a replica that could not be reached is left alone.
const SHUNNED: Duration = Duration::from_secs(5);

impl Places {
    pub(crate) fn open(settings: &PostgresSettings, context: &OpenContext, shared: &Arc<Shared>) -> Self {
        let place = |server, hosts| Place::open(settings, context, shared, server, hosts);
        Self {
            primary: place(0, settings.primaries().to_vec()),
            replicas: settings
                .replicas()
                .iter()
                .enumerate()
                .map(|(index, host)| place(index + 1, vec![host.clone()]))
                .collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// A connection of the server that takes writes.
    pub(crate) async fn primary(&self, attempt: &Attempt) -> Result<Lease, Failure> {
        self.primary.lease(attempt).await
    }

    /// A connection of a replica: of the next one that can be reached, and of the primary where none can.
    pub(crate) async fn replica(&self, attempt: &Attempt) -> Result<Lease, Failure> {
        let first = self.next.fetch_add(1, Relaxed);
        for turn in 0..self.replicas.len() {
            let replica = &self.replicas[(first.wrapping_add(turn)) % self.replicas.len()];
            if replica.is_shunned() {
                continue;
            }
            match replica.lease(attempt).await {
                Err(failure) if failure.blame() != Blame::Local => replica.shun(),
                ended => return ended,
            }
        }
        self.primary.lease(attempt).await
    }

    /// For who listens: connections to the server that takes writes, outside of the pool.
    pub(crate) fn listening(&self) -> Listening {
        let Place { pool, connect_timeout, closing, .. } = &self.primary;
        Listening { pool: pool.clone(), connect_timeout: *connect_timeout, closing: Arc::clone(closing) }
    }

    pub(crate) fn close(&self) {
        std::iter::once(&self.primary).chain(&self.replicas).for_each(Place::close);
    }
}

impl Place {
    fn open(
        settings: &PostgresSettings,
        context: &OpenContext,
        shared: &Arc<Shared>,
        server: usize,
        hosts: Vec<Host>,
    ) -> Self {
        let limits = context.pool();
        let manager = Manager::new(
            shared,
            server,
            hosts,
            context.connect_timeout(),
            settings.table.statement_cache,
            limits.lifetime,
        );
        let timeouts = Timeouts {
            wait: Some(limits.acquire_timeout),
            // With the wait for the right to one, of which another thread's idle one has to be closed first.
            create: Some(context.connect_timeout()),
            recycle: Some(context.connect_timeout()),
        };
        let config = PoolConfig { max_size: limits.max.max(1), timeouts, queue_mode: QueueMode::Lifo };
        let pool = Pool::builder(manager)
            .config(config)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("deadpool asks for a runtime where it has timeouts, and has one");
        let steward = actix_rt::spawn(steward(pool.weak(), Arc::clone(shared), server, limits.clone()));
        Self {
            pool,
            shared: Arc::clone(shared),
            always_reset: settings.table.reset == Reset::Always,
            shunned: Mutex::new(None),
            steward: steward.abort_handle(),
            connect_timeout: context.connect_timeout(),
            closing: Arc::default(),
        }
    }

    /// A connection for an attempt.
    pub(crate) async fn lease(&self, attempt: &Attempt) -> Result<Lease, Failure> {
        let status = self.pool.status();
        let object = if status.available > 0 {
            // Nothing to wait for, and nothing to count.
            self.pool.get().await
        } else {
            attempt.enter(if status.size < status.max_size { Stage::Connect } else { Stage::Pool });
            let _waiting = Guard::enter(&self.shared.counts.waiting);
            let began = Instant::now();
            let object = self.pool.get().await;
            self.shared.counts.wait_time.record(began.elapsed());
            attempt.enter(Stage::Attempt);
            object
        };
        match object {
            Ok(object) => Ok(Lease::new(object, &self.shared, self.always_reset, attempt.deadline())),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                self.shared.counts.timeouts.increment();
                Err(Failure::timeout(Stage::Pool).code("pool"))
            }
            Err(PoolError::Timeout(_)) => Err(Failure::timeout(Stage::Connect).code("connect_timeout")),
            Err(PoolError::Backend(error)) => Err(failure::of_dial(error, &self.shared.dialler)),
            Err(PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
                Err(Failure::new(Blame::Local, "the pool is closed").reached(Reached::No).code("pool"))
            }
        }
    }

    fn is_shunned(&self) -> bool {
        self.shunned.lock().is_some_and(|until| Instant::now() < until)
    }

    fn shun(&self) {
        *self.shunned.lock() = Some(Instant::now() + SHUNNED);
    }

    fn close(&self) {
        self.steward.abort();
        self.pool.close();
        self.closing.closed.store(true, Relaxed);
        self.closing.told.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.close();
    }
}

/// Keeps house: closes what is idle for too long, too old or too much, makes ahead what is to be there, and gives an idle
/// connection up when another thread wants one.
async fn steward(pool: WeakPool<Manager>, shared: Arc<Shared>, server: usize, limits: PoolSettings) {
    let pause = (limits.idle_timeout / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
    loop {
        let wanted = timeout(pause, shared.wanted(server)).await.is_ok();
        let Some(pool) = pool.upgrade() else { return };
        if wanted {
            let mut given_up = false;
            pool.retain(|_, _| std::mem::replace(&mut given_up, true));
            continue;
        }
        let now = Instant::now();
        let manager = pool.manager();
        let mut idle = 0;
        pool.retain(|connection, _| {
            let keep = manager.is_fit(connection)
                && (now < connection.used + limits.idle_timeout || idle < limits.min_idle)
                && idle < limits.max_idle;
            idle += usize::from(keep);
            keep
        });
        let missing = limits.min_idle.min(limits.max).saturating_sub(pool.status().size);
        let mut made: Vec<Object<Manager>> = Vec::new();
        while made.len() < missing {
            // All at once in hand, or the same one would be taken again. Whoever calls has the errors.
            match pool.get().await {
                Ok(object) => made.push(object),
                Err(_) => break,
            }
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
