use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use seawall::{
    call::Attempt,
    downstream::{Downstream, EndpointAddress, Failure, OpenContext, OpenError, PoolFigures},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    Access, PostgresSettings, Session,
    pool::{Places, Shared},
    wire::{Dialler, SetupError},
};

/// A PostgreSQL service: the kind `"postgres"`.
///
/// One value is one shard's share of the service's connections; their number is the process's, over all shards. There are
/// few shards (`pool.shards`), on threads of the runtime's own: a connection is a process of the server's, and its callers
/// are many. Opening makes no connection: a service that is down is told from one that is misconfigured by its first call,
/// which fails at once and is the breaker's to judge.
pub struct Postgres {
    pub(crate) settings: PostgresSettings,
    pub(crate) places: Places,
    service: Arc<str>,
}

/// What the shards of one service share, made by the first that succeeds.
#[derive(Default)]
struct Made(Mutex<Option<Arc<Shared>>>);

impl Made {
    fn get(&self, settings: &PostgresSettings, context: &OpenContext) -> Result<Arc<Shared>, SetupError> {
        let mut made = self.0.lock();
        if let Some(shared) = &*made {
            return Ok(Arc::clone(shared));
        }
        let dialler = Dialler::new(settings)?;
        let shared = Arc::new(Shared::new(context, dialler, 1 + settings.replicas().len()));
        Ok(Arc::clone(made.insert(shared)))
    }
}

/// What a health check says that it has time for.
const LONGEST_CHECK: Duration = Duration::from_secs(60);

impl Postgres {
    /// A connection for an attempt, for calls written by hand: from now on the attempt may have reached the server.
    ///
    /// ```
    /// # use seawall_postgres::{Access, Postgres};
    /// # use seawall::{call::{Attempt, Call, CallTraits}, Failure};
    /// # #[derive(serde::Deserialize)]
    /// # struct User;
    /// struct GetUser { id: i64 }
    ///
    /// impl Call<Postgres> for GetUser {
    ///     type Reply = Option<User>;
    ///     const NAME: &'static str = "GetUser";
    ///
    ///     fn traits(&self) -> CallTraits {
    ///         CallTraits::IDEMPOTENT
    ///     }
    ///
    ///     async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<Option<User>, Failure> {
    ///         let session = postgres.session(attempt, Access::ReadOnly).await?;
    ///         session.query_opt("select id, name from users where id = $1", &[&self.id]).await
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If there is no connection to be had.
    pub async fn session(&self, attempt: &Attempt, access: Access) -> Result<Session, Failure> {
        let session = self.checkout(attempt, access).await?;
        attempt.mark_sent();
        Ok(session)
    }

    /// A connection of which nothing is known to have been used yet.
    pub(crate) async fn checkout(&self, attempt: &Attempt, access: Access) -> Result<Session, Failure> {
        let lease = match access {
            Access::ReadOnly => self.places.replica(attempt).await?,
            Access::ReadWrite => self.places.primary(attempt).await?,
        };
        Ok(Session::new(lease, attempt, access, &self.settings))
    }
}

impl Downstream for Postgres {
    const KIND: &'static str = "postgres";

    /// Two threads keep some hundred thousand statements a second going, and go around each other where one is blocked.
    const DEFAULTS: &'static str = "pool = { shards = 2 }";

    /// A connection has one statement at a time.
    const POOLED: bool = true;

    type Settings = PostgresSettings;

    fn explain(settings: &PostgresSettings) -> impl Serialize {
        settings.explain()
    }

    async fn open(settings: &PostgresSettings, context: &OpenContext) -> Result<Self, OpenError> {
        let shared = context.shared(Made::default).get(settings, context);
        let shared = shared.map_err(|error| OpenError::new(error.to_string()))?;
        Ok(Self {
            settings: settings.clone(),
            places: Places::open(settings, context, &shared),
            service: Arc::clone(context.service()),
        })
    }

    /// Has the server that takes writes answer `select 1`.
    async fn check(&self) -> Result<(), Failure> {
        let attempt = Attempt::new(Arc::clone(&self.service), "health", Instant::now() + LONGEST_CHECK);
        let session = self.checkout(&attempt, Access::ReadWrite).await?;
        session.query_one::<i32>("select 1", &[]).await.map(drop)
    }

    /// Closes idle connections at once, and those in use when their calls end.
    async fn close(&self) {
        self.places.close();
    }

    fn pool(context: &OpenContext) -> Option<PoolFigures> {
        let made = context.find_shared::<Made>()?;
        let shared = made.0.lock().clone()?;
        Some(shared.figures())
    }

    /// The one that takes writes. Replicas serve those calls alone that are declared read-only, which the core cannot tell
    /// from others, so the kind itself spreads these.
    fn endpoints(settings: &PostgresSettings) -> Vec<EndpointAddress> {
        let hosts: Vec<_> = settings.primaries().iter().map(ToString::to_string).collect();
        vec![EndpointAddress::new(format!("postgres://{}", hosts.join(",")))]
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({})", self.service)
    }
}
