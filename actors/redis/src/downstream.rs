use std::{fmt, rc::Rc, sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, RedisResult, ServerError, Value};
use seawall::{
    call::{Attempt, Call},
    downstream::{Blame, Downstream, EndpointAddress, Failure, OpenContext, OpenError, PoolFigures, Tiering},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    Listener, RedisSettings, Tracking,
    cluster::{Cluster, Means, Node, slot_of},
    failure::{self, Effect},
    links::{Dedicated, Dialer, Figures, Lanes, Link, Place, Places},
    settings::Topology,
    target::Target,
};

/// A Redis server, the primary of several, or a cluster: the kind `"redis"`.
///
/// One value is one thread's part of the service's connections. Opening makes none, but begins to: a server that is down is
/// told from settings that are wrong by its first call, which fails at once and is the breaker's to judge.
pub struct Redis {
    backend: Backend,
    dialer: Arc<Dialer>,
    check: Duration,
    service: Arc<str>,
}

/// Whom commands go to.
enum Backend {
    /// One server; which one it is may change.
    One(Node),
    /// The node that has the key.
    Cluster(Rc<Cluster>),
}

/// How often a command is sent on from node to node at most: two changes at once are three.
const REDIRECTIONS: usize = 5;

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

fn untracked() -> Failure {
    failure::unsendable("the keys of a cluster are not tracked: a node tells of its own alone")
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
    ///
    /// # Errors
    /// In a cluster, where each node would have to be listened to.
    pub fn track(
        &self,
        prefixes: impl IntoIterator<Item = impl Into<String>>,
        listener: Arc<dyn Listener>,
    ) -> Result<Tracking, Failure> {
        if matches!(self.backend, Backend::Cluster(_)) {
            return Err(untracked());
        }
        let prefixes = prefixes.into_iter().map(Into::into).collect();
        Ok(Tracking::start(Arc::clone(&self.dialer), prefixes, self.check, listener))
    }

    /// As [`track`](Self::track), whether or not a thread has opened a pool.
    ///
    /// # Errors
    /// In a cluster; or if its settings lead to no connection, such as a certificate that cannot be read.
    pub(crate) fn track_alone(
        settings: &RedisSettings,
        context: &OpenContext,
        prefixes: impl IntoIterator<Item = String>,
        listener: Arc<dyn Listener>,
    ) -> Result<Tracking, Failure> {
        if settings.topology() == Topology::Cluster {
            return Err(untracked());
        }
        let shared = context.shared(Shared::default).get(settings, context);
        let (dialer, _) = shared.map_err(|error| failure::unsendable(error.to_string()))?;
        let prefixes = prefixes.into_iter().collect();
        Ok(Tracking::start(dialer, prefixes, settings.check(), listener))
    }

    /// The service's name.
    pub(crate) fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// One command over a shared connection.
    ///
    /// # Errors
    /// As the table of this crate's documentation says.
    pub(crate) async fn ask(&self, command: &Cmd, how: How, attempt: &Attempt) -> Result<Value, Failure> {
        match &self.backend {
            Backend::One(node) => {
                let (link, answer) =
                    node.exchange(how.idempotent, attempt, async |link| link.ask(command).await).await?;
                answer.and_then(Value::extract_error).map_err(|error| node.failed(&link, &error, how.effect))
            }
            // In a box, so that it is not every command's future that has room for it.
            Backend::Cluster(cluster) => Box::pin(ask_cluster(cluster, command, how, attempt)).await,
        }
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
        let ask = async |link: &Link| link.ask_all(commands).await;
        match &self.backend {
            Backend::One(node) => {
                let (link, answers) = node.exchange(idempotent, attempt, ask).await?;
                answers.map_err(|error| node.failed(&link, &error, Effect::Partial))
            }
            Backend::Cluster(cluster) => {
                Box::pin(ask_all_cluster(cluster, commands, idempotent, attempt)).await
            }
        }
    }

    /// One command over a connection of its own.
    ///
    /// # Errors
    /// As the table of this crate's documentation says.
    pub(crate) async fn ask_alone(&self, command: &Cmd, attempt: &Attempt) -> Result<Value, Failure> {
        match &self.backend {
            Backend::One(node) => node.ask_alone(command, attempt).await.map_err(|error| error.0),
            Backend::Cluster(cluster) => {
                let mut target = cluster.target(slot_of(command));
                for _ in 0..REDIRECTIONS {
                    match cluster.node(&target).ask_alone(command, attempt).await {
                        Err((_, Some((slot, to)))) => {
                            cluster.moved(slot, &to);
                            target = to;
                        }
                        answer => return answer.map_err(|error| error.0).inspect_err(|_| cluster.doubt()),
                    }
                }
                Err(failure::sent_around())
            }
        }
    }

    /// An error among the answers that [`ask_all`](Self::ask_all) gave.
    pub(crate) fn refused(&self, failure: Failure) -> Failure {
        match &self.backend {
            Backend::One(node) if failure.blame() == Blame::Topology => node.lanes.retire_all(),
            Backend::Cluster(cluster) if failure.blame() == Blame::Topology => cluster.doubt(),
            _ => {}
        }
        failure
    }
}

/// One command to the node that has its key, and to where that sends it.
async fn ask_cluster(
    cluster: &Cluster,
    command: &Cmd,
    how: How,
    attempt: &Attempt,
) -> Result<Value, Failure> {
    let mut target = cluster.target(slot_of(command));
    let mut asking = false;
    for _ in 0..REDIRECTIONS {
        let node = cluster.node(&target);
        let ask = async |link: &Link| match asking {
            true => link.ask_asking(command).await,
            false => link.ask(command).await,
        };
        let asked = node.exchange(how.idempotent, attempt, ask).await;
        let (link, answer) = asked.inspect_err(|_| cluster.doubt())?;
        let error = match answer.and_then(Value::extract_error) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match redirection(&error, link.target()) {
            // Neither has carried it out.
            Some((slot, to)) => {
                asking = error.code() == Some("ASK");
                if !asking {
                    cluster.moved(slot, &to);
                }
                target = to;
            }
            None => {
                let failure = node.failed(&link, &error, how.effect);
                if failure.blame() != Blame::Caller {
                    cluster.doubt();
                }
                return Err(failure);
            }
        }
    }
    Err(failure::sent_around())
}

/// Several commands to the node that has their keys. They are sent on only if none was carried out.
async fn ask_all_cluster(
    cluster: &Cluster,
    commands: &Pipeline,
    idempotent: bool,
    attempt: &Attempt,
) -> Result<Vec<Value>, Failure> {
    let mut target = cluster.target(common_slot(commands)?);
    for _ in 0..REDIRECTIONS {
        let node = cluster.node(&target);
        let asked =
            node.exchange(idempotent, attempt, async |link: &Link| link.ask_all(commands).await).await;
        let (link, answers) = asked.inspect_err(|_| cluster.doubt())?;
        let refusals: Vec<_> = match &answers {
            Ok(answers) => answers.iter().map(refusal).collect(),
            Err(error) => error
                .clone()
                .into_server_errors()
                .iter()
                .flat_map(|errors| errors.iter())
                .map(|(_, error)| Some(error.clone()))
                .collect(),
        };
        let moved = refusals.iter().map(|refusal| {
            let error = RedisError::from(refusal.clone()?);
            redirection(&error, link.target()).filter(|_| error.code() == Some("MOVED"))
        });
        match moved.collect::<Option<Vec<_>>>().and_then(|mut moved| moved.pop()) {
            Some((slot, to)) => {
                cluster.moved(slot, &to);
                target = to;
            }
            None => {
                return answers.map_err(|error| {
                    cluster.doubt();
                    node.failed(&link, &error, Effect::Partial)
                });
            }
        }
    }
    Err(failure::sent_around())
}

fn refusal(answer: &Value) -> Option<ServerError> {
    match answer {
        Value::ServerError(error) => Some(error.clone()),
        _ => None,
    }
}

/// Where a node sends a command, and the slot that is there. A node that leaves out its own name means the one asked.
fn redirection(error: &RedisError, asked: &Target) -> Option<(u16, Target)> {
    let (address, slot) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let host = if host.is_empty() { asked.host() } else { host };
    Some((slot, Target::new(host.to_owned(), port.parse().ok()?, asked.is_tls())))
}

/// The slot of all commands that have one.
fn common_slot(commands: &Pipeline) -> Result<Option<u16>, Failure> {
    let mut slots = commands.cmd_iter().filter_map(slot_of);
    let first = slots.next();
    match slots.all(|slot| Some(slot) == first) {
        true => Ok(first),
        false => Err(failure::unsendable(
            "several commands go to one node of a cluster, and these keys have several; give them a common {tag}",
        )),
    }
}

impl Node {
    /// One command over a connection of its own; with a failure, where it is to be sent instead.
    async fn ask_alone(
        &self,
        command: &Cmd,
        attempt: &Attempt,
    ) -> Result<Value, (Failure, Option<(u16, Target)>)> {
        let lent = self.dedicated.lend(attempt).await.map_err(|failure| (failure, None))?;
        attempt.mark_sent();
        match lent.ask(command).await.and_then(Value::extract_error) {
            Ok(answer) => {
                lent.done();
                Ok(answer)
            }
            // After an error too the server may be another than ours: the connection is not used again.
            Err(error) => {
                Err((failure::of_command(&error, Effect::Whole), redirection(&error, lent.target())))
            }
        }
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
        let (pool, check, connections) = (context.pool(), settings.check(), settings.connections());
        let backend = match settings.topology() {
            Topology::Cluster => {
                let (dialer, pool) = (Arc::clone(&dialer), pool.clone());
                let means = Means { dialer, places, pool, connections, check };
                Backend::Cluster(Cluster::start(settings.targets(), means))
            }
            Topology::Standalone | Topology::Sentinel => Backend::One(Node {
                lanes: Lanes::start(&dialer, Place::Service, connections, check, pool.lifetime),
                dedicated: Dedicated::new(&dialer, Place::Service, &places, pool, check),
            }),
        };
        Ok(Self { backend, dialer, check, service: Arc::clone(context.service()) })
    }

    /// A PING over a shared connection.
    async fn check(&self) -> Result<(), Failure> {
        let attempt = Attempt::new(Arc::clone(&self.service), "health", Instant::now() + LONGEST_CHECK);
        self.ask(&redis::cmd("PING"), How::whole(true), &attempt).await.map(drop)
    }

    /// Closes idle connections at once, and those in use when their commands have ended.
    async fn close(&self) {
        match &self.backend {
            Backend::One(node) => node.close(),
            Backend::Cluster(cluster) => cluster.close(),
        }
    }

    fn pool(context: &OpenContext) -> Option<PoolFigures> {
        let shared = context.find_shared::<Shared>()?;
        let (dialer, places) = shared.0.lock().clone()?;
        Some(dialer.figures().read(places.max()))
    }

    fn tiering() -> Option<Tiering<Self>> {
        Some(Tiering::new())
    }

    fn endpoints(settings: &RedisSettings) -> Vec<EndpointAddress> {
        // The client of a set spreads its calls by itself, so that the whole of it is one.
        let targets: Vec<_> = settings.targets().iter().map(ToString::to_string).collect();
        vec![EndpointAddress::new(targets.join(","))]
    }
}

impl Drop for Redis {
    /// What keeps the connections would keep them for as long as it is making one.
    fn drop(&mut self) {
        match &self.backend {
            Backend::One(node) => node.close(),
            Backend::Cluster(cluster) => cluster.close(),
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("service", &self.service).finish_non_exhaustive()
    }
}
