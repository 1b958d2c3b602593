//! The way of a call, whole and in order.
//!
//! ```text
//! context     the deadline, tenant and priority that the call inherits
//! cache       a hit ends here
//! breaker     a look: open ends here, before anything is allocated
//! coalesce    a load of the same key under way: wait for it            (load.rs)
//! attempts    first try, its hedges (hedge.rs), and retries, each by itself:   (attempt.rs)
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

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{sleep, sleep_until};

use super::{
    CallState, Environment, Shared,
    attempt::{Ended, Ranks, Reply, Trial, attempt},
    carried::Carried,
    hedge,
    plan::Plan,
};
use crate::{
    call::{Call, CallError, Context, Failed, Priority, Reason, Rejected, TimedOut},
    downstream::{Blame, Downstream, Failure, Reached, Stage},
    policy::retry::{self, Decision},
    telemetry::{Try, spans},
    units::Tick,
};

/// Sends a message again that its shard lost before it began, this often at most: each time a shard had to die.
const RESENDS: u32 = 8;

/// By how much longer each resend waits than the one before; the first comes at once.
const RESEND_PAUSE: Duration = Duration::from_millis(1);
/// First try, its hedges, and retries.
pub(crate) async fn attempts<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &mut Carried<C, C::Reply>,
    plan: &Plan,
) -> Result<Reply<C::Reply>, CallError> {
    let idempotent = call.get().is_some_and(|call| call.traits().idempotent);
    if service.rules.is_some() {
        // A mock's rule may keep it.
        call.share();
    }
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
            let trial = Trial { number: number + hedges, which, idempotent, begun: None };
            attempt(service, state, call, plan, trial, begins, &mut ranks).await
        };
        call.leave();
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
