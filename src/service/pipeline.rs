//! The way of a call, whole and in order.
//!
//! ```text
//! context     the deadline, tenant and priority that the call inherits
//! cache       a hit ends here
//! breaker     a look: open ends here, before anything is allocated
//! coalesce    a load of the same key under way: wait for it            (load.rs)
//! attempts    first try, its hedges (hedge.rs), and retries, each by itself:
//!   seat      no pool on this thread for a while: end here
//!   breaker   a look
//!   throttle  where the downstream sheds load: by chance, end here     (throttling.rs)
//!   key       the key's own breaker and a place of its own, where the call has a key   (keyed.rs)
//!   faults    a draw, where faults are injected on purpose             (inject.rs)
//!   bulkhead  a place, or a bounded wait for one
//!   rate      a token, or a bounded wait for one; given back if the breaker refuses
//!   admit     the breaker's permit, and the endpoint of several
//!   shard     the attempt itself, on the thread's actor                (shard.rs)
//!   outcome   exactly one, whatever becomes of caller and shard        (admission.rs, exchange.rs)
//! fallback    stale entry, the caller's, the call's, the error         (sending.rs)
//! ```

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    CallState, Environment, OnCancel, Shared,
    admission::Admission,
    exchange::{Arrived, Exchange, Finishes, Waiting, ran_out},
    hedge,
    invalidation::Invalidation,
    keyed::{KeyHold, KeyPolicies},
    seat::{Dispatch, Served},
};
use crate::{
    call::{Attempt, Call, CallError, Context, Failed, Priority, Reason, Rejected, TimedOut},
    downstream::{Blame, Downstream, Failure, Reached, Stage},
    policy::{
        EndpointSet,
        retry::{self, Decision},
    },
    telemetry::{Try, spans},
    units::Tick,
};

/// What a call inherits and asks for, resolved once.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) started: Tick,
    pub(crate) deadline: Instant,
    /// Whether the deadline is earlier than the settings' own timeout.
    pub(crate) hurried: bool,
    pub(crate) priority: Priority,
    pub(crate) context: Option<Context>,
    /// What the call voids when it ends.
    pub(crate) invalidation: Option<Arc<Invalidation>>,
    /// The policies of the key that the call is made with.
    pub(crate) key: Option<Arc<KeyPolicies>>,
    /// The endpoints that its attempts went to.
    pub(crate) tried: Tried,
}

/// Endpoints, of those that the call knew of when it began, that its attempts went to.
#[derive(Debug, Default)]
pub(crate) struct Tried(AtomicU64);

impl Clone for Tried {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.get().bits()))
    }
}

impl Tried {
    pub(crate) fn add(&self, endpoint: usize) {
        self.0.fetch_or(EndpointSet::only(endpoint).bits(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> EndpointSet {
        EndpointSet::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// What the caller asked for at the call site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) deadline: Option<Duration>,
    pub(crate) priority: Option<Priority>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) refresh: bool,
    pub(crate) key: Option<Arc<KeyPolicies>>,
}

impl Plan {
    /// Resolves `options` against the current context and the call's settings.
    ///
    /// # Errors
    /// When the deadline has passed already.
    pub(crate) fn new(
        call: &CallState,
        priority: Option<Priority>,
        options: &Options,
        context: Option<&Context>,
        started: Tick,
    ) -> Result<Self, Reason> {
        let settings = &call.settings;
        let priority = options
            .priority
            .or(context.and_then(Context::get_priority))
            .or(priority)
            .unwrap_or(settings.priority);
        let asked = options.deadline.unwrap_or(settings.timeout).min(settings.max_timeout);
        let now = call.environment.instant(started);
        let own = now + asked;
        let inherited = context.and_then(Context::get_deadline);
        let deadline = inherited.map_or(own, |inherited| inherited.min(own));
        if deadline <= now {
            return Err(call.refused(Reason::DeadlinePassed, priority));
        }
        let hurried = deadline < now + settings.timeout;
        let context = match (&options.tenant, context) {
            (Some(tenant), context) => Some(context.cloned().unwrap_or_default().tenant(Arc::clone(tenant))),
            (None, context) => context.cloned(),
        };
        Ok(Self {
            started,
            deadline,
            hurried,
            priority,
            context,
            invalidation: None,
            key: options.key.clone(),
            tried: Tried::default(),
        })
    }

    /// The plan of a call whose deadline had passed before it began.
    pub(crate) fn passed(call: &CallState, started: Tick) -> Self {
        Self {
            started,
            deadline: call.environment.instant(started),
            hurried: true,
            priority: call.settings.priority,
            context: None,
            invalidation: None,
            key: None,
            tried: Tried::default(),
        }
    }

    /// The plan of a load that others wait for too: by the service's own timeout, not by its first caller's deadline.
    pub(crate) fn of_load(&self, call: &CallState, started: Tick) -> Self {
        let timeout = call.settings.timeout.min(call.settings.max_timeout);
        Self {
            started,
            deadline: call.environment.instant(started) + timeout,
            hurried: false,
            priority: self.priority,
            context: self.context.clone().map(Context::without_deadline),
            invalidation: None,
            key: self.key.clone(),
            tried: Tried::default(),
        }
    }
}

/// Sends a message again that its shard lost before it began, this often at most: each time a shard had to die.
const RESENDS: u32 = 8;

/// By how much longer each resend waits than the one before; the first comes at once.
const RESEND_PAUSE: Duration = Duration::from_millis(1);

/// A call's place among its equals at each of its gates and at its key's, which count by themselves.
pub(super) type Ranks = [Option<u64>; 3];

/// Which attempt of its call one is.
pub(super) struct Trial<'a> {
    pub(super) number: u32,
    pub(super) which: Try,
    /// Told the moment at which it is under way, for who wants to know.
    pub(super) begun: Option<&'a AtomicU64>,
}

/// How an attempt ended that gave no reply.
pub(super) enum Ended {
    /// It was refused before it was sent.
    Refused(Reason),
    /// It failed.
    Failed(Failure),
    /// Its shard died before it began.
    NeverStarted,
}

/// A reply, what it weighs, and when it came.
pub(crate) struct Reply<R> {
    pub(crate) value: R,
    pub(crate) bytes: usize,
    pub(crate) at: Tick,
}

/// First try, its hedges, and retries.
pub(crate) async fn attempts<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &Arc<C>,
    plan: &Plan,
) -> Result<Reply<C::Reply>, CallError> {
    let idempotent = call.traits().idempotent;
    let retried = plan.context.as_ref().is_some_and(Context::is_retried);
    let environment = &state.environment;
    if let Some(budget) = &state.budget {
        budget.deposit(plan.started);
    }
    let (mut number, mut hedges, mut resends, mut ranks) = (1, 0, 0, Ranks::default());
    // The first try begins with the call: where nobody waits, its clock is read twice less, of 16 ns each.
    let mut begins = plan.started;
    loop {
        spans::note("seawall.attempts", number + hedges);
        let ended = if state.hedge.is_some() && number == 1 && idempotent && !retried {
            // In a box, so that the many calls that are not hedged need no room for it.
            let race = hedge::race(service, state, call, plan, begins, &mut ranks, &mut hedges);
            Box::pin(race).await
        } else {
            let which = if number > 1 { Try::Retry } else { Try::First };
            let trial = Trial { number: number + hedges, which, begun: None };
            attempt(service, state, call, plan, trial, begins, &mut ranks).await
        };
        let failure = match ended {
            Ok(reply) => return Ok(reply),
            Err(Ended::NeverStarted) if resends < RESENDS => {
                resends += 1;
                // Its successor is on the way; a dead one's address may outlive it for a moment.
                sleep(RESEND_PAUSE * (resends - 1)).await;
                begins = environment.now();
                continue;
            }
            Err(Ended::NeverStarted) => {
                Failure::new(Blame::Local, "its shard died again and again before it was begun")
                    .reached(Reached::No)
            }
            Err(Ended::Refused(reason)) => return Err(state.rejected(reason)),
            Err(Ended::Failed(failure)) => failure,
        };
        let now = environment.now();
        let decision = match &state.settings.retry {
            Some(retry) if !retried && retry.covers(failure.looked_like().word()) => retry.judge(
                retry::Failed {
                    attempts: number,
                    blame: failure.blame(),
                    reached: failure.has_reached(),
                    idempotent,
                    retry_after: failure.asked_retry_after(),
                    remaining: environment.tick(plan.deadline).since(now),
                },
                environment.random(),
            ),
            _ => return Err(state.gave_up(number + hedges, failure, plan)),
        };
        let Decision::After(wait) = decision else {
            return Err(state.gave_up(number + hedges, failure, plan));
        };
        if let Some(budget) = &state.budget
            && !budget.withdraw(now)
        {
            state.budget_spent();
            return Err(state.gave_up(number + hedges, failure, plan));
        }
        if !wait.is_zero() && !Box::pin(pause(environment, now.after(wait))).await {
            return Err(state.gave_up(number + hedges, failure, plan));
        }
        number += 1;
        begins = environment.now();
    }
}

/// Waits until `due`, or until the runtime stops; whether it was due.
async fn pause(environment: &Environment, due: Tick) -> bool {
    let stopped = pin!(environment.stopped());
    let slept = pin!(sleep_until(environment.instant(due)));
    matches!(select(slept, stopped).await, Either::Left(_))
}

/// One attempt: through the policies, to the shard, and back. `now` is when it begins.
pub(super) async fn attempt<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &Arc<C>,
    plan: &Plan,
    trial: Trial<'_>,
    now: Tick,
    ranks: &mut Ranks,
) -> Result<Reply<C::Reply>, Ended> {
    let environment = &state.environment;
    if let Some(reason) = service.refusal(now) {
        return Err(Ended::Refused(state.refused(reason, plan.priority)));
    }
    state.look(plan.priority, now)?;

    let Trial { number, which, begun } = trial;
    let counts = match &state.throttle {
        Some(throttle) => state.throttle(throttle, plan.priority, now).map_err(Ended::Refused)?,
        None => false,
    };

    let drawn = match &state.faults {
        Some(faults) => faults.draw(state, plan.priority)?,
        None => None,
    };

    let mut admission = Admission::new(state, which, now);
    if counts {
        admission.counts_as(plan.priority);
    }
    if let Some(key) = &plan.key {
        admission.hold_key(Box::pin(KeyHold::enter(key, state, plan, &mut ranks[2], now)).await?);
    }
    // The call's own gate first: who waits there must not hold a place of the whole service's.
    for (index, gate) in state.gates.iter().enumerate().rev() {
        let Some(gate) = gate else { continue };
        let rank = &mut ranks[index];
        // Whoever must wait does so in a future of its own, which those who need not do not carry along.
        let passed = match rank {
            None => gate.pass_at_once(),
            Some(_) => None,
        };
        let passed = match passed {
            Some(passed) => passed,
            None => Box::pin(gate.pass(state, plan, rank)).await?,
        };
        admission.hold(index, passed);
    }
    // Whoever waited has a rank.
    let waited = ranks.iter().any(Option::is_some);
    let mut now = if waited { environment.now() } else { now };
    let mut claim = match &state.rate {
        Some(rate) => rate.ask(state, plan, now)?,
        None => None,
    };
    if let Some(claim) = &mut claim
        && claim.waits()
    {
        Box::pin(claim.turn(state, plan)).await?;
        now = environment.now();
    }
    admission.admit(plan, now).map_err(Ended::Refused)?;
    if let Some(claim) = claim {
        claim.spend();
    }
    if let Some(begun) = begun {
        begun.store(now.as_nanos().max(1), Ordering::Release);
    }

    let deadline = match state.settings.attempt_timeout {
        Some(timeout) => plan.deadline.min(environment.instant(now.after(timeout))),
        None => plan.deadline,
    };
    let hurried = plan.hurried && deadline == plan.deadline;
    let attempt =
        Attempt::numbered(Arc::clone(&state.service), state.name, number, deadline, plan.context.clone());
    let attempt = match admission.endpoint() {
        Some(endpoint) => attempt.at(endpoint.clone()),
        None => attempt,
    };
    let exchange = Arc::new(Exchange::new(
        Arc::clone(call),
        attempt,
        Arc::clone(state),
        hurried,
        finishes(state.settings.on_cancel, call.traits().idempotent),
        plan.invalidation.clone(),
        poll_fn(|context| Poll::Ready(context.waker().clone())).await,
    ));
    if let Some(faults) = &state.faults
        && let Some(failure) = Box::pin(faults.suffer(drawn, &exchange)).await
    {
        admission.finish(&Err(Some(failure.clone())));
        return Err(Ended::Failed(failure));
    }
    let (arrived, at) = match &service.rules {
        Some(rules) => Box::pin(mocked::<D, C>(rules, &exchange, admission)).await,
        None => match service.dispatch(&exchange) {
            // The attempt's own task has the timer; one here would only be registered for nothing. Whoever suffered a delay
            // may be polled by another than the one that the exchange was made in.
            Dispatch::Sent(Served::Here) if state.faults.is_none() => {
                Waiting::anew(&exchange, admission).await
            }
            dispatch => Box::pin(on_shard(service, state, &exchange, admission, plan, dispatch)).await?,
        },
    };
    match arrived {
        Arrived::Answer(Ok(value)) => Ok(Reply { value, bytes: exchange.attempt.reply_bytes(), at }),
        Arrived::Answer(Err(failure)) => Err(Ended::Failed(failure)),
        Arrived::NeverStarted => Err(Ended::NeverStarted),
        Arrived::Lost => Err(Ended::Failed(lost(exchange.attempt.is_sent()))),
    }
}

fn finishes(on_cancel: OnCancel, idempotent: bool) -> Finishes {
    match (on_cancel, idempotent) {
        (OnCancel::Abort, _) | (OnCancel::Auto, true) => Finishes::Never,
        (OnCancel::Auto, false) => Finishes::OnceSent,
        (OnCancel::Finish, _) => Finishes::Always,
    }
}

/// Where the shard was there is another now: what may be made twice is made there at once.
fn lost(sent: bool) -> Failure {
    Failure::new(Blame::Topology, "its shard died in the midst of it")
        .symptom(crate::downstream::Symptom::Reset)
        .reached(if sent { Reached::Maybe } else { Reached::No })
}

/// The ways of an attempt to its shard that are not the usual one: to another thread's, or to one that must be brought
/// or waited for. `dispatch` is what came of sending it.
async fn on_shard<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    exchange: &Arc<Exchange<C, C::Reply>>,
    admission: Admission<'_>,
    plan: &Plan,
    mut dispatch: Dispatch,
) -> Result<(Arrived<C::Reply>, Tick), Ended> {
    let refused = |reason| Ended::Refused(state.refused(reason, plan.priority));
    let served = loop {
        match dispatch {
            Dispatch::Sent(served) => break served,
            Dispatch::Refused(reason) => return Err(refused(reason)),
            // A thread that dies as often as it is started must not keep a call for longer than its time.
            Dispatch::Vacant if Instant::now() >= exchange.deadline() => {
                return Err(Ended::Failed(ran_out(Stage::Open)));
            }
            Dispatch::Vacant => service.bring_keeper().map_err(refused)?,
            Dispatch::Wait => {
                if let Some(seat) = service.seat()
                    && timeout_at(exchange.deadline(), seat.settled()).await.is_err()
                {
                    return Err(Ended::Failed(ran_out(Stage::Open)));
                }
            }
        }
        dispatch = service.dispatch(exchange);
    };
    let waiting = Waiting::new(exchange, admission);
    match served {
        Served::Here => Ok(waiting.await),
        Served::Elsewhere => timeout_at(exchange.deadline() + GRACE, waiting)
            .await
            .map_err(|_| Ended::Failed(exchange.timed_out())),
    }
}

/// How long a caller on another thread waits for the shard's own timeout to tell, before it gives up by itself.
const GRACE: Duration = Duration::from_millis(10);

/// Answers an attempt by a mock's rules, on the caller's own task.
async fn mocked<D: Downstream, C: Call<D>>(
    rules: &super::Rules,
    exchange: &Arc<Exchange<C, C::Reply>>,
    admission: Admission<'_>,
) -> (Arrived<C::Reply>, Tick) {
    let answer = rules.answer::<D, C>(&exchange.call, &exchange.attempt);
    let result = match timeout_at(exchange.deadline(), answer).await {
        Ok(result) => super::shard::judge::<D, C>(exchange, result),
        Err(_) => Err(exchange.timed_out()),
    };
    let arrived = Arrived::Answer(result);
    let at = admission.finish(&arrived.outcome());
    (arrived, at)
}

impl From<Reason> for Ended {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl CallState {
    /// Counts a refusal of this call.
    pub(crate) fn refused(&self, reason: Reason, priority: Priority) -> Reason {
        self.metrics_of_service().rejected(reason.policy(), false, priority);
        reason
    }

    pub(crate) fn rejected(&self, reason: Reason) -> CallError {
        CallError::Rejected(Rejected { service: Arc::clone(&self.service), call: self.name, reason })
    }

    /// The error of a call whose `attempts` failed, the last one with `failure`.
    fn gave_up(&self, attempts: u32, failure: Failure, plan: &Plan) -> CallError {
        let now = self.environment.now();
        if let crate::downstream::Symptom::Timeout(stage) = failure.looked_like()
            && now >= self.environment.tick(plan.deadline)
        {
            return self.timed_out(stage, plan, Some(failure));
        }
        CallError::Failed(Failed { service: Arc::clone(&self.service), call: self.name, attempts, failure })
    }

    pub(crate) fn timed_out(&self, stage: Stage, plan: &Plan, cause: Option<Failure>) -> CallError {
        CallError::TimedOut(TimedOut {
            service: Arc::clone(&self.service),
            call: self.name,
            stage,
            after: self.environment.now().since(plan.started),
            reached: cause.as_ref().map_or(Reached::No, Failure::has_reached),
            cause,
        })
    }
}
