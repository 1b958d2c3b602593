use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, task, time::timeout_at};
use tracing::Span;

use super::{
    CallState, NoFallback, Recover, Recovered, Recovery, Service, Shared, calls,
    carried::Carried,
    invalidation::{self, Invalidation},
    keyed::KeyPolicies,
    load::{self, Looked, Stale},
    pipeline,
    plan::{Options, Plan},
    recover::IntoRecovery,
    shard::panic_text,
};
use crate::{
    call::{Answer, Call, CallError, Context, FallbackFailed, Origin, Priority, Reason, chain},
    downstream::{Downstream, Failure, Stage},
    telemetry::{Outcome, spans},
    units::Tick,
};

/// A call that is about to be sent: set its options, then await it.
///
/// Nothing happens before its first poll, which takes the paths that need no I/O (a hit, a rejection) without
/// allocating. It is `Send` whatever the kind. Dropping it cancels the call.
#[must_use = "a call is sent when it is awaited"]
pub struct Sending<'a, D: Downstream, C: Call<D>, F = NoFallback> {
    state: Progress<'a, D, C, F>,
}

/// How far the call is.
enum Progress<'a, D: Downstream, C: Call<D>, F> {
    Ready(Start<'a, D, C, F>),
    Running(Work<'a, C::Reply>),
    Done,
}

struct Start<'a, D: Downstream, C: Call<D>, F> {
    service: &'a Service<D>,
    call: C,
    options: Options,
    fallback: F,
}

type Work<'a, R> = Pin<Box<dyn Future<Output = Result<Answer<R>, CallError>> + Send + 'a>>;

// Nothing in it is pinned but the box, which may move.
impl<D: Downstream, C: Call<D>, F> Unpin for Sending<'_, D, C, F> {}

impl<'a, D: Downstream, C: Call<D>> Sending<'a, D, C> {
    pub(crate) fn new(service: &'a Service<D>, call: C) -> Self {
        Self {
            state: Progress::Ready(Start {
                service,
                call,
                options: Options::default(),
                fallback: NoFallback,
            }),
        }
    }

    /// Answers by `fallback` when the call fails by anything but its caller's own fault.
    ///
    /// The closure gets the error and gives a reply, a `Result` of one, or a future of either, which has the rest of the
    /// call's time.
    pub fn fallback<G, T, M>(self, fallback: G) -> Sending<'a, D, C, Recovered<G, (T, M)>>
    where
        G: FnOnce(&CallError) -> T + Send + 'a,
        T: IntoRecovery<C::Reply, M>,
    {
        let state = match self.state {
            Progress::Ready(Start { service, call, options, fallback: NoFallback }) => {
                Progress::Ready(Start { service, call, options, fallback: Recovered::new(fallback) })
            }
            Progress::Running(work) => Progress::Running(work),
            Progress::Done => Progress::Done,
        };
        Sending { state }
    }
}

impl<D: Downstream, C: Call<D>, F> Sending<'_, D, C, F> {
    /// How long this call may take, in place of what the settings say; `max_timeout` caps it.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.with(|options| options.deadline = Some(deadline))
    }

    /// How important this call is, in place of what context, call and settings say.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|options| options.priority = Some(priority))
    }

    /// On whose account this call is, in place of what the context says.
    pub fn tenant(self, tenant: impl Into<Arc<str>>) -> Self {
        let tenant = tenant.into();
        self.with(|options| options.tenant = Some(tenant))
    }

    /// Asks the downstream even if a kept reply is fresh, and keeps the new one.
    pub fn refresh(self) -> Self {
        self.with(|options| options.refresh = true)
    }

    /// Makes the call while the runtime drains, too: it is a part of what the drain waits for.
    pub(crate) fn while_draining(self) -> Self {
        self.with(|options| options.while_draining = true)
    }

    /// Puts the call under its key's policies too.
    pub(crate) fn keyed(self, key: Option<Arc<KeyPolicies>>) -> Self {
        self.with(|options| options.key = key)
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        if let Progress::Ready(start) = &mut self.state {
            set(&mut start.options);
        }
        self
    }
}

impl<'a, D, C, F> Future for Sending<'a, D, C, F>
where
    D: Downstream,
    C: Call<D>,
    F: Recover<C::Reply> + 'a,
{
    type Output = Result<Answer<C::Reply>, CallError>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Progress::Ready(_) = &self.state
            && let Progress::Ready(start) = mem::replace(&mut self.state, Progress::Done)
        {
            match start.begin() {
                Begun::Ended(result) => return Poll::Ready(result),
                Begun::Goes(work) => self.state = Progress::Running(work),
            }
        }
        let Progress::Running(work) = &mut self.state else {
            panic!("a call was polled again after it had ended")
        };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.state = Progress::Done;
        }
        polled
    }
}

/// What the first poll makes of a call.
enum Begun<'a, R> {
    Ended(Result<Answer<R>, CallError>),
    Goes(Work<'a, R>),
}

impl<'a, D, C, F> Start<'a, D, C, F>
where
    D: Downstream,
    C: Call<D>,
    F: Recover<C::Reply> + 'a,
{
    fn begin(self) -> Begun<'a, C::Reply> {
        let state = &self.service.shared.state;
        calls::with::<D, C, _>(state, |call| match call {
            Ok(call) => self.plan(call),
            Err(reason) => Begun::Ended(Err(state.rejected(C::NAME, reason))),
        })
    }

    fn plan(self, call: &Arc<CallState>) -> Begun<'a, C::Reply> {
        let shared = &self.service.shared;
        let started = call.environment.now();
        let traits = match catch_unwind(AssertUnwindSafe(|| self.call.traits())) {
            Ok(traits) => traits,
            Err(payload) => {
                let error = call.panicked("its traits", &*payload);
                let plan = Plan::passed(call, started);
                return settle(shared, call, self.call, &plan, None, self.fallback, error);
            }
        };
        let plan = Context::with_current(|context| {
            if context.is_none() {
                shared.state.metrics.context_missing.add_one();
            }
            Plan::new(call, traits.priority, &self.options, context, started)
        });
        let (plan, error) = match plan {
            Ok(plan) => {
                let passes =
                    |reason: &Reason| self.options.while_draining && matches!(reason, Reason::Draining);
                let closed = shared.state.closed().filter(|reason| !passes(reason));
                (plan, closed.map(|reason| call.refused(reason, Priority::Normal)))
            }
            Err(reason) => (Plan::passed(call, started), Some(reason)),
        };
        self.look(call, plan, error)
    }

    /// The paths that need no I/O.
    fn look(self, call: &Arc<CallState>, plan: Plan, error: Option<Reason>) -> Begun<'a, C::Reply> {
        let Self { service, call: message, options, fallback } = self;
        let shared = &service.shared;
        if let Some(reason) = error {
            return settle(shared, call, message, &plan, None, fallback, call.rejected(reason));
        }
        let looked =
            catch_unwind(AssertUnwindSafe(|| load::look_up(shared, call, &message, &plan, options.refresh)));
        let (key, stale) = match looked {
            Ok(Looked::Hit { answer, refresh }) => {
                if let Some(key) = refresh {
                    // There is an answer: code of the call's that panics costs it no more than the refresh.
                    let refresh = || load::refresh(shared, call, message, &plan, key);
                    let _ = catch_unwind(AssertUnwindSafe(refresh));
                }
                call.metrics().ended_at_once(Outcome::Ok(answer.origin()), plan.priority);
                return Begun::Ended(Ok(answer));
            }
            Ok(Looked::Miss { key, stale }) => (Some(key), stale),
            Ok(Looked::Uncached) => (None, None),
            Err(payload) => {
                let error = call.panicked("its cache key", &*payload);
                return settle(shared, call, message, &plan, None, fallback, error);
            }
        };
        // A tier may have the answer of a downstream that refuses; its breaker is asked by the load.
        let asks_tier = key.is_some() && call.tier.is_some();
        if !asks_tier && let Err(reason) = call.look(plan.priority, plan.started) {
            return settle(shared, call, message, &plan, stale, fallback, call.rejected(reason));
        }
        if let Some(key) = &plan.key
            && let Err(reason) = key.look(call, plan.priority, plan.started)
        {
            return settle(shared, call, message, &plan, stale, fallback, call.rejected(reason));
        }
        // Who runs in a task has a runtime; to borrow its handle costs two reference counts.
        if task::try_id().is_none() && Handle::try_current().is_err() {
            let reason = call.refused(Reason::NoRuntime, plan.priority);
            return settle(shared, call, message, &plan, stale, fallback, call.rejected(reason));
        }
        let account = Account::open(call, &plan);
        let job = Job { call: Carried::Alone(message), plan, key, stale, fallback };
        Begun::Goes(Box::pin(run(shared, account, job)))
    }
}

/// A call that goes on to I/O, and what is known of it.
struct Job<C, R, F> {
    call: Carried<C, R>,
    plan: Plan,
    key: Option<Box<[u8]>>,
    stale: Option<Box<Stale>>,
    fallback: F,
}

/// The paths that need I/O.
///
/// What it awaits borrows from it: what is moved into a future is held twice, by it and by who made it, and it should stay
/// below 1 KiB, up to which glibc hands out what the same thread gave back.
// An `async fn` would hold its arguments twice, as what it was given and as what it goes by.
#[allow(clippy::manual_async_fn)]
fn run<'a, D, C, F>(
    shared: &'a Arc<Shared<D>>,
    account: Account,
    mut job: Job<C, C::Reply, F>,
) -> impl Future<Output = Result<Answer<C::Reply>, CallError>> + Send + 'a
where
    D: Downstream,
    C: Call<D>,
    F: Recover<C::Reply> + 'a,
{
    async move {
        // What the call held is given back before its end is told.
        let fresh = {
            let key = job.key.take();
            let work = pin!(ask(shared, &account.call, &mut job.call, &mut job.plan, key, &mut job.stale));
            account.watch(work).await
        };
        let (result, at) = match fresh {
            Ok((answer, at)) => (Ok(answer), at),
            Err(error) => {
                let (call, plan, stale) = (&job.call, &job.plan, job.stale.take());
                let recovering = account.span.in_scope(|| {
                    recover::<D, C, F>(shared, &account.call, call.get(), plan, stale, job.fallback, &error)
                });
                let result = match recovering {
                    Recovering::Done(result) => result.unwrap_or(Err(error)),
                    Recovering::Later(work) => Box::pin(account.eventually(&job.plan, work, error)).await,
                };
                (result, None)
            }
        };
        account.end(&result, at);
        result
    }
}

/// Asks the downstream, or waits for who does. An answer comes with the time, where it is known.
async fn ask<D: Downstream, C: Call<D>>(
    shared: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &mut Carried<C, C::Reply>,
    plan: &mut Plan,
    key: Option<Box<[u8]>>,
    stale: &mut Option<Box<Stale>>,
) -> Result<(Answer<C::Reply>, Option<Tick>), CallError> {
    plan.invalidation = call.get().and_then(|call| invalidation::of_call(shared, call));
    // Whenever the caller stops waiting, and before it hears of the end, since it may read what it wrote; a write that
    // goes on without it does so once more when it ends.
    let _voids = Voids(plan.invalidation.clone());
    if let (Some(key), Some(sharing)) = (key, C::sharing())
        && let Some(call) = call.share()
    {
        let answer = Box::pin(load::load(shared, state, &call, plan, key, sharing, stale)).await?;
        return Ok((answer, None));
    }
    let reply = pipeline::attempts(shared, state, call, plan).await?;
    Ok((Answer::owned(reply.value, Origin::Fresh), Some(reply.at)))
}

/// Voids what a write changes when its caller stops waiting for it.
struct Voids(Option<Arc<Invalidation>>);

impl Drop for Voids {
    fn drop(&mut self) {
        if let Some(invalidation) = &self.0 {
            invalidation.apply();
        }
    }
}

/// Ends a call that never got as far as I/O.
fn settle<'a, D, C, F>(
    shared: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: C,
    plan: &Plan,
    stale: Option<Box<Stale>>,
    fallback: F,
    error: CallError,
) -> Begun<'a, C::Reply>
where
    D: Downstream,
    C: Call<D>,
    F: Recover<C::Reply> + 'a,
{
    match recover::<D, C, F>(shared, state, Some(&call), plan, stale, fallback, &error) {
        Recovering::Done(result) => {
            let result = result.unwrap_or(Err(error));
            state.metrics().ended_at_once(ending(&result), plan.priority);
            Begun::Ended(result)
        }
        Recovering::Later(work) => {
            let (account, plan) = (Account::open(state, plan), plan.clone());
            Begun::Goes(Box::pin(async move {
                let result = account.eventually(&plan, work, error).await;
                account.end(&result, None);
                result
            }))
        }
    }
}

/// What came in place of the answer: `Done(None)` where nothing did.
enum Recovering<R> {
    Done(Option<Result<Answer<R>, CallError>>),
    Later(Later<R>),
}

type Later<R> = Pin<Box<dyn Future<Output = Result<R, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// A stale entry, the caller's fallback, the call's own; in this order, and where the failure's blame allows.
fn recover<D, C, F>(
    shared: &Shared<D>,
    state: &CallState,
    call: Option<&C>,
    plan: &Plan,
    stale: Option<Box<Stale>>,
    fallback: F,
    error: &CallError,
) -> Recovering<C::Reply>
where
    D: Downstream,
    C: Call<D>,
    F: Recover<C::Reply>,
{
    if !error.blame().allows_fallback() {
        return Recovering::Done(None);
    }
    let instead_of = outcome_of(error);
    if let Some(stale) = stale {
        state.metrics().fell_back(true, instead_of);
        return Recovering::Done(Some(Ok(stale.answer(&state.environment))));
    }
    // A fallback that calls the same service, which fails, must not fall back into itself.
    let id = shared.state.id;
    if plan.context.as_ref().is_some_and(|context| context.is_falling_back_from(id)) {
        return Recovering::Done(None);
    }
    let recovery = catch_unwind(AssertUnwindSafe(|| match fallback.recover(error) {
        Recovery::None => call.and_then(|call| call.fallback(error)).map_or(Recovery::None, Recovery::Value),
        recovery => recovery,
    }));
    match recovery {
        Ok(Recovery::None) => Recovering::Done(None),
        Ok(Recovery::Value(reply)) => {
            state.metrics().fell_back(false, instead_of);
            Recovering::Done(Some(Ok(Answer::owned(reply, Origin::Fallback))))
        }
        Ok(Recovery::Failed(second)) => Recovering::Done(Some(Err(fallback_failed(error, chain(&*second))))),
        Ok(Recovery::Later(_)) if Handle::try_current().is_err() => {
            let text =
                "it is a future, and the thread that the call was made on has no async runtime to wait in";
            Recovering::Done(Some(Err(fallback_failed(error, text.to_owned()))))
        }
        Ok(Recovery::Later(work)) => {
            let context = plan.context.clone().unwrap_or_default().falling_back_from(id);
            Recovering::Later(Box::pin(context.in_scope(work)))
        }
        Err(payload) => {
            let text = format!("it panicked: {}", panic_text(&*payload));
            Recovering::Done(Some(Err(fallback_failed(error, text))))
        }
    }
}

fn fallback_failed(first: &CallError, message: String) -> CallError {
    CallError::FallbackFailed(FallbackFailed { first: Arc::new(first.clone()), message: message.into() })
}

/// How a call with this error counts.
fn outcome_of(error: &CallError) -> Outcome {
    if error.is_timeout() {
        Outcome::Timeout
    } else if error.is_rejection() {
        Outcome::Rejected
    } else {
        Outcome::Error
    }
}

/// One call's entry in the books: exactly one end is written, "cancelled" where it is dropped before.
struct Account {
    call: Arc<CallState>,
    started: Tick,
    priority: Priority,
    ended: bool,
    span: Span,
}

impl Account {
    /// Opens an account for a call that goes on to I/O; it counts as under way until it ends.
    fn open(call: &Arc<CallState>, plan: &Plan) -> Self {
        call.environment.begin_call();
        let span = spans::of_call(&call.service, call.name);
        Self { call: Arc::clone(call), started: plan.started, priority: plan.priority, ended: false, span }
    }

    /// Goes on with the work in the call's span; a panic of it is the call's failure.
    async fn watch<T>(
        &self,
        mut work: Pin<&mut impl Future<Output = Result<T, CallError>>>,
    ) -> Result<T, CallError> {
        poll_fn(|context| {
            let poll = AssertUnwindSafe(|| work.as_mut().poll(context));
            self.span.in_scope(|| catch_unwind(poll)).unwrap_or_else(|payload| {
                Poll::Ready(Err(self.call.panicked("code that the call runs", &*payload)))
            })
        })
        .await
    }

    /// Waits for a fallback that is a future, for the rest of the call's time.
    async fn eventually<R: 'static>(
        &self,
        plan: &Plan,
        mut work: Later<R>,
        error: CallError,
    ) -> Result<Answer<R>, CallError> {
        let guarded = poll_fn(|context| {
            let poll = AssertUnwindSafe(|| work.as_mut().poll(context));
            match self.span.in_scope(|| catch_unwind(poll)) {
                Ok(poll) => poll.map_err(|second| chain(&*second)),
                Err(payload) => Poll::Ready(Err(format!("it panicked: {}", panic_text(&*payload)))),
            }
        });
        match timeout_at(plan.deadline, guarded).await {
            Ok(Ok(reply)) => {
                self.call.metrics().fell_back(false, outcome_of(&error));
                Ok(Answer::owned(reply, Origin::Fallback))
            }
            Ok(Err(second)) => Err(fallback_failed(&error, second)),
            Err(_) => Err(fallback_failed(&error, format!("the call's time ran out, {}", Stage::Fallback))),
        }
    }

    fn end<R: 'static>(mut self, result: &Result<Answer<R>, CallError>, at: Option<Tick>) {
        self.ended = true;
        let outcome = ending(result);
        if !self.span.is_none() {
            self.span.record("seawall.outcome", outcome.word());
            self.span.record("seawall.origin", outcome.origin());
        }
        let at = at.unwrap_or_else(|| self.call.environment.now());
        self.call.metrics().ended(outcome, self.priority, at.since(self.started));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.ended {
            tell(&self.call, self.started, self.priority, Outcome::Cancelled);
        }
        self.call.environment.end_call();
    }
}

fn ending<R: 'static>(result: &Result<Answer<R>, CallError>) -> Outcome {
    match result {
        Ok(answer) => Outcome::Ok(answer.origin()),
        Err(error) => outcome_of(error),
    }
}

fn tell(call: &CallState, started: Tick, priority: Priority, outcome: Outcome) {
    let took = call.environment.now().since(started);
    call.metrics().ended(outcome, priority, took);
}

impl CallState {
    fn panicked(&self, what: &str, payload: &(dyn std::any::Any + Send)) -> CallError {
        let failure = Failure::panicked(what, panic_text(payload));
        CallError::failed(Arc::clone(&self.service), self.name, failure)
    }
}

impl<D: Downstream, C: Call<D>, F> fmt::Debug for Sending<'_, D, C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("call", &C::NAME).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::Attempt, service::Func};

    struct Get;

    impl Call<Func> for Get {
        type Reply = u64;
        const NAME: &'static str = "Get";

        async fn attempt(&self, _: &Func, _: &Attempt) -> Result<u64, Failure> {
            Ok(1)
        }
    }

    fn size_of_future<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// Beyond it, malloc leaves the thread's own store, and a call costs a tenth more.
    #[test]
    fn the_future_of_a_call_is_below_a_kilobyte() {
        let bytes = size_of_future(run::<Func, Get, NoFallback>);
        assert!(bytes <= 1024, "{bytes} bytes");
    }
}
