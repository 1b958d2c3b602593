use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context as TaskContext, Waker},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{
    Forced, Rules, Seat, Sending, State,
    exchange::{Exchange, Order},
    invalidation,
    keyed::KeyPolicies,
    load,
    seat::{Dispatch, Occupancy, Request, Served, Shut},
    threads::{self, Place},
};
use crate::{
    call::{self, Call, CallError, Reason, TagWriter},
    downstream::{Downstream, OpenContext, Shards},
    telemetry::{Cause, What},
    units::Tick,
};

/// A service of kind `D`, as its callers hold it: reads like actix's `Addr`, and may be cloned and sent anywhere.
pub struct Service<D: Downstream> {
    pub(crate) shared: Arc<Shared<D>>,
}

/// What all handles of a service share, and its shards.
pub(crate) struct Shared<D: Downstream> {
    pub(crate) state: Arc<State>,
    /// A mock's rules, which stand in for the shards.
    pub(crate) rules: Option<Arc<Rules>>,
    shards: Option<Seats<D>>,
}

/// Where a service's shards are, and how one is made.
struct Seats<D: Downstream> {
    opening: ArcSwap<Opening<D>>,
    keep: Keep<D>,
    /// Seats on the runtime's own threads, by lane.
    on_lanes: Vec<Mutex<Weak<Seat<D>>>>,
    all: Mutex<Vec<Weak<Seat<D>>>>,
    shut: Shut,
}

/// What a pool is opened with; swapped by a reload.
pub(crate) struct Opening<D: Downstream> {
    pub(crate) settings: D::Settings,
    pub(crate) context: OpenContext,
}

/// Keeps a seat occupied, on the thread that it is polled on, until it is asked to leave.
pub(crate) type Keep<D> = fn(Arc<Shared<D>>, Arc<Seat<D>>) -> Pin<Box<dyn Future<Output = ()>>>;

/// Calls sent with `do_send` that may be unanswered at once.
const MAX_UNANSWERED: usize = 1024;

impl<D: Downstream> Service<D> {
    pub(crate) fn new(state: Arc<State>, opening: Opening<D>, keep: Keep<D>) -> Self {
        let lanes = state.environment.lanes.count();
        let shards = Seats {
            opening: ArcSwap::from_pointee(opening),
            keep,
            on_lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            all: Mutex::default(),
            shut: Shut::default(),
        };
        Self { shared: Arc::new(Shared { state, rules: None, shards: Some(shards) }) }
    }

    pub(crate) fn mocked(state: Arc<State>, rules: Arc<Rules>) -> Self {
        Self { shared: Arc::new(Shared { state, rules: Some(rules), shards: None }) }
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.shared.state.name
    }

    /// Sends a call: set options on what comes back, and await it.
    pub fn send<C: Call<D>>(&self, call: C) -> Sending<'_, D, C> {
        Sending::new(self, call)
    }

    /// Sends a call whose answer nobody waits for. A failure is told to the runtime's events; a drain waits for it.
    /// No more than 1,024 may be unanswered at once.
    pub fn do_send<C: Call<D>>(&self, call: C) {
        self.send_unanswered(call, None);
    }

    pub(crate) fn send_unanswered<C: Call<D>>(&self, call: C, key: Option<Arc<KeyPolicies>>) {
        let state = &self.shared.state;
        let refuse = |reason| {
            let error = state.rejected(C::NAME, reason);
            state.environment.events.emit(Some(&state.name), What::Unanswered(error));
        };
        if tokio::runtime::Handle::try_current().is_err() {
            return refuse(Reason::NoRuntime);
        }
        let unanswered = Unanswered(Arc::clone(state));
        if state.unanswered.fetch_add(1, Ordering::Relaxed) >= MAX_UNANSWERED {
            return refuse(Reason::TooManyUnanswered { max: MAX_UNANSWERED });
        }
        let service = self.clone();
        let mut sent = Box::pin(async move {
            if let Err(error) = service.send(call).keyed(key).await {
                let state = &unanswered.0;
                state.environment.events.emit(Some(&state.name), What::Unanswered(error));
            }
            drop(unanswered);
        });
        // From its first poll on it counts as under way: a drain that begins right after this waits for it.
        if sent.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending() {
            call::spawn(sent);
        }
    }

    /// Forgets the kept reply to `call`, and keeps a load of it that is under way from being kept.
    ///
    /// # Errors
    /// If the call itself is not right, as [`send`](Self::send) would say; or if replies to it are kept by tenant or
    /// principal, and this is called outside of any [`Context`](crate::call::Context) that says whose is to be forgotten.
    pub fn invalidate<C: Call<D>>(&self, call: &C) -> Result<(), CallError> {
        load::forget(&self.shared, call)
    }

    /// Forgets all kept replies to calls of type `C`, whatever their arguments.
    ///
    /// # Errors
    /// If the call itself is not right, as [`send`](Self::send) would say.
    pub fn invalidate_calls<C: Call<D>>(&self) -> Result<(), CallError> {
        let state = &self.shared.state;
        state.register::<D, C>().map_err(|reason| state.rejected(C::NAME, reason))?.clear();
        Ok(())
    }

    /// Forgets all kept replies that carry `tag`.
    pub fn invalidate_tag(&self, tag: impl fmt::Display) {
        let mut writer = TagWriter::default();
        writer.tag(tag);
        invalidation::invalidate_tags(&self.shared.state, &writer, Tick::ZERO);
    }

    /// Forgets all kept replies of this service.
    pub fn invalidate_all(&self) {
        self.shared.state.clear();
    }

    /// Closes the pool of every shard, and opens another. Attempts under way keep the old one.
    pub fn reopen(&self) {
        self.shared.ask(Request::Reopen(Cause::Requested));
    }

    /// Opens, disables or closes the service's breakers by hand: its own, and those of its calls and endpoints that are
    /// known by now. They stay so until told otherwise, or until a reload changes their settings. Kept replies and
    /// fallbacks are given as ever.
    ///
    /// Only in this process: what a whole fleet is to do, settings say.
    pub fn force_breakers(&self, forced: Forced) {
        self.shared.state.force(forced);
    }
}

/// One call that nobody waits for.
struct Unanswered(Arc<State>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<D: Downstream> Shared<D> {
    /// What the pools are opened with now.
    pub(crate) fn opening(&self) -> Option<Arc<Opening<D>>> {
        self.shards.as_ref().map(|shards| shards.opening.load_full())
    }

    /// Puts other settings in force: the pools are opened anew by them.
    pub(crate) fn renew(&self, opening: Opening<D>) {
        if let Some(shards) = &self.shards {
            shards.opening.store(Arc::new(opening));
            self.ask(Request::Renew);
        }
    }

    /// Asks something of the keepers of all seats.
    pub(crate) fn ask(&self, request: Request) {
        for seat in self.seats() {
            seat.ask(request);
        }
    }

    /// All seats there are.
    pub(crate) fn seats(&self) -> Vec<Arc<Seat<D>>> {
        let Some(shards) = &self.shards else { return Vec::new() };
        let mut all = shards.all.lock();
        all.retain(|seat| seat.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Sends an attempt to the shard that serves this thread.
    pub(crate) fn dispatch<C: Call<D>>(&self, exchange: &Arc<Exchange<C, C::Reply>>) -> Dispatch {
        let sent = threads::with_shard::<D, _>(self.state.id, |shard| shard.do_send(Order::new(exchange)));
        match sent {
            Some(()) => Dispatch::Sent(Served::Here),
            None => {
                let now = || self.state.environment.now();
                self.seat().map_or(Dispatch::Vacant, |seat| seat.dispatch(exchange, now))
            }
        }
    }

    /// The seat that serves this thread; around it, where its thread is blocked.
    pub(crate) fn seat(&self) -> Option<Arc<Seat<D>>> {
        let seat = threads::with_seat::<D, _>(self.state.id, Arc::clone)?;
        let Some(lane) = seat.lane else { return Some(seat) };
        let lanes = &self.state.environment.lanes;
        let around = lanes.around(lane, self.lanes());
        if around == lane { Some(seat) } else { self.seat_on(around) }
    }

    /// Why no attempt could be sent from this thread now, if so.
    pub(crate) fn refusal(&self, now: Tick) -> Option<Reason> {
        if self.shards.as_ref().is_none_or(|shards| shards.shut.is_none()) {
            return None;
        }
        threads::with_seat::<D, _>(self.state.id, |seat| seat.refusal(now)).flatten()
    }

    /// On how many lanes this service may have shards.
    fn lanes(&self) -> usize {
        let lanes = self.state.environment.lanes.count();
        match self.state.table().settings.pool.shards {
            Shards::PerThread => lanes,
            Shards::Count(count) => count.get().min(lanes),
        }
    }

    /// Sees to it that this thread has a seat, before a task is spawned whose calls need one: a task made with
    /// `tokio::spawn` cannot tell whether its thread runs local tasks.
    pub(crate) fn take_seat(self: &Arc<Self>) {
        if self.shards.is_some() && threads::with_seat::<D, _>(self.state.id, |_| ()).is_none() {
            // What stands against it, the attempt is told.
            let _ = self.bring_keeper();
        }
    }

    /// Brings a keeper to the seat that serves this thread, making the seat if there is none.
    ///
    /// # Errors
    /// If neither this thread nor the runtime's own can have one.
    pub(crate) fn bring_keeper(self: &Arc<Self>) -> Result<(), Reason> {
        if let Some(reason) = self.state.closed().filter(|reason| matches!(reason, Reason::NotRunning)) {
            return Err(reason);
        }
        let few = matches!(self.state.table().settings.pool.shards, Shards::Count(_));
        match threads::place() {
            Place::Nowhere => Err(Reason::NoRuntime),
            Place::Here if !few || self.state.environment.lanes.count() == 0 => self.keep_here(),
            Place::Here | Place::Elsewhere => self.keep_on_lane(),
        }
    }

    fn keep_here(self: &Arc<Self>) -> Result<(), Reason> {
        let id = self.state.id;
        let seat = threads::with_seat::<D, _>(id, Arc::clone).filter(|seat| seat.lane.is_none());
        let seat = seat.unwrap_or_else(|| {
            let seat = self.add(threads::thread_name(), None);
            threads::take_seat(id, Arc::clone(&seat));
            seat
        });
        let Some(claimed) = self.claim(seat) else { return Ok(()) };
        if threads::run_here(move || claimed.occupy()) {
            Ok(())
        } else {
            Err(Reason::NoThread("this thread's arbiter has stopped".into()))
        }
    }

    fn keep_on_lane(self: &Arc<Self>) -> Result<(), Reason> {
        let (id, among) = (self.state.id, self.lanes());
        let lanes = &self.state.environment.lanes;
        let lane = lanes.of_this_thread(among).ok_or(Reason::NoRuntime)?;
        if threads::with_seat::<D, _>(id, |seat| seat.lane.is_none()).unwrap_or(true) {
            let seat = self.seat_on(lane).ok_or(Reason::NoRuntime)?;
            threads::take_seat(id, seat);
        }
        let around = lanes.around(lane, among);
        let seat = self.seat_on(around).ok_or(Reason::NoRuntime)?;
        // Claimed from here, so that all who call until the lane's thread comes to it wait, and send it no further jobs.
        let Some(claimed) = self.claim(Arc::clone(&seat)) else { return Ok(()) };
        lanes
            .run(around, move || {
                threads::take_seat(id, seat);
                claimed.occupy();
            })
            .map_err(|error| Reason::NoThread(error.to_string().into()))
    }

    /// The seat on a lane, made when it is first asked for.
    fn seat_on(&self, lane: usize) -> Option<Arc<Seat<D>>> {
        let shards = self.shards.as_ref()?;
        let mut on_lane = shards.on_lanes.get(lane)?.lock();
        if let Some(seat) = on_lane.upgrade() {
            return Some(seat);
        }
        let seat = self.add(self.state.environment.lanes.name(lane), Some(lane));
        *on_lane = Arc::downgrade(&seat);
        Some(seat)
    }

    fn add(&self, thread: Arc<str>, lane: Option<usize>) -> Arc<Seat<D>> {
        let shut = self.shards.as_ref().map(|shards| shards.shut.clone()).unwrap_or_default();
        let seat = Arc::new(Seat::new(thread, lane, shut));
        if let Some(shards) = &self.shards {
            let mut all = shards.all.lock();
            all.retain(|seat| seat.strong_count() > 0);
            all.push(Arc::downgrade(&seat));
        }
        seat
    }

    /// Claims a seat for a new keeper, unless it has one.
    fn claim(self: &Arc<Self>, seat: Arc<Seat<D>>) -> Option<Claimed<D>> {
        seat.claim().then(|| Claimed { shared: Arc::clone(self), seat: Some(seat) })
    }
}

/// A seat that was claimed, on the way to its thread. Lost on the way, it is vacant again.
struct Claimed<D: Downstream> {
    shared: Arc<Shared<D>>,
    seat: Option<Arc<Seat<D>>>,
}

impl<D: Downstream> Claimed<D> {
    /// Starts the seat's keeper, on its own thread.
    fn occupy(mut self) {
        if let Some(shards) = &self.shared.shards
            && let Some(seat) = self.seat.take()
        {
            drop(actix_rt::spawn((shards.keep)(Arc::clone(&self.shared), seat)));
        }
    }
}

impl<D: Downstream> Drop for Claimed<D> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.set(Occupancy::Vacant);
        }
    }
}

impl<D: Downstream> Clone for Service<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D: Downstream> fmt::Debug for Service<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name()).field("kind", &D::KIND).finish()
    }
}
