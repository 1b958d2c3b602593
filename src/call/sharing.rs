use std::{any::Any, fmt, sync::Arc};

/// A reply that several callers hold.
///
/// Erased, so that an [`Answer`](super::Answer) stays `Send` whether or not its reply is `Sync`: only a [`Sharing`] makes one.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// Proof that replies of type `R` may be shared between callers: it exists only where `R` is `Sync`.
///
/// A call whose replies may be cached or coalesced gives it from [`Call::sharing`](super::Call::sharing). Calls whose
/// replies are not `Sync` then need no second trait: they have no proof to give.
pub struct Sharing<R> {
    share: fn(R) -> Shared,
}

impl<R: Send + Sync + 'static> Sharing<R> {
    /// The proof.
    pub const fn new() -> Self {
        Self { share: |reply| Arc::new(reply) }
    }
}

impl<R: Send + Sync + 'static> Default for Sharing<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Sharing<R> {
    pub(crate) fn share(self, reply: R) -> Shared {
        (self.share)(reply)
    }
}

impl<R> Clone for Sharing<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Sharing<R> {}

impl<R> fmt::Debug for Sharing<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sharing")
    }
}
