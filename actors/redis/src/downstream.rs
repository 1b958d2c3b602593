use std::{fmt, rc::Rc, sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use seawall::{
    call::{Attempt, Call},
    downstream::{Blame, Downstream, EndpointAddress, Failure, OpenContext, OpenError, PoolFigures},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    Listener, RedisSettings, Tracking,
    failure::{self, Effect},
    links::{Dedicated, Dialer, Figures, Lanes, Link, Places},
};

/// A Redis server: the kind `"redis"`.
///
/// One value is one thread's part of the service's connections. Opening makes none, but begins to: a server that is down is
/// told from settings that are wrong by its first call, which fails at once and is the breaker's to judge.
pub struct Redis {
    lanes: Rc<Lanes>,
    dedicated: Dedicated,
    dialer: Arc<Dialer>,
    check: Duration,
    service: Arc<str>,
}

/// What the threads of one service share, made by the first that succeeds: a certificate that could not be read is read
/// again by the next one that opens.
#[derive(Default)]
struct Shared(Mutex<Option<(Arc<Dialer>, Arc<Places>)>>);

impl Shared {
    fn get(
        &self,
        settings: &RedisSettings,
        context: &OpenContext,
    ) -> Result<(Arc<Dialer>, Arc<Places>), OpenError> {
        let mut made = self.0.lock();
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        let (pool, limit) = (context.pool(), context.connect_timeout());
        let dialer = Dialer::new(settings, limit, pool.connect_concurrency, Arc::<Figures>::default());
        let dialer = dialer.map_err(OpenError::new)?;
        Ok(made.insert((Arc::new(dialer), Arc::new(Places::new(pool)))).clone())
    }
}

/// What a health check says that it has time for; `health.timeout` ends it sooner.
const LONGEST_CHECK: Duration = Duration::from_secs(60);

impl Redis {
    /// Makes a call of this kind within another's attempt: how a call of one's own asks for what it needs.
    ///
    /// ```
    /// # use seawall::{call::{Attempt, Call, CallTraits}, Failure};
    /// # use seawall_redis::{Get, Redis};
    /// struct GetName { id: u64 }
    ///
    /// impl Call<Redis> for GetName {
    ///     type Reply = Option<String>;
    ///     const NAME: &'static str = "GetName";
    ///
    ///     fn traits(&self) -> CallTraits {
    ///         CallTraits::IDEMPOTENT
    ///     }
    ///
    ///     async fn attempt(&self, redis: &Redis, attempt: &Attempt) -> Result<Option<String>, Failure> {
    ///         redis.send(&Get::new(format!("user:{}:name", self.id)), attempt).await
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As the table of this crate's documentation says.
    pub async fn send<C: Call<Self>>(&self, call: &C, attempt: &Attempt) -> Result<C::Reply, Failure> {
        call.attempt(self, attempt).await
    }

    /// Tells `listener` of each key that changes below these prefixes, over a connection that is there for nothing else. It
    /// needs RESP3, so a server of version 6 or newer; a prefix must not begin with another.
    pub fn track(
        &self,
        prefixes: impl IntoIterator<Item = impl Into<String>>,
        listener: Arc<dyn Listener>,
    ) -> Tracking {
        let prefixes = prefixes.into_iter().map(Into::into).collect();
        Tracking::start(Arc::clone(&self.dialer), prefixes, self.check, listener)
    }

    /// One command over a shared connection.
    ///
    /// # Errors
    /// As the table of this crate's documentation says.
    pub(crate) async fn ask(&self, command: &Cmd, how: How, attempt: &Attempt) -> Result<Value, Failure> {
        let (link, answer) =
            self.exchange(how.idempotent, attempt, async |link| link.ask(command).await).await?;
        answer.and_then(Value::extract_error).map_err(|error| self.failed(&link, &error, how.effect))
    }

    /// Several commands in one piece over a shared connection; of a transaction, the answer of its EXEC alone.
    ///
    /// # Errors
    /// As the table of this crate's documentation says. Errors among the answers are answers here.
    pub(crate) async fn ask_all(
        &self,
        commands: &Pipeline,
        idempotent: bool,
        attempt: &Attempt,
    ) -> Result<Vec<Value>, Failure> {
        let (link, answers) =
            self.exchange(idempotent, attempt, async |link| link.ask_all(commands).await).await?;
        answers.map_err(|error| self.failed(&link, &error, Effect::Partial))
    }

    /// One command over a connection of its own.
    ///
    /// # Errors
    /// As the table of this crate's documentation says.
    pub(crate) async fn ask_alone(&self, command: &Cmd, attempt: &Attempt) -> Result<Value, Failure> {
        let lent = self.dedicated.lend(attempt).await?;
        attempt.mark_sent();
        let answer = lent.ask(command).await.and_then(Value::extract_error);
        let failed = answer.map_err(|error| failure::of_command(&error, Effect::Whole));
        // After an error too the connection may be another server's than ours.
        if failed.is_ok() {
            lent.done();
        }
        failed
    }

    /// Asks over a shared connection; over another if it broke meanwhile, and what is asked may be asked twice. A server that
    /// was restarted has closed them all, and the first command on each is what finds out: so as often as there are
    /// connections, and then over one that was made for it.
    async fn exchange<T>(
        &self,
        idempotent: bool,
        attempt: &Attempt,
        ask: impl AsyncFn(&Link) -> RedisResult<T>,
    ) -> Result<(Arc<Link>, RedisResult<T>), Failure> {
        let mut others = if idempotent { self.lanes.count() } else { 0 };
        loop {
            let (link, answer) = self.exchange_once(attempt, &ask).await?;
            match &answer {
                Err(error) if error.is_io_error() && others > 0 => others -= 1,
                _ => return Ok((link, answer)),
            }
        }
    }

    async fn exchange_once<T>(
        &self,
        attempt: &Attempt,
        ask: &impl AsyncFn(&Link) -> RedisResult<T>,
    ) -> Result<(Arc<Link>, RedisResult<T>), Failure> {
        let link = self.lanes.link(attempt).await?;
        attempt.mark_sent();
        let mut watch = Watch { link: &link, deadline: Some(attempt.deadline()) };
        let answer = ask(&link).await;
        watch.deadline = None;
        drop(watch);
        Ok((link, answer))
    }

    /// Classifies an error. Where it says that another server is the right one now, the next command goes over a connection
    /// made anew, to wherever the name leads by then.
    fn failed(&self, link: &Arc<Link>, error: &RedisError, effect: Effect) -> Failure {
        if error.is_io_error() && link.has_hung() {
            return failure::hung();
        }
        let failure = failure::of_command(error, effect);
        if failure.blame() == Blame::Topology {
            self.lanes.retire(link);
        }
        failure
    }

    /// An error among the answers that [`ask_all`](Self::ask_all) gave.
    pub(crate) fn refused(&self, failure: Failure) -> Failure {
        if failure.blame() == Blame::Topology {
            self.lanes.retire_all();
        }
        failure
    }
}

/// What is known of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// What may have happened when it is refused.
    pub(crate) effect: Effect,
    /// Whether it may be made twice.
    pub(crate) idempotent: bool,
}

impl How {
    /// One that is done or refused.
    pub(crate) fn whole(idempotent: bool) -> Self {
        Self { effect: Effect::Whole, idempotent }
    }

    /// One that may be done in part.
    pub(crate) fn partial(idempotent: bool) -> Self {
        Self { effect: Effect::Partial, idempotent }
    }
}

/// Watches a command: if it is dropped when its time is up, its connection is in doubt.
struct Watch<'a> {
    link: &'a Link,
    /// `None` once there is an answer.
    deadline: Option<Instant>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.link.suspect();
        }
    }
}

impl Downstream for Redis {
    const KIND: &'static str = "redis";

    type Settings = RedisSettings;

    fn explain(settings: &RedisSettings) -> impl Serialize {
        crate::explain::explain(settings)
    }

    async fn open(settings: &RedisSettings, context: &OpenContext) -> Result<Self, OpenError> {
        let (dialer, places) = context.shared(Shared::default).get(settings, context)?;
        let (pool, check) = (context.pool(), settings.check());
        Ok(Self {
            lanes: Lanes::start(&dialer, settings.connections(), check, pool.lifetime),
            dedicated: Dedicated::new(&dialer, &places, pool, check),
            dialer,
            check,
            service: Arc::clone(context.service()),
        })
    }

    /// A PING over a shared connection.
    async fn check(&self) -> Result<(), Failure> {
        let attempt = Attempt::new(Arc::clone(&self.service), "health", Instant::now() + LONGEST_CHECK);
        self.ask(&redis::cmd("PING"), How::whole(true), &attempt).await.map(drop)
    }

    /// Closes idle connections at once, and those in use when their commands have ended.
    async fn close(&self) {
        self.lanes.close();
        self.dedicated.close();
    }

    fn pool(context: &OpenContext) -> Option<PoolFigures> {
        let shared = context.find_shared::<Shared>()?;
        let (dialer, places) = shared.0.lock().clone()?;
        Some(dialer.figures().read(places.max()))
    }

    fn endpoints(settings: &RedisSettings) -> Vec<EndpointAddress> {
        vec![EndpointAddress::new(settings.targets()[0].to_string())]
    }
}

impl Drop for Redis {
    /// What keeps the connections would keep them for as long as it is making one.
    fn drop(&mut self) {
        self.lanes.close();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("service", &self.service).finish_non_exhaustive()
    }
}
