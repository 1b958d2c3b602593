//! One attempt, seen from both of its ends: the caller who waits and the shard that works.
//!
//! An exchange is the message and its reply slot in one allocation. Who is left alone at it always learns of it:
//! - an order that is dropped unanswered (its shard died, its thread stopped) answers by its drop guard, which knows
//!   whether the attempt had started: what was queued has never been sent;
//! - a caller who goes away cancels the attempt, or, where it must be finished (a write that has been sent), leaves the
//!   admission behind, so that the outcome is recorded when it is known.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Span;

use super::{
    CallState,
    admission::{Admission, Held},
    environment::UnderWay,
    invalidation::Invalidation,
};
use crate::{
    call::Attempt,
    downstream::{Blame, Failure, Reached, Stage},
    telemetry::spans,
    units::Tick,
};

/// One attempt at a call `C` that gives an `R`.
pub(crate) struct Exchange<C, R> {
    message: Message<C, R>,
    pub(crate) attempt: Attempt,
    pub(crate) state: Arc<CallState>,
    /// Whether the deadline is earlier than the service's own timeout would have it: running out then says nothing
    /// about the downstream.
    pub(crate) hurried: bool,
    /// Whether the attempt goes on when its caller goes away after it was sent.
    pub(crate) finishes: Finishes,
    /// What a write changes: one that goes on without its caller voids it when it ends.
    invalidation: Option<Arc<Invalidation>>,
    /// Its span, if anybody listens.
    pub(crate) span: Span,
    slot: Mutex<Slot<R>>,
    /// Whether the caller went away and nobody takes its place: for the shard, which would lock the slot for it.
    gone: AtomicBool,
}

/// How an exchange has its call.
pub(crate) enum Message<C, R> {
    Own(C),
    Shared(Arc<C>),
    Of(Arc<Exchange<C, R>>),
}

/// Whether an attempt goes on without its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finishes {
    Never,
    OnceSent,
    Always,
}

struct Slot<R> {
    progress: Progress<R>,
    caller: Caller,
    worker: Option<Waker>,
}

enum Progress<R> {
    Sent,
    Done(Arrived<R>),
    Taken,
}

enum Caller {
    Waits(Option<Waker>),
    /// It went away, and the attempt must be finished and recorded without it.
    Left(Testament),
    Gone,
}

/// What is to be done in place of a caller who went away when its attempt ends.
struct Testament {
    held: Held,
    /// A drain waits for it as for a caller.
    _under_way: UnderWay,
}

/// What comes back to the caller.
pub(crate) enum Arrived<R> {
    /// The attempt's end.
    Answer(Result<R, Failure>),
    /// The shard died before it began: nothing was sent.
    NeverStarted,
    /// The shard died in the midst of it.
    Lost,
}

impl<C, R> Message<C, R> {
    fn get(&self) -> &C {
        match self {
            Self::Own(call) => call,
            Self::Shared(call) => call,
            Self::Of(exchange) => exchange.call(),
        }
    }
}

impl<C, R> Exchange<C, R> {
    pub(crate) fn new(
        message: Message<C, R>,
        attempt: Attempt,
        state: Arc<CallState>,
        hurried: bool,
        finishes: Finishes,
        invalidation: Option<Arc<Invalidation>>,
        waker: Waker,
    ) -> Self {
        let slot = Slot { progress: Progress::Sent, caller: Caller::Waits(Some(waker)), worker: None };
        let span = spans::of_attempt(attempt.service(), attempt.call(), attempt.number());
        Self {
            message,
            attempt,
            state,
            hurried,
            finishes,
            invalidation,
            span,
            slot: Mutex::new(slot),
            gone: AtomicBool::new(false),
        }
    }

    /// The call that it is an attempt at.
    pub(crate) fn call(&self) -> &C {
        self.message.get()
    }

    /// The call, where several can hold it.
    pub(crate) fn shared_call(&self) -> Option<Arc<C>> {
        match &self.message {
            Message::Shared(call) => Some(Arc::clone(call)),
            Message::Own(_) | Message::Of(_) => None,
        }
    }

    /// The same call for another exchange: never more than one exchange away from where it is.
    pub(crate) fn message_again(self: Arc<Self>) -> Message<C, R> {
        match &self.message {
            Message::Own(_) => Message::Of(self),
            Message::Shared(call) => Message::Shared(Arc::clone(call)),
            Message::Of(first) => Message::Of(Arc::clone(first)),
        }
    }

    pub(crate) fn into_message(self) -> Message<C, R> {
        self.message
    }

    /// When the attempt is given up.
    pub(crate) fn deadline(&self) -> Instant {
        self.attempt.deadline()
    }

    /// The attempt's time ran out.
    pub(crate) fn timed_out(&self) -> Failure {
        let sent = self.attempt.is_sent();
        let failure = Failure::timeout(self.attempt.stage());
        let failure = if sent { failure.reached(Reached::Maybe) } else { failure.reached(Reached::No) };
        if self.hurried { failure.blamed_on(Blame::Local) } else { failure }
    }

    /// Whether the attempt ends with its caller.
    fn ends_with_caller(&self) -> bool {
        match self.finishes {
            Finishes::Never => true,
            Finishes::OnceSent => !self.attempt.is_sent(),
            Finishes::Always => false,
        }
    }

    /// Whether an attempt that ended so may yet change what it was to change.
    pub(super) fn is_unknown(&self, arrived: &Arrived<R>) -> bool {
        match arrived {
            Arrived::Answer(Ok(_)) | Arrived::NeverStarted => false,
            // Who finds fault has not done it.
            Arrived::Answer(Err(failure)) => {
                failure.has_reached() == Reached::Maybe && failure.blame() != Blame::Caller
            }
            Arrived::Lost => self.attempt.is_sent(),
        }
    }

    /// What it changes may yet be changed.
    pub(super) fn unsettle(&self) {
        if let Some(invalidation) = &self.invalidation {
            invalidation.unsettle(self.state.settings.timeout);
        }
    }

    /// The caller goes away.
    fn abandon(&self, admission: &mut Admission<'_>) {
        let (worker, known) = {
            let mut slot = self.slot.lock();
            match mem::replace(&mut slot.progress, Progress::Taken) {
                // It came, and nobody took it.
                Progress::Done(arrived) => (None, Some(arrived)),
                Progress::Sent if !self.ends_with_caller() => {
                    slot.progress = Progress::Sent;
                    slot.caller = Caller::Left(Testament {
                        held: admission.leave(),
                        _under_way: UnderWay::new(&self.state.environment),
                    });
                    return;
                }
                progress => {
                    slot.progress = progress;
                    slot.caller = Caller::Gone;
                    self.gone.store(true, Ordering::Release);
                    (slot.worker.take(), None)
                }
            }
        };
        match known {
            Some(arrived) => {
                admission.finish(&arrived.outcome());
            }
            None => {
                if self.attempt.is_sent() {
                    self.unsettle();
                }
                admission.cancel();
            }
        }
        if let Some(worker) = worker {
            worker.wake();
        }
    }
}

impl<R> Arrived<R> {
    /// The end as the policies see it.
    pub(crate) fn outcome(&self) -> Result<(), Option<Failure>> {
        match self {
            Self::Answer(Ok(_)) => Ok(()),
            Self::Answer(Err(failure)) => Err(Some(failure.clone())),
            Self::NeverStarted | Self::Lost => Err(None),
        }
    }
}

/// The shard's end of an exchange: answers exactly once, by itself when it is dropped.
pub(crate) struct Order<C, R> {
    exchange: Arc<Exchange<C, R>>,
    stage: Progressed,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progressed {
    Queued,
    Begun,
    Answered,
}

impl<C, R> Order<C, R> {
    pub(crate) fn new(exchange: &Arc<Exchange<C, R>>) -> Self {
        Self { exchange: Arc::clone(exchange), stage: Progressed::Queued }
    }

    pub(crate) fn exchange(&self) -> &Exchange<C, R> {
        &self.exchange
    }

    /// Starts the attempt; `None` if nobody waits for it any more.
    pub(crate) fn begin(mut self) -> Option<Self> {
        let gone = self.exchange.gone.load(Ordering::Acquire);
        self.stage = if gone { Progressed::Answered } else { Progressed::Begun };
        (!gone).then_some(self)
    }

    /// Ends the attempt.
    pub(crate) fn answer(mut self, result: Result<R, Failure>) {
        self.stage = Progressed::Answered;
        let Exchange { span, .. } = &*self.exchange;
        if let Err(failure) = &result {
            span.record("error.type", failure.get_code().unwrap_or(failure.looked_like().word()));
        }
        self.exchange.arrive(Arrived::Answer(result));
    }
}

impl<C, R> Drop for Order<C, R> {
    fn drop(&mut self) {
        match self.stage {
            Progressed::Queued => self.exchange.arrive(Arrived::NeverStarted),
            Progressed::Begun => self.exchange.arrive(Arrived::Lost),
            Progressed::Answered => {}
        }
    }
}

impl<C, R> Exchange<C, R> {
    fn arrive(&self, arrived: Arrived<R>) {
        if self.is_unknown(&arrived) {
            self.unsettle();
        }
        let mut slot = self.slot.lock();
        match mem::replace(&mut slot.caller, Caller::Gone) {
            Caller::Waits(waker) => {
                slot.progress = Progress::Done(arrived);
                slot.caller = Caller::Waits(None);
                drop(slot);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Caller::Left(testament) => {
                slot.progress = Progress::Taken;
                drop(slot);
                if let Some(invalidation) = &self.invalidation {
                    invalidation.apply();
                }
                Admission::resume(&self.state, testament.held).finish(&arrived.outcome());
            }
            Caller::Gone => slot.progress = Progress::Taken,
        }
    }

    /// Whether the attempt is to be cancelled; if not now, the task is woken when it is.
    pub(crate) fn is_cancelled(&self, context: &Context<'_>) -> bool {
        let mut slot = self.slot.lock();
        if matches!(slot.caller, Caller::Gone) {
            return true;
        }
        if !slot.worker.as_ref().is_some_and(|worker| worker.will_wake(context.waker())) {
            slot.worker = Some(context.waker().clone());
        }
        false
    }
}

/// The caller's end of an exchange. Its admission is finished as soon as the answer is there.
pub(crate) struct Waiting<'a, 'c, C, R> {
    exchange: &'a Exchange<C, R>,
    admission: Option<&'a mut Admission<'c>>,
    /// Whether the exchange was made in this very poll: then it has the caller's waker, and there is nothing to look at.
    new: bool,
}

impl<'a, 'c, C, R> Waiting<'a, 'c, C, R> {
    pub(crate) fn new(exchange: &'a Exchange<C, R>, admission: &'a mut Admission<'c>) -> Self {
        Self { exchange, admission: Some(admission), new: false }
    }

    /// For an exchange that was made and sent in this very poll.
    pub(crate) fn anew(exchange: &'a Exchange<C, R>, admission: &'a mut Admission<'c>) -> Self {
        Self { exchange, admission: Some(admission), new: true }
    }
}

impl<C, R> Future for Waiting<'_, '_, C, R> {
    /// The end, and when the policies heard of it.
    type Output = (Arrived<R>, Tick);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if mem::take(&mut self.new) {
            return Poll::Pending;
        }
        let arrived = {
            let mut slot = self.exchange.slot.lock();
            match mem::replace(&mut slot.progress, Progress::Taken) {
                Progress::Done(arrived) => arrived,
                progress => {
                    slot.progress = progress;
                    if let Caller::Waits(waker) = &mut slot.caller
                        && !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()))
                    {
                        *waker = Some(context.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
        };
        match self.admission.take() {
            Some(admission) => {
                let at = admission.finish(&arrived.outcome());
                Poll::Ready((arrived, at))
            }
            None => Poll::Pending,
        }
    }
}

impl<C, R> Drop for Waiting<'_, '_, C, R> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.exchange.abandon(admission);
        }
    }
}

/// What a stage that ran out of time looks like, before anything was sent.
pub(crate) fn ran_out(stage: Stage) -> Failure {
    Failure::timeout(stage).reached(Reached::No)
}
