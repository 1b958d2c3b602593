use std::{any::TypeId, future::Future};

use super::{Attempt, Cacheable, CallError, Codec, KeyWriter, Priority, Sharing, TagWriter};
use crate::downstream::{Downstream, Failure};

/// A typed message for one kind of downstream: what is asked, and what comes back.
///
/// Usually derived (`#[derive(HttpCall)]`). By hand, only [`NAME`](Self::NAME), [`Reply`](Self::Reply) and
/// [`attempt`](Self::attempt) are needed; everything else has a default that promises nothing.
pub trait Call<D: Downstream>: Send + Sync + 'static {
    /// What comes back.
    type Reply: Send + 'static;

    /// The call's name in settings, metrics and errors. Two types of one name on a service are an error.
    const NAME: &'static str;

    /// The call's own settings, as TOML at a call's level: `timeout = "20s"`. A file's `calls.NAME` beats them.
    const SETTINGS: &'static str = "";

    /// What the policies need to know of this call.
    fn traits(&self) -> CallTraits {
        CallTraits::default()
    }

    /// Proof that replies may be shared between callers, which caching and coalescing need.
    fn sharing() -> Option<Sharing<Self::Reply>> {
        None
    }

    /// How replies are written for other processes, which `cache.shared` needs: without it they are kept in memory alone.
    fn codec() -> Option<Codec<Self::Reply>> {
        None
    }

    /// Writes what tells this call from others of its name, if its reply may be kept.
    ///
    /// Everything that the reply depends on belongs in: two calls that write the same key get the same reply.
    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        let _ = key;
        Cacheable::No
    }

    /// Names what a kept reply is about, so that a write can invalidate it.
    fn tags(&self, tags: &mut TagWriter) {
        let _ = tags;
    }

    /// Names what this write changes: kept replies with these tags are not served again, whatever its outcome.
    fn invalidates(&self, tags: &mut TagWriter) {
        let _ = tags;
    }

    /// Whether a reply says that what was asked for does not exist. Such a reply is kept for `cache.negative_ttl`, which is
    /// not at all by default, and in a part of the memory of its own.
    fn is_negative(&self, reply: &Self::Reply) -> bool {
        let _ = reply;
        false
    }

    /// Judges an answer that arrived whole: a "200 with an error body" is a failure all the same.
    ///
    /// # Errors
    /// The failure that the reply really is.
    fn judge(&self, reply: &Self::Reply) -> Result<(), Failure> {
        let _ = reply;
        Ok(())
    }

    /// The call's own answer when it fails and its caller has none: after a stale entry and the caller's fallback.
    fn fallback(&self, error: &CallError) -> Option<Self::Reply> {
        let _ = error;
        None
    }

    /// What tells this call's type from others. Only types that stand for any code share one.
    #[doc(hidden)]
    fn identity() -> TypeId {
        TypeId::of::<Self>()
    }

    /// Makes one attempt, on the shard's own thread.
    ///
    /// # Errors
    /// What went wrong, classified.
    fn attempt(
        &self,
        downstream: &D,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<Self::Reply, Failure>>;
}

/// What the policies need to know of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTraits {
    /// Whether making the call twice does no more than making it once. Only such calls are retried after they may
    /// have reached the downstream. Default: no.
    pub idempotent: bool,
    /// The call's own priority; the settings' where `None`.
    pub priority: Option<Priority>,
}

impl CallTraits {
    /// A call that may be made twice.
    pub const IDEMPOTENT: Self = Self { idempotent: true, priority: None };
}
