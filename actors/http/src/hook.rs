//! Code of the user's that sees every request before it goes out.
//!
//! Signatures and tokens cannot stand in a file, and a call should not know of them. A hook is made once for a service,
//! shared by its threads, and asked before each attempt, also before a retry: a signature holds for one request.

use std::{fmt, future::Future, sync::Arc};

use futures_util::future::{FutureExt, LocalBoxFuture};
use seawall::{call::Attempt, downstream::Failure};

use crate::RequestParts;

/// What a service does to its requests before they are sent. Registered as a [`Hook`].
///
/// ```
/// use seawall::{Failure, call::Attempt};
/// use seawall_http::{HttpHook, RequestParts};
///
/// struct ApiKey(String);
///
/// impl HttpHook for ApiKey {
///     async fn before(&self, request: &mut RequestParts, _: &Attempt) -> Result<(), Failure> {
///         request.set_header("x-api-key", &self.0)
///     }
/// }
/// ```
pub trait HttpHook: Send + Sync + 'static {
    /// Changes a request that is about to be sent: signs it, adds a token. Runs within the attempt's time.
    ///
    /// # Errors
    /// When the request must not be sent; blame and reach are the hook's to say.
    fn before(
        &self,
        request: &mut RequestParts,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<(), Failure>>;

    /// The answer was 401: says whether trying again is worth it, after a token was renewed, say. Asked once an attempt;
    /// then [`before`](Self::before) is asked anew and the request is made once more.
    ///
    /// Calls that run at once may all be refused at once: renew a token once for all of them.
    fn unauthorized(&self, attempt: &Attempt) -> impl Future<Output = bool> {
        let _ = attempt;
        async { false }
    }
}

/// A service's [`HttpHook`], as the runtime carries it to where the service is opened.
#[derive(Clone)]
pub struct Hook(Arc<dyn Erased>);

impl Hook {
    /// This hook.
    pub fn new(hook: impl HttpHook) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) async fn before(&self, request: &mut RequestParts, attempt: &Attempt) -> Result<(), Failure> {
        self.0.before(request, attempt).await
    }

    pub(crate) async fn unauthorized(&self, attempt: &Attempt) -> bool {
        self.0.unauthorized(attempt).await
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// The trait with its futures boxed, since those of an `async fn` have no common size.
trait Erased: Send + Sync {
    fn before<'a>(
        &'a self,
        request: &'a mut RequestParts,
        attempt: &'a Attempt,
    ) -> LocalBoxFuture<'a, Result<(), Failure>>;

    fn unauthorized<'a>(&'a self, attempt: &'a Attempt) -> LocalBoxFuture<'a, bool>;
}

impl<H: HttpHook> Erased for H {
    fn before<'a>(
        &'a self,
        request: &'a mut RequestParts,
        attempt: &'a Attempt,
    ) -> LocalBoxFuture<'a, Result<(), Failure>> {
        HttpHook::before(self, request, attempt).boxed_local()
    }

    fn unauthorized<'a>(&'a self, attempt: &'a Attempt) -> LocalBoxFuture<'a, bool> {
        HttpHook::unauthorized(self, attempt).boxed_local()
    }
}
