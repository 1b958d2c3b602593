use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use super::Shared;

/// A reply, and where it came from. Derefs to the reply.
pub struct Answer<R> {
    value: Value<R>,
    origin: Origin,
    age: Duration,
}

enum Value<R> {
    Owned(R),
    Shared(Shared),
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The downstream, just now.
    Fresh,
    /// The cache, within its time to live.
    Cached,
    /// The cache, past its time to live, where the settings allow it.
    Stale,
    /// A fallback of the caller's.
    Fallback,
}

impl Origin {
    /// The word for it in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Cached => "cached",
            Self::Stale => "stale",
            Self::Fallback => "fallback",
        }
    }
}

impl<R: 'static> Answer<R> {
    pub(crate) fn owned(reply: R, origin: Origin) -> Self {
        Self { value: Value::Owned(reply), origin, age: Duration::ZERO }
    }

    /// `shared` holds an `R`: the cache finds it under a key that its call wrote.
    pub(crate) fn shared(shared: Shared, origin: Origin, age: Duration) -> Self {
        debug_assert!(shared.is::<R>(), "a shared reply is of its call's type");
        Self { value: Value::Shared(shared), origin, age }
    }

    /// Where the answer came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// How long ago the downstream gave it; zero unless it comes from the cache.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// The reply, cloned only if others hold it too.
    pub fn into_inner(self) -> R
    where
        R: Clone + Send + Sync,
    {
        match self.value {
            Value::Owned(reply) => reply,
            Value::Shared(shared) => Arc::unwrap_or_clone(downcast(shared)),
        }
    }

    /// The reply by itself, or the answer back if others hold its reply too: for replies that cannot be cloned.
    ///
    /// # Errors
    /// The answer, unchanged.
    pub fn try_into_inner(self) -> Result<R, Self>
    where
        R: Send + Sync,
    {
        let Self { value, origin, age } = self;
        match value {
            Value::Owned(reply) => Ok(reply),
            Value::Shared(shared) => Arc::try_unwrap(downcast::<R>(shared)).map_err(|shared| Self {
                value: Value::Shared(shared),
                origin,
                age,
            }),
        }
    }

    /// The reply, shared with the cache: no copy.
    pub fn into_arc(self) -> Arc<R>
    where
        R: Send + Sync,
    {
        match self.value {
            Value::Owned(reply) => Arc::new(reply),
            Value::Shared(shared) => downcast(shared),
        }
    }

    /// An answer made of this one's reply, of the same origin and age.
    pub fn map<S: 'static>(self, map: impl FnOnce(&R) -> S) -> Answer<S> {
        Answer { value: Value::Owned(map(&self)), origin: self.origin, age: self.age }
    }
}

fn downcast<R: Send + Sync + 'static>(shared: Shared) -> Arc<R> {
    shared.downcast().expect("a shared reply is of its call's type")
}

impl<R: 'static> Deref for Answer<R> {
    type Target = R;

    fn deref(&self) -> &R {
        match &self.value {
            Value::Owned(reply) => reply,
            Value::Shared(shared) => shared.downcast_ref().expect("a shared reply is of its call's type"),
        }
    }
}

impl<R: fmt::Debug + 'static> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("value", &**self)
            .field("origin", &self.origin)
            .field("age", &self.age)
            .finish()
    }
}
