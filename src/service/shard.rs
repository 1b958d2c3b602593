//! The actor at the end of the way: it owns one thread's connections, and makes one attempt a message.
//!
//! An attempt is polled once in place, and becomes a task of its own only if it is pending: actix polls the futures of
//! its handlers one after the other on every wake-up, which at a thousand in flight costs more than the calls. Its
//! timer is the task's too. A panic in an attempt is that call's failure and leaves the shard alone.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use slab::Slab;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tracing::Span;

use super::exchange::{Exchange, Order};
use crate::{
    call::Call,
    downstream::{Downstream, Failure},
};

/// One thread's shard of a service.
pub(crate) struct Shard<D> {
    pub(crate) downstream: Rc<D>,
    pub(crate) vitals: Rc<Vitals>,
}

impl<D: Downstream> Actor for Shard<D> {
    type Context = Context<Self>;
}

/// What a shard's keeper watches: several panics of attempts within a minute may mean that the pool itself is broken.
#[derive(Debug)]
pub(crate) struct Vitals {
    panics: Cell<u32>,
    first: Cell<Instant>,
    pub(crate) broken: Notify,
    /// Attempts that are tasks of their own.
    tasks: RefCell<Slab<AbortHandle>>,
}

const PANICS: u32 = 5;
const PANIC_WINDOW: Duration = Duration::from_secs(60);

impl Vitals {
    pub(crate) fn new() -> Self {
        Self {
            panics: Cell::new(0),
            first: Cell::new(Instant::now()),
            broken: Notify::new(),
            tasks: RefCell::default(),
        }
    }

    /// Cuts off all attempts under way.
    pub(crate) fn abort(&self) {
        for (_, task) in self.tasks.borrow().iter() {
            task.abort();
        }
    }

    /// Whether no attempt is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.borrow().is_empty()
    }

    fn panicked(&self) {
        let now = Instant::now();
        if now - self.first.get() > PANIC_WINDOW {
            self.panics.set(0);
        }
        if self.panics.get() == 0 {
            self.first.set(now);
        }
        self.panics.set(self.panics.get() + 1);
        if self.panics.get() == PANICS {
            self.panics.set(0);
            self.broken.notify_one();
        }
    }
}

impl<C: 'static, R: Send + 'static> Message for Order<C, R> {
    type Result = ();
}

impl<D: Downstream, C: Call<D>> Handler<Order<C, C::Reply>> for Shard<D> {
    type Result = ();

    fn handle(&mut self, order: Order<C, C::Reply>, _: &mut Self::Context) {
        let Some(order) = order.begin() else { return };
        // It waited behind something that blocked the thread: nothing of it may reach the downstream any more.
        if Instant::now() >= order.exchange().deadline() {
            let late = order.exchange().timed_out();
            return order.answer(Err(late));
        }
        let Self { downstream, vitals } = self;
        let mut serving = Box::pin(serve(Rc::clone(downstream), Rc::clone(vitals), order));
        if serving.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending() {
            let mut tasks = vitals.tasks.borrow_mut();
            let place = tasks.vacant_entry();
            let listed = Listed { vitals: Rc::clone(vitals), key: place.key() };
            let task = actix_rt::spawn(async move {
                let _listed = listed;
                serving.await;
            });
            place.insert(task.abort_handle());
        }
    }
}

/// Makes an attempt: once in place, and from its second poll on as a task, until it ends, its deadline comes, or its
/// caller goes away.
async fn serve<D: Downstream, C: Call<D>>(downstream: Rc<D>, vitals: Rc<Vitals>, order: Order<C, C::Reply>) {
    let exchange = order.exchange();
    let result = {
        let work = pin!(Some(attempt(&*downstream, exchange)));
        let mut work = Guarded { work, vitals: &vitals, span: &exchange.span };
        match poll_fn(|context| Poll::Ready(Pin::new(&mut work).poll(context))).await {
            Poll::Ready(result) => result,
            Poll::Pending => {
                handed_over().await;
                match timeout_at(exchange.deadline(), uncancelled(exchange, work)).await {
                    Ok(Some(result)) => result,
                    // Nobody waits for an answer.
                    Ok(None) => return,
                    Err(_) => Err(exchange.timed_out()),
                }
            }
        }
        // The work ends before its caller hears of it: what it held is free again.
    };
    order.answer(result);
}

/// Ends with the poll it is in: what comes after it happens in the next.
async fn handed_over() {
    let mut again = false;
    poll_fn(|_| if mem::replace(&mut again, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Goes on with the work until its caller goes away.
async fn uncancelled<C, R>(
    exchange: &Exchange<C, R>,
    mut work: impl Future<Output = Result<R, Failure>> + Unpin,
) -> Option<Result<R, Failure>> {
    poll_fn(|context| {
        if exchange.is_cancelled(context) {
            return Poll::Ready(None);
        }
        Pin::new(&mut work).poll(context).map(Some)
    })
    .await
}

/// A task's place in the list of those under way.
struct Listed {
    vitals: Rc<Vitals>,
    key: usize,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.vitals.tasks.borrow_mut().try_remove(self.key);
    }
}

/// Asks whether the downstream is well.
pub(crate) struct Check;

impl Message for Check {
    type Result = Result<(), Failure>;
}

impl<D: Downstream> Handler<Check> for Shard<D> {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, _: Check, _: &mut Self::Context) -> Self::Result {
        let downstream = Rc::clone(&self.downstream);
        Box::pin(async move { downstream.check().await })
    }
}

/// One attempt, and the judgement of its end.
async fn attempt<D: Downstream, C: Call<D>>(
    downstream: &D,
    exchange: &Exchange<C, C::Reply>,
) -> Result<C::Reply, Failure> {
    let result = exchange.call().attempt(downstream, &exchange.attempt).await;
    judge::<D, C>(exchange, result)
}

/// What the call and its settings make of an attempt's end.
pub(crate) fn judge<D: Downstream, C: Call<D>>(
    exchange: &Exchange<C, C::Reply>,
    result: Result<C::Reply, Failure>,
) -> Result<C::Reply, Failure> {
    result
        .and_then(|reply| exchange.call().judge(&reply).map(|()| reply))
        .map_err(|failure| exchange.state.settings.classify.apply(failure))
}

/// Turns a panic of the work into its failure, be it in its midst or when it is dropped.
struct Guarded<'a, F> {
    work: Pin<&'a mut Option<F>>,
    vitals: &'a Vitals,
    span: &'a Span,
}

impl<R, F: Future<Output = Result<R, Failure>>> Future for Guarded<'_, F> {
    type Output = Result<R, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { work, vitals, span } = &mut *self;
        let _entered = span.enter();
        let poll = || {
            let poll = work.as_mut().as_pin_mut()?.poll(context);
            if poll.is_ready() {
                work.set(None);
            }
            Some(poll)
        };
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(poll) => poll.unwrap_or(Poll::Pending),
            Err(payload) => {
                vitals.panicked();
                Poll::Ready(Err(Failure::panicked("the attempt", panic_text(&*payload))))
            }
        }
    }
}

impl<F> Drop for Guarded<'_, F> {
    /// What was cut off has its end by now: a panic does not change it.
    fn drop(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.work.set(None))).is_err() {
            self.vitals.panicked();
        }
    }
}

/// The text that a panic came with.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
