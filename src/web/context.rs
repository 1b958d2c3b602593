//! The middleware that gives the calls made for a request their context.

use std::{
    fmt,
    future::{Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
};
use tokio::time::Instant;

use super::headers;
use crate::Context;

/// Bytes of a tenant's or principal's name at most: it becomes part of cache keys.
const LONGEST_NAME: usize = 256;

/// A middleware that makes a [`Context`] of each request and runs its handler in it.
///
/// Every call that the handler makes then ends by the request's deadline (`x-seawall-deadline-ms`), belongs to its trace
/// (`traceparent`, `tracestate`), and is not retried if the request is a retry itself (`x-seawall-attempt`). Values that
/// are wrong, too long or contradictory are taken for none. Who asks, no header may say unchecked: [`tenant`] and
/// [`principal`] take a closure, which reads what your authentication found out.
///
/// ```
/// use std::time::Duration;
///
/// use actix_web::{App, HttpMessage as _};
/// use seawall::web::RequestContext;
///
/// struct User(String); // put into the request by the application's own authentication
///
/// let context = RequestContext::new()
///     .within(Duration::from_secs(2))
///     .principal(|request| Some(request.extensions().get::<User>()?.0.clone()));
/// let app = App::new().wrap(context);
/// ```
///
/// Of the middlewares of an `App` the one that is wrapped last runs first: wrap authentication after this one. Bodies
/// that are streamed are polled after the handler is done; calls made while they are need [`Context::in_scope`].
///
/// [`tenant`]: Self::tenant
/// [`principal`]: Self::principal
#[derive(Clone, Default)]
pub struct RequestContext {
    ignores_headers: bool,
    limit: Option<Duration>,
    tenant: Option<Arc<Name>>,
    principal: Option<Arc<Name>>,
}

type Name = dyn Fn(&ServiceRequest) -> Option<String> + Send + Sync;

impl RequestContext {
    /// Takes from a request what its headers say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes nothing from the headers: for services that strangers call, whose traces are not ours and whose word on
    /// deadlines and retries is not asked for.
    #[must_use]
    pub fn ignore_headers(mut self) -> Self {
        self.ignores_headers = true;
        self
    }

    /// Gives all calls of one request this long, together; a header may only ask for less.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Says on whose account a request is. Names of more than 256 bytes are taken for none, and calls whose replies are
    /// kept by tenant then pass the cache by.
    #[must_use]
    pub fn tenant(
        mut self,
        tenant: impl Fn(&ServiceRequest) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.tenant = Some(Arc::new(tenant));
        self
    }

    /// Says who is logged in, under the same rule.
    #[must_use]
    pub fn principal(
        mut self,
        principal: impl Fn(&ServiceRequest) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.principal = Some(Arc::new(principal));
        self
    }

    fn of(&self, request: &ServiceRequest) -> Context {
        let now = Instant::now();
        let mut context = Context::new();
        let headers = (!self.ignores_headers).then(|| request.headers());
        let asked = headers.and_then(headers::deadline);
        // One too far off to be reckoned is none.
        for deadline in [asked, self.limit].into_iter().flatten().filter_map(|left| now.checked_add(left)) {
            context = context.deadline(deadline);
        }
        if let Some(headers) = headers {
            if let Some(trace) = headers::trace(headers) {
                context = context.trace(trace);
            }
            if headers::is_retry(headers) {
                context = context.retried();
            }
        }
        if let Some(tenant) = name(self.tenant.as_deref(), request) {
            context = context.tenant(tenant);
        }
        if let Some(principal) = name(self.principal.as_deref(), request) {
            context = context.principal(principal);
        }
        context
    }
}

fn name(find: Option<&Name>, request: &ServiceRequest) -> Option<String> {
    find?(request).filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME)
}

impl<S, B> Transform<S, ServiceRequest> for RequestContext
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Transform = InContext<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(InContext { inner: Rc::new(inner), settings: self.clone() }))
    }
}

/// [`RequestContext`] around what it wraps.
pub struct InContext<S> {
    inner: Rc<S>,
    settings: RequestContext,
}

impl<S, B> Service<ServiceRequest> for InContext<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Error>>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let context = self.settings.of(&request);
        let inner = Rc::clone(&self.inner);
        // Called within the scope too: a service may work before it gives its future.
        Box::pin(context.in_scope(async move { inner.call(request).await }))
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("ignores_headers", &self.ignores_headers)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for InContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InContext").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, test, web};

    use super::*;

    /// What a handler behind `settings` finds in its context.
    async fn seen(settings: RequestContext, headers: &[(&'static str, &'static str)]) -> Context {
        let seen = Rc::new(std::cell::RefCell::new(None));
        let put = Rc::clone(&seen);
        let handler = move || {
            *put.borrow_mut() = Context::current();
            std::future::ready(HttpResponse::Ok())
        };
        let app = test::init_service(App::new().wrap(settings).route("/", web::get().to(handler))).await;
        let mut request = test::TestRequest::get();
        for header in headers {
            request = request.append_header(*header);
        }
        test::call_service(&app, request.to_request()).await;
        let context = seen.borrow_mut().take();
        context.expect("the handler ran in a context")
    }

    const ALL: [(&str, &str); 4] = [
        (headers::DEADLINE, "40"),
        (headers::ATTEMPT, "2"),
        (headers::TRACE_PARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        (headers::TRACE_STATE, "a=1"),
    ];

    #[tokio::test(start_paused = true)]
    async fn handlers_run_in_the_context_of_their_request() {
        let context = seen(RequestContext::new(), &ALL).await;
        assert_eq!(context.get_deadline(), Some(Instant::now() + Duration::from_millis(40)));
        assert!(context.is_retried());
        assert_eq!(context.get_trace().unwrap().state.as_deref(), Some("a=1"));
        assert_eq!((context.get_tenant(), context.get_principal()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_may_ask_for_less_time_and_not_for_more() {
        let within = |limit| RequestContext::new().within(Duration::from_millis(limit));
        let left = |context: Context| context.get_deadline().unwrap() - Instant::now();
        assert_eq!(left(seen(within(100), &ALL).await), Duration::from_millis(40));
        assert_eq!(left(seen(within(20), &ALL).await), Duration::from_millis(20));
        assert_eq!(left(seen(within(20), &[]).await), Duration::from_millis(20));
    }

    #[tokio::test]
    async fn strangers_may_say_nothing() {
        let context = seen(RequestContext::new().ignore_headers(), &ALL).await;
        assert_eq!((context.get_deadline(), context.get_trace()), (None, None));
        assert!(!context.is_retried());
    }

    #[tokio::test]
    async fn names_that_are_too_long_are_none() {
        let named = |length| {
            RequestContext::new()
                .tenant(move |_| Some("t".repeat(length)))
                .principal(|request| Some(request.path().to_owned()))
        };
        let context = seen(named(256), &[]).await;
        assert_eq!(context.get_tenant().map(|tenant| tenant.len()), Some(256));
        assert_eq!(context.get_principal().map(|principal| &**principal), Some("/"));
        assert_eq!(seen(named(257), &[]).await.get_tenant(), None);
        assert_eq!(seen(named(0), &[]).await.get_tenant(), None);
    }
}
