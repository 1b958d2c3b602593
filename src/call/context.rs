//! What a call inherits from the request that it is made for.
//!
//! A context lives in a task-local: every call made in its scope takes its deadline, tenant, principal, priority and
//! trace from it. Spawning a task leaves task-locals behind, so [`spawn`] carries the context along; a call made
//! without one works, and is counted, since it usually means that a deadline was lost.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::Instant};

use super::Priority;

tokio::task_local! {
    static CURRENT: Context;
}

/// What the calls of one request share. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Context(Arc<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    deadline: Option<Instant>,
    tenant: Option<Arc<str>>,
    principal: Option<Arc<str>>,
    priority: Option<Priority>,
    trace: Option<Trace>,
    retried: bool,
    falling_back: Vec<u64>,
}

/// W3C trace context, passed on as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The `traceparent` header.
    pub parent: Arc<str>,
    /// The `tracestate` header, if one came.
    pub state: Option<Arc<str>>,
}

impl Context {
    /// A context that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The context of the task that runs now.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Looks at the current context without cloning it.
    pub(crate) fn with_current<T>(look: impl FnOnce(Option<&Self>) -> T) -> T {
        let mut look = Some(look);
        let found = CURRENT.try_with(|context| look.take().map(|look| look(Some(context))));
        match (found, look) {
            (Ok(Some(value)), _) => value,
            (_, Some(look)) => look(None),
            // `try_with` either ran the closure and gave its value, or left `look` in place.
            (_, None) => unreachable!("the closure ran and gave nothing"),
        }
    }

    /// Runs a future with this context as the current one.
    pub fn in_scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self, future)
    }

    /// No call in this context may take longer than until `deadline`; an earlier one that is set already stays.
    #[must_use]
    pub fn deadline(self, deadline: Instant) -> Self {
        self.with(|inner| {
            inner.deadline = Some(inner.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        })
    }

    /// On whose account the request is: caches and bulkheads may keep tenants apart.
    #[must_use]
    pub fn tenant(self, tenant: impl Into<Arc<str>>) -> Self {
        self.with(|inner| inner.tenant = Some(tenant.into()))
    }

    /// Who is logged in: caches of personal data are kept apart by it.
    #[must_use]
    pub fn principal(self, principal: impl Into<Arc<str>>) -> Self {
        self.with(|inner| inner.principal = Some(principal.into()))
    }

    /// How important the request is.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|inner| inner.priority = Some(priority))
    }

    /// The trace that the request belongs to.
    #[must_use]
    pub fn trace(self, trace: Trace) -> Self {
        self.with(|inner| inner.trace = Some(trace))
    }

    /// Marks the request as a retry of its caller's: calls made for it are not retried again, or retries would multiply
    /// from hop to hop.
    #[must_use]
    pub fn retried(self) -> Self {
        self.with(|inner| inner.retried = true)
    }

    pub(crate) fn without_deadline(self) -> Self {
        self.with(|inner| inner.deadline = None)
    }

    pub(crate) fn falling_back_from(self, service: u64) -> Self {
        self.with(|inner| inner.falling_back.push(service))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// When the request must be answered.
    pub fn get_deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// The tenant, if one was set.
    pub fn get_tenant(&self) -> Option<&Arc<str>> {
        self.0.tenant.as_ref()
    }

    /// The principal, if one was set.
    pub fn get_principal(&self) -> Option<&Arc<str>> {
        self.0.principal.as_ref()
    }

    /// The priority, if one was set.
    pub fn get_priority(&self) -> Option<Priority> {
        self.0.priority
    }

    /// The trace, if the request belongs to one.
    pub fn get_trace(&self) -> Option<&Trace> {
        self.0.trace.as_ref()
    }

    /// Whether the request is a retry of its caller's.
    pub fn is_retried(&self) -> bool {
        self.0.retried
    }

    pub(crate) fn is_falling_back_from(&self, service: u64) -> bool {
        self.0.falling_back.contains(&service)
    }
}

/// Gives all calls in `future` one deadline, `duration` from its first poll, or the current one if that is earlier.
///
/// ```
/// # async fn page() {
/// # use std::time::Duration;
/// let shared = seawall::within(Duration::from_millis(300), async {
///     // calls made here end within 300 ms, together
/// })
/// .await;
/// # }
/// ```
pub async fn within<F: Future>(duration: Duration, future: F) -> F::Output {
    let now = Instant::now();
    let context = Context::current().unwrap_or_default();
    match now.checked_add(duration) {
        Some(deadline) => context.deadline(deadline),
        None => context,
    }
    .in_scope(future)
    .await
}

/// Spawns a task that keeps the current context.
///
/// # Panics
/// Outside of a tokio runtime, as [`tokio::spawn`] does.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match Context::current() {
        Some(context) => tokio::spawn(CURRENT.scope(context, future)),
        None => tokio::spawn(future),
    }
}
