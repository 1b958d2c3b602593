use std::{fmt, future::Future, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{Failure, OpenContext, OpenError, PoolFigures, Tiering};

/// A kind of downstream: how its pool is opened, checked and closed.
///
/// The value is one shard's pool. It never leaves the thread it was opened on, so it may be `!Send`; implementors write
/// plain `async fn`s.
pub trait Downstream: Sized + 'static {
    /// The word for this kind in `kind = ".."` of a service's settings.
    const KIND: &'static str;

    /// What this kind changes of the library's defaults, as TOML at a service's level; anything written beats it.
    const DEFAULTS: &'static str = "";

    /// Whether each call in flight holds a connection of the pool. The bulkhead's `max_in_flight` is then `pool.max`
    /// unless it is written: waiting in one queue is better than in two.
    const POOLED: bool = false;

    /// The kind's own settings of a service, read from the same table as the library's.
    ///
    /// Validate while reading (`#[serde(try_from = "..")]`), so that a value of this type is a right one. Two equal
    /// values mean that a reload may keep the pool. A struct with named fields: with `flatten`, or as a tagged
    /// enum, serde does not say which keys it knows, and all of them would be told to be unknown. Secrets are
    /// [`Secret`](crate::config::Secret)s; an `Option` is turned off by `false`, so it cannot hold a `bool`.
    type Settings: DeserializeOwned + PartialEq + Clone + Send + Sync + 'static;

    /// The kind's own settings for [`Runtime::explain`](crate::Runtime::explain), in the shape that they are written in and
    /// with their defaults; `settings` itself where its type serialises as it is read.
    ///
    /// Without it, `explain` shows what is written, and no defaults. It is a method and no bound on
    /// [`Settings`](Self::Settings), for many are checked while they are read and cannot be written back; these say what
    /// they can. Keys that are left out are shown where they are written; secrets serialise as references.
    fn explain(settings: &Self::Settings) -> impl Serialize {
        let _ = settings;
    }

    /// Opens one shard's pool. Bounded by the service's `connect_timeout`.
    ///
    /// # Errors
    /// When the pool cannot be used; it is opened again with backoff.
    fn open(
        settings: &Self::Settings,
        context: &OpenContext,
    ) -> impl Future<Output = Result<Self, OpenError>>;

    /// Asks the downstream whether it is well: once a service, not once a shard, each `health.interval`.
    ///
    /// # Errors
    /// When it is not; several in a row reopen the pool.
    fn check(&self) -> impl Future<Output = Result<(), Failure>> {
        async { Ok(()) }
    }

    /// Closes the pool. Attempts may still hold it.
    fn close(&self) -> impl Future<Output = ()> {
        async {}
    }

    /// What the service's connections are doing, over all shards; `None` for a kind without any.
    ///
    /// Asked from any thread, while the pools lie on theirs: so the kind reads what its shards share, and finds it by
    /// [`OpenContext::find_shared`].
    fn pool(context: &OpenContext) -> Option<PoolFigures> {
        let _ = context;
        None
    }

    /// Proof that the kind can keep other services' replies, `Some(Tiering::new())` of a
    /// [`SharedTier`](super::SharedTier): `cache.shared` may then name a service of it.
    fn tiering() -> Option<Tiering<Self>> {
        None
    }

    /// Where these settings point to.
    ///
    /// Of several, an attempt goes to the one that [`Attempt::endpoint`](crate::call::Attempt::endpoint) names: the core
    /// balances, and leaves those alone that fail. A kind that spreads its calls by itself, as the client of a cluster
    /// does, names one. They must differ, and be [`MOST_ENDPOINTS`](crate::policy::MOST_ENDPOINTS) at most.
    fn endpoints(settings: &Self::Settings) -> Vec<EndpointAddress>;
}

/// The address of one endpoint of a service, without any secret: `https://users.internal:443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct EndpointAddress(Arc<str>);

impl EndpointAddress {
    /// An address as people should see it.
    pub fn new(address: impl Into<Arc<str>>) -> Self {
        Self(address.into())
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
