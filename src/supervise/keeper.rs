use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::{AsyncContext, Context};
use futures_util::{
    FutureExt,
    future::{Either, select},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::watchdog;
use crate::{
    call::chain,
    downstream::{Downstream, OpenError},
    policy::restart::{Next, Restarts},
    service::{
        Closed, Occupancy, Phase, Request, Seat, Shard, Shared, Vitals, leave_seat, panic_text, set_shard,
    },
    telemetry::{Cause, What},
    units::Tick,
};

/// How long closing a pool may take before it is dropped as it is.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Panics of attempts reopen a pool at most this often.
const PANIC_SILENCE: Duration = Duration::from_secs(60);

/// Keeps a seat occupied, on the thread that it is polled on, until it is asked to leave.
pub(crate) fn keep<D: Downstream>(
    service: Arc<Shared<D>>,
    seat: Arc<Seat<D>>,
) -> Pin<Box<dyn Future<Output = ()>>> {
    let settings = service.state.table().settings.restart.clone();
    // Made before its first poll: should that never come, the seat is vacant again all the same.
    let restarts = Restarts::new(settings);
    let keeper = Keeper { restarts, failed: false, panicked: None, former: Vec::new(), service, seat };
    Box::pin(async move {
        watchdog::attend(&keeper.service.state.environment);
        keeper.run().await;
    })
}

struct Keeper<D: Downstream> {
    service: Arc<Shared<D>>,
    seat: Arc<Seat<D>>,
    restarts: Restarts,
    /// Whether this seat's restarts went over their intensity.
    failed: bool,
    /// When the pool was last reopened because attempts panicked.
    panicked: Option<Tick>,
    /// Shards whose place another has taken, and that still wind up or have attempts under way.
    former: Vec<Former>,
}

/// A shard whose place another has taken.
struct Former {
    vitals: Rc<Vitals>,
    wound_up: JoinHandle<()>,
}

/// Why a shard is not there any more.
enum End {
    Retired,
    Renewed,
    /// Somebody wanted another pool: no sign that this one was ill.
    Replaced,
    Died(Cause),
}

impl<D: Downstream> Keeper<D> {
    async fn run(mut self) {
        let mut again = false;
        loop {
            // Opening => Open | Closed
            let opened = self.open(again).await;
            again = true;
            let error = match opened {
                Ok(downstream) => match self.serve(downstream).await {
                    // Open => Retired
                    End::Retired => return self.occupy(Occupancy::Retired),
                    // Open => Opening
                    End::Renewed => {
                        self.restarts = Restarts::new(self.service.state.table().settings.restart.clone());
                        continue;
                    }
                    // Open => Opening. Panics are the calls' own, and no reason to fail the service.
                    End::Died(Cause::AttemptPanics) => {
                        self.panicked = Some(self.service.state.environment.now());
                        self.restarted(Cause::AttemptPanics);
                        continue;
                    }
                    // Open => Opening
                    End::Replaced => {
                        self.restarted(Cause::Requested);
                        continue;
                    }
                    // Open => Opening | Closed
                    End::Died(cause) => {
                        self.restarted(cause);
                        OpenError::new(format!("its shard ended: {}", cause.word()))
                    }
                },
                Err(error) => error,
            };
            // Closed => Opening | Retired
            if self.rest(error).await == Some(Request::Retire) {
                self.end_former().await;
                return self.occupy(Occupancy::Retired);
            }
            self.occupy(Occupancy::Opening);
        }
    }

    /// Opens a pool by the settings of now. Reopening waits its turn: a recovery must be no storm of connections.
    async fn open(&self, again: bool) -> Result<Rc<D>, OpenError> {
        let Some(opening) = self.service.opening() else { return Err(OpenError::new("a mock has no pool")) };
        let environment = &self.service.state.environment;
        let _turn = if again { environment.reopenings.acquire().await.ok() } else { None };
        let limit = opening.context.connect_timeout();
        // Made inside of the guarded future: a panic before its first await is one too.
        let open = async { D::open(&opening.settings, &opening.context).await };
        match timeout(limit, AssertUnwindSafe(open).catch_unwind()).await {
            Ok(Ok(opened)) => opened.map(Rc::new),
            Ok(Err(payload)) => {
                Err(OpenError::new(format!("opening it panicked: {}", panic_text(&*payload))))
            }
            Err(_) => {
                Err(OpenError::new(format!("opening it took longer than its connect_timeout of {limit:?}")))
            }
        }
    }

    /// Runs a shard on the opened pool for as long as it lives.
    async fn serve(&mut self, downstream: Rc<D>) -> End {
        let vitals = Rc::new(Vitals::new());
        let context = Context::<Shard<D>>::new();
        let address = context.address();
        let shard = Shard { downstream: Rc::clone(&downstream), vitals: Rc::clone(&vitals) };
        let mut running = actix_rt::spawn(context.into_future(shard));
        self.restarts.opened(self.service.state.environment.now());
        self.occupy(Occupancy::Open(address));
        self.emit(What::PoolOpened { thread: Arc::clone(&self.seat.thread) });
        if std::mem::take(&mut self.failed) && self.service.state.recovered() {
            self.emit(What::ServiceRecovered);
        }

        let end = {
            let asked = pin!(self.seat.asked());
            let broken = pin!(self.suspect(&vitals));
            match select(&mut running, select(asked, broken)).await {
                Either::Left((Ok(()), _)) => End::Died(Cause::Stopped),
                Either::Left((Err(_), _)) => End::Died(Cause::Panic),
                Either::Right((Either::Left((Request::Retire, _)), _)) => End::Retired,
                Either::Right((Either::Left((Request::Renew, _)), _)) => End::Renewed,
                Either::Right((Either::Left((Request::Reopen(Cause::Requested), _)), _)) => End::Replaced,
                Either::Right((Either::Left((Request::Reopen(cause), _)), _)) => End::Died(cause),
                Either::Right((Either::Right(_), _)) => End::Died(Cause::AttemptPanics),
            }
        };
        // With its last address the shard ends, after what its mailbox holds.
        self.occupy(Occupancy::Opening);
        self.former.retain(|former| !former.wound_up.is_finished() || !former.vitals.is_idle());
        if matches!(end, End::Retired) {
            vitals.abort();
            wind_up(running, downstream, Some(&vitals)).await;
            self.end_former().await;
        } else {
            // Its successor does not wait for it.
            let wound_up = actix_rt::spawn(wind_up(running, downstream, None));
            self.former.push(Former { vitals, wound_up });
        }
        end
    }

    /// Cuts off what is under way on shards that are not there any more, and waits until their pools are closed.
    async fn end_former(&mut self) {
        self.former.iter().for_each(|former| former.vitals.abort());
        for Former { vitals, wound_up } in self.former.drain(..) {
            let _ = wound_up.await;
            vitals.abort();
        }
    }

    /// Waits as long as the restart policy has it, or until something is asked.
    async fn rest(&mut self, error: OpenError) -> Option<Request> {
        let environment = Arc::clone(&self.service.state.environment);
        let now = environment.now();
        let (wait, failed) = match self.restarts.record(now, environment.random()) {
            Next::Restart { after } => (after, false),
            Next::Fail { probe_after } => (probe_after, true),
        };
        if wait.is_zero() {
            return None;
        }
        let text: Arc<str> = chain(&error).into();
        self.emit(What::PoolFailed {
            thread: Arc::clone(&self.seat.thread),
            error: Arc::clone(&text),
            retry_in: wait,
        });
        if failed && !std::mem::replace(&mut self.failed, true) && self.service.state.failed() {
            self.emit(What::ServiceFailed { error: text, probe_in: wait });
        }
        self.occupy(Occupancy::Closed(Closed {
            until: now.after(wait),
            failed,
            failures: self.restarts.in_a_row(),
            error,
        }));
        let asked = pin!(self.seat.asked());
        let rested = pin!(sleep(wait));
        match select(asked, rested).await {
            Either::Left((request, _)) => Some(request),
            Either::Right(_) => None,
        }
    }

    /// Waits until so many attempts panicked that the pool itself may be broken; not again soon after that was tried.
    async fn suspect(&self, vitals: &Vitals) {
        loop {
            vitals.broken.notified().await;
            let now = self.service.state.environment.now();
            if self.panicked.is_none_or(|last| now.since(last) > PANIC_SILENCE) {
                return;
            }
        }
    }

    /// Says who sits there: to all, and to this thread's own calls.
    fn occupy(&self, occupancy: Occupancy<D>) {
        let here = match &occupancy {
            Occupancy::Open(shard) if self.seat.lane.is_none() => Some(shard.clone()),
            _ => None,
        };
        set_shard(self.service.state.id, here);
        self.seat.set(occupancy);
    }

    fn restarted(&self, cause: Cause) {
        self.service.state.metrics.restarted(cause);
        self.emit(What::ShardRestarted { thread: Arc::clone(&self.seat.thread), cause });
    }

    fn emit(&self, what: What) {
        self.service.state.environment.events.emit(Some(&self.service.state.name), what);
    }
}

/// Lets a shard end, and closes its pool; each may take so long. The attempts of `cut_off` end in between.
async fn wind_up<D: Downstream>(mut running: JoinHandle<()>, downstream: Rc<D>, cut_off: Option<&Vitals>) {
    if !running.is_finished() && timeout(CLOSE_TIMEOUT, &mut running).await.is_err() {
        running.abort();
    }
    // What its mailbox held has been begun since.
    if let Some(vitals) = cut_off {
        vitals.abort();
    }
    let close = async { downstream.close().await };
    let _ = timeout(CLOSE_TIMEOUT, AssertUnwindSafe(close).catch_unwind()).await;
}

impl<D: Downstream> Drop for Keeper<D> {
    /// The keeper leaves, or its thread ends under it: the next call brings another.
    fn drop(&mut self) {
        // It leaves once its seat is retired; if not, it was dropped in the midst of its work.
        let ended = self.seat.with(|occupancy| matches!(occupancy, Occupancy::Open(_)));
        if ended && self.service.state.environment.phase() == Phase::Running {
            self.restarted(Cause::ThreadEnded);
        }
        if std::mem::take(&mut self.failed) {
            self.service.state.recovered();
        }
        self.occupy(Occupancy::Vacant);
        if self.seat.with(|occupancy| matches!(occupancy, Occupancy::Retired)) {
            leave_seat(self.service.state.id);
        }
    }
}
