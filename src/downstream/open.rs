use std::{
    any::{Any, TypeId},
    collections::HashMap,
    error::Error,
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use super::{Extensions, PoolSettings};

/// What a kind is told when it opens a shard's pool.
#[derive(Clone)]
pub struct OpenContext {
    service: Arc<str>,
    connect_timeout: Duration,
    pool: PoolSettings,
    extensions: Extensions,
    shared: Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
}

impl OpenContext {
    /// A context outside of any runtime, for a kind's own tests.
    pub fn new(service: impl Into<Arc<str>>, connect_timeout: Duration, pool: PoolSettings) -> Self {
        Self {
            service: service.into(),
            connect_timeout,
            pool,
            extensions: Extensions::default(),
            shared: Arc::default(),
        }
    }

    /// The context with what code gives to the service's kind.
    #[must_use]
    pub fn with_extensions(mut self, extensions: Extensions) -> Self {
        self.extensions = extensions;
        self
    }

    /// What code gives to the service's kind, by its type.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.extensions.get()
    }

    /// The service's name.
    pub fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// How long making one connection may take, resolving and TLS included.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The service's pool settings; their `max` is the process's, over all shards.
    pub fn pool(&self) -> &PoolSettings {
        &self.pool
    }

    /// The one `T` that all shards of this service share, made by whichever asks first: connection permits, TLS
    /// configuration, a cache of names. It lives until the service's settings change.
    pub fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let value =
            Arc::clone(self.shared.lock().entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make())));
        value.downcast().expect("the map's key is the value's type")
    }

    /// The `T` that the shards share, if one has asked for it.
    pub fn find_shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(self.shared.lock().get(&TypeId::of::<T>())?).downcast().ok()
    }
}

impl fmt::Debug for OpenContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenContext")
            .field("service", &self.service)
            .field("connect_timeout", &self.connect_timeout)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// Why a pool could not be opened.
#[derive(Clone)]
pub struct OpenError {
    message: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl OpenError {
    /// An error of this text, which says what was tried.
    pub fn new(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// The error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenError").field("message", &self.message).field("source", &self.source).finish()
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
