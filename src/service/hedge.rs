//! A call's first try and its hedges, side by side: the first answer counts, and whoever is behind then is cancelled.
//!
//! A hedge is an attempt like any other: it asks breaker, throttle, bulkhead and rate by itself, and has a permit of its
//! own, which ends as cancelled, and says nothing about the downstream, if it loses. It differs in when it is not made at
//! all: where the downstream may be ill (its breaker is not closed) or sheds load, where it would have to wait (the bulkhead
//! has no free place: it would take one from a first try), and where the budget that it shares with retries is spent. With
//! `on_cancel = "finish"` a loser is finished, as any attempt is whose caller has gone.
//!
//! ```text
//! first under way -> delay -> a hedge -> delay -> the next, as many as the settings allow
//! an answer of any          => that, and the others are cancelled
//! the caller's own fault    => that: it is an answer, and another attempt would find the same
//! the first fails           => its failure if no hedge is under way; else what they say, or at last its failure
//! a hedge fails             => as if it had not been made
//! ```

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use tokio::time::sleep_until;

use super::{
    CallState, Shared,
    attempt::{Ended, Ranks, Reply, Trial, attempt},
    carried::Carried,
    plan::Plan,
};
use crate::{
    call::Call,
    downstream::{Blame, Downstream},
    telemetry::{Try, spans},
    units::Tick,
};

type Attempt<'a, R> = Pin<Box<dyn Future<Output = Result<Reply<R>, Ended>> + Send + 'a>>;

/// Who came to an end, or that it is time for another hedge.
enum Next<R> {
    First(Result<Reply<R>, Ended>),
    Hedge(usize, Result<Reply<R>, Ended>),
    Due,
}

/// Makes the first try of a call that may be made twice, which begins at `now`, and hedges it. `sent` counts the hedges.
pub(super) async fn race<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &mut Carried<C, C::Reply>,
    plan: &Plan,
    now: Tick,
    ranks: &mut Ranks,
    sent: &mut u32,
) -> Result<Reply<C::Reply>, Ended> {
    let environment = &state.environment;
    let shared = call.share();
    let begun = AtomicU64::new(0);
    let first = Trial { number: 1, which: Try::First, idempotent: true, begun: Some(&begun) };
    let mut first = pin!(attempt(service, state, call, plan, first, now, ranks));
    let measured = state.hedge.as_ref().and_then(|hedge| Some((hedge.attempts(), hedge.delay(now)?)));
    let (Some((most, delay)), Some(shared)) = (measured, shared) else { return first.await };
    let mut timer = pin!(sleep_until(environment.instant(now.after(delay))));
    // A delay that outlasts the call's time registers no timer.
    let mut hedging = environment.instant(now.after(delay)) < plan.deadline;
    let mut hedges: Vec<Attempt<'_, C::Reply>> = Vec::new();
    let mut failed = None;
    loop {
        let next = poll_fn(|context| {
            if failed.is_none()
                && let Poll::Ready(ended) = first.as_mut().poll(context)
            {
                return Poll::Ready(Next::First(ended));
            }
            for (index, hedge) in hedges.iter_mut().enumerate() {
                if let Poll::Ready(ended) = hedge.as_mut().poll(context) {
                    return Poll::Ready(Next::Hedge(index, ended));
                }
            }
            if hedging { timer.as_mut().poll(context).map(|()| Next::Due) } else { Poll::Pending }
        })
        .await;
        match next {
            Next::First(Err(ended)) if !hedges.is_empty() && !ended.is_answer() => {
                // What comes after a failure is the retry's to say.
                hedging = false;
                failed = Some(ended);
            }
            Next::First(ended) => return ended,
            Next::Hedge(index, Err(ended)) if !ended.is_answer() => {
                drop(hedges.swap_remove(index));
                if hedges.is_empty()
                    && let Some(first) = failed
                {
                    return Err(first);
                }
            }
            Next::Hedge(_, ended) => return ended,
            Next::Due => {
                let now = environment.now();
                let due = match begun.load(Ordering::Acquire) {
                    // It waits in a queue: the downstream has not been asked yet.
                    0 => now.after(delay),
                    begun => Tick::from_nanos(begun).after(delay * (*sent + 1)),
                };
                let due = if due > now {
                    due
                } else if state.may_hedge(now) {
                    *sent += 1;
                    spans::note("seawall.attempts", 1 + *sent);
                    let trial = Trial { number: 1 + *sent, which: Try::Hedge, idempotent: true, begun: None };
                    let mut call = Carried::Shared(Arc::clone(&shared));
                    hedges.push(Box::pin(async move {
                        attempt(service, state, &mut call, plan, trial, now, &mut Ranks::default()).await
                    }));
                    now.after(delay)
                } else {
                    // Not now, and a later one would be of less use.
                    hedging = false;
                    continue;
                };
                hedging = *sent < most && environment.instant(due) < plan.deadline;
                timer.as_mut().reset(environment.instant(due));
            }
        }
    }
}

impl Ended {
    /// Whether another attempt would be told the same.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.blame() == Blame::Caller)
    }
}

impl CallState {
    /// Whether a hedge may be made now; if so, it has been paid for.
    fn may_hedge(&self, now: Tick) -> bool {
        let is_well = self.breaker.as_ref().is_none_or(|breaker| breaker.is_closed());
        let is_shedding = self.throttle.as_ref().is_some_and(|throttle| throttle.is_shedding(now));
        let has_room = self.gates.iter().flatten().all(|gate| gate.has_room());
        if !is_well || is_shedding || !has_room {
            return false;
        }
        let paid = self.budget.as_ref().is_none_or(|budget| budget.withdraw(now));
        if !paid {
            self.budget_spent();
        }
        paid
    }
}
