//! One attempt at a call: from the first look at the policies to its outcome. In what order, `pipeline` says.

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::{
    CallState, OnCancel, Shared,
    admission::Admission,
    carried::Carried,
    exchange::{Arrived, Exchange, Finishes, Waiting, ran_out},
    keyed::KeyHold,
    plan::Plan,
    seat::{Dispatch, Served},
};
use crate::{
    call::{Attempt, Call, Reason},
    downstream::{Blame, Downstream, Failure, Reached, Stage},
    telemetry::Try,
    units::Tick,
};

/// What a call keeps from one attempt to the next.
#[derive(Default)]
pub(super) struct Ranks {
    /// Its place among its equals at each of its gates and at its key's, which count by themselves.
    places: [Option<u64>; 3],
    /// Set where the last attempt was lost before it began: it has asked the throttle, which is told of it or not, spent its
    /// tokens and suffered its faults, and the next is the same again.
    again: Option<bool>,
}

/// Which attempt of its call one is.
pub(super) struct Trial<'a> {
    pub(super) number: u32,
    pub(super) which: Try,
    pub(super) idempotent: bool,
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
/// One attempt: through the policies, to the shard, and back. `now` is when it begins.
pub(super) async fn attempt<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &mut Carried<C, C::Reply>,
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

    let Trial { number, which, idempotent, begun } = trial;
    let again = ranks.again.take();
    let counts = match (again, &state.throttle) {
        (Some(counts), _) => counts,
        (None, Some(throttle)) => state.throttle(throttle, plan.priority, now).map_err(Ended::Refused)?,
        (None, None) => false,
    };

    let drawn = match &state.faults {
        Some(faults) if again.is_none() => faults.draw(state, plan.priority)?,
        _ => None,
    };

    let mut admission = Admission::new(state, which, now);
    if counts {
        admission.counts_as(plan.priority);
    }
    if let Some(key) = &plan.key {
        let rank = &mut ranks.places[2];
        admission.hold_key(Box::pin(KeyHold::enter(key, state, plan, rank, again.is_none(), now)).await?);
    }
    // The call's own gate first: who waits there must not hold a place of the whole service's.
    for (index, gate) in state.gates.iter().enumerate().rev() {
        let Some(gate) = gate else { continue };
        let rank = &mut ranks.places[index];
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
    let waited = ranks.places.iter().any(Option::is_some);
    let mut now = if waited { environment.now() } else { now };
    let mut claim = match &state.rate {
        Some(rate) if again.is_none() => rate.ask(state, plan, now)?,
        _ => None,
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
    let finishes = finishes(state.settings.on_cancel, idempotent);
    let (of, invalidation) = (Arc::clone(state), plan.invalidation.clone());
    let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
    let exchange = call
        .enclose(|message| Exchange::new(message, attempt, of, hurried, finishes, invalidation, waker))
        .ok_or_else(|| Ended::Failed(lost_call()))?;
    if let Some(faults) = &state.faults
        && again.is_none()
        && let Some(failure) = Box::pin(faults.suffer(drawn, exchange)).await
    {
        admission.finish(&Err(Some(failure.clone())));
        return Err(Ended::Failed(failure));
    }
    let (arrived, at) = match &service.rules {
        Some(rules) => Box::pin(mocked::<D, C>(rules, exchange, &mut admission)).await,
        None => match service.dispatch(exchange) {
            // The attempt's own task has the timer; one here would only be registered for nothing. Whoever suffered a delay
            // may be polled by another than the one that the exchange was made in.
            Dispatch::Sent(Served::Here) if state.faults.is_none() => {
                Waiting::anew(exchange, &mut admission).await
            }
            dispatch => Box::pin(on_shard(service, state, exchange, &mut admission, plan, dispatch)).await?,
        },
    };
    match arrived {
        Arrived::Answer(Ok(value)) => Ok(Reply { value, bytes: exchange.attempt.reply_bytes(), at }),
        Arrived::Answer(Err(failure)) => Err(Ended::Failed(failure)),
        Arrived::NeverStarted => {
            ranks.again = Some(counts);
            Err(Ended::NeverStarted)
        }
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

fn lost_call() -> Failure {
    Failure::new(Blame::Local, "it was lost when an attempt of it panicked").reached(Reached::No)
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
    admission: &mut Admission<'_>,
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
    admission: &mut Admission<'_>,
) -> (Arrived<C::Reply>, Tick) {
    // A rule is the other side: whoever stops waiting for it cannot know what it did.
    exchange.attempt.mark_sent();
    let unknown = Unknown(exchange);
    let answer = exchange.shared_call().map(|call| rules.answer::<D, C>(call, &exchange.attempt));
    let result = match answer {
        Some(answer) => match timeout_at(exchange.deadline(), answer).await {
            Ok(result) => super::shard::judge::<D, C>(exchange, result),
            Err(_) => Err(exchange.timed_out()),
        },
        None => Err(lost_call()),
    };
    let arrived = Arrived::Answer(result);
    unknown.ended(&arrived);
    let at = admission.finish(&arrived.outcome());
    (arrived, at)
}

/// An attempt of which nobody knows yet what it did.
struct Unknown<'a, C, R>(&'a Exchange<C, R>);

impl<C, R> Unknown<'_, C, R> {
    fn ended(self, arrived: &Arrived<R>) {
        if self.0.is_unknown(arrived) {
            self.0.unsettle();
        }
        mem::forget(self);
    }
}

impl<C, R> Drop for Unknown<'_, C, R> {
    fn drop(&mut self) {
        self.0.unsettle();
    }
}

impl From<Reason> for Ended {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}
