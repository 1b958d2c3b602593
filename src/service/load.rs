//! Kept replies: looking one up, and loading one for all who wait for it.
//!
//! A load is a task of the service's: it has its own permits and the service's timeout, and goes on when the caller that
//! started it goes away, for others wait for it too.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{runtime::Handle, time::timeout_at};

use super::{
    CallState, Environment, Shared, State, attempt::Reply, carried::Carried, guard::BreakerGuard,
    invalidation::EVERYTHING, pipeline, plan::Plan,
};
use crate::{
    cache::{Displaced, Entry, Flight, Joined, Partition, with_key},
    call::{Answer, Call, CallError, Context, Origin, Reason, Sharing, TagWriter},
    downstream::{Blame, Downstream, Failure, Reached, Stage},
    policy::freshness::{CacheSettings, Freshness, Per, Verdict},
    telemetry::Lookup,
    units::Tick,
};

/// What a look-up found.
pub(crate) enum Looked<R> {
    /// The call is not cached.
    Uncached,
    /// An answer. `refresh` says under which key to load a newer one in the background.
    Hit { answer: Answer<R>, refresh: Option<Box<[u8]>> },
    /// Nothing that may be served, but perhaps something for when the load fails.
    Miss { key: Box<[u8]>, stale: Option<Box<Stale>> },
}

/// An entry past its time, that may be served in place of an error.
pub(crate) struct Stale {
    entry: Entry,
}

impl Stale {
    pub(crate) fn answer<R: 'static>(self, environment: &Environment) -> Answer<R> {
        let age = self.entry.freshness.age(environment.now());
        Answer::shared(self.entry.reply, Origin::Stale, age)
    }
}

/// Looks for a kept reply to `call`.
pub(crate) fn look_up<D: Downstream, C: Call<D>>(
    service: &Shared<D>,
    state: &CallState,
    call: &C,
    plan: &Plan,
    refresh: bool,
) -> Looked<C::Reply> {
    let (Some(settings), Some(_)) = (&state.settings.cache, C::sharing()) else { return Looked::Uncached };
    if !settings.is_on() {
        return Looked::Uncached;
    }
    let looked = with_key(
        service.state.number,
        C::NAME,
        partition(settings),
        plan.context.as_ref(),
        |key| call.cache_key(key),
        |key| judge::<D, C::Reply>(service, state, settings, key, plan, refresh),
    );
    match looked {
        Some((looked, found)) => {
            state.metrics().looked_up(found);
            looked
        }
        None => {
            state.metrics().looked_up(Lookup::Bypass);
            Looked::Uncached
        }
    }
}

fn partition(settings: &CacheSettings) -> Partition {
    match settings.per {
        Per::Service => Partition::Service,
        Per::Tenant => Partition::Tenant,
        Per::Principal => Partition::Principal,
    }
}

fn judge<D: Downstream, R: 'static>(
    service: &Shared<D>,
    state: &CallState,
    settings: &CacheSettings,
    key: &[u8],
    plan: &Plan,
    refresh: bool,
) -> (Looked<R>, Lookup) {
    let environment = &service.state.environment;
    let memory = &environment.memory;
    let miss = |stale| (Looked::Miss { key: key.into(), stale }, Lookup::Miss);
    let negative = || if settings.negative_ttl.is_zero() { None } else { memory.get_negative(key) };
    let Some(entry) = memory.get(key).or_else(negative) else { return miss(None) };
    if !service.state.is_current(state, entry.tags.as_deref(), entry.loaded) {
        drop(memory.remove(key));
        return miss(None);
    }
    let verdict = entry.freshness.judge(plan.started, || environment.random());
    let age = entry.freshness.age(plan.started);
    let hit = |entry: Entry, origin, refresh: bool, found| {
        let answer = Answer::shared(entry.reply, origin, age);
        (Looked::Hit { answer, refresh: refresh.then(|| key.into()) }, found)
    };
    match verdict {
        _ if refresh => miss((verdict != Verdict::Gone).then_some(Box::new(Stale { entry }))),
        Verdict::Fresh if entry.negative => hit(entry, Origin::Cached, false, Lookup::Negative),
        Verdict::Fresh => hit(entry, Origin::Cached, false, Lookup::Fresh),
        Verdict::Early => hit(entry, Origin::Cached, true, Lookup::Fresh),
        Verdict::Revalidate => hit(entry, Origin::Stale, true, Lookup::Stale),
        Verdict::StaleIfError => miss(Some(Box::new(Stale { entry }))),
        Verdict::Gone => {
            drop(memory.remove(key));
            miss(None)
        }
    }
}

/// Loads a newer reply in the background, unless somebody does already, or the breaker would refuse it.
pub(crate) fn refresh<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: C,
    plan: &Plan,
    key: Box<[u8]>,
) {
    let refused = |breaker: &Arc<BreakerGuard>| breaker.look(state, plan.priority, plan.started).is_err();
    if state.breaker.as_ref().is_some_and(refused) {
        return;
    }
    if let (Some(sharing), Ok(_)) = (C::sharing(), Handle::try_current())
        && let Joined::Lead(flight) = join(service, state, &call, &key)
    {
        start(service, state, Arc::new(call), plan, key, flight, sharing);
    }
}

/// Loads the reply to `call`, or waits for the load that is under way.
pub(crate) async fn load<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &Arc<C>,
    plan: &Plan,
    key: Box<[u8]>,
    sharing: Sharing<C::Reply>,
) -> Result<Answer<C::Reply>, CallError> {
    let coalesce = state.settings.cache.as_ref().is_some_and(|cache| cache.coalesce);
    let flight = match join(service, state, &**call, &key) {
        Joined::Follow(flight) if coalesce => {
            state.metrics().coalesced.add_one();
            flight
        }
        Joined::Follow(_) => {
            // Somebody loads it, and the settings want every caller to ask by himself.
            let mut call = Carried::Shared(Arc::clone(call));
            let reply = pipeline::attempts(service, state, &mut call, plan).await?;
            return Ok(Answer::owned(reply.value, Origin::Fresh));
        }
        Joined::Lead(flight) => {
            start(service, state, Arc::clone(call), plan, key, Arc::clone(&flight), sharing);
            flight
        }
    };
    match timeout_at(plan.deadline, flight.landed()).await {
        Ok(Ok(entry)) => {
            Ok(Answer::shared(Arc::clone(&entry.reply), Origin::Fresh, std::time::Duration::ZERO))
        }
        Ok(Err(error)) => Err(error.clone()),
        Err(_) => Err(state.timed_out(Stage::Coalesce, plan, None)),
    }
}

fn join<D: Downstream, C: Call<D>>(service: &Shared<D>, state: &CallState, call: &C, key: &[u8]) -> Joined {
    let State { environment, flights, .. } = &*service.state;
    let began = environment.generations.now();
    let is_current = |flight: &Flight| service.state.is_current(state, flight.tags.as_deref(), flight.began);
    match flights.follow(key, is_current) {
        Some(flight) => Joined::Follow(flight),
        // The call's own code, which may call again from here: so between two locks.
        None => flights.join(key, began, tags(service, call), is_current),
    }
}

/// The tags of a call's reply; `None` for none.
fn tags<D: Downstream, C: Call<D>>(service: &Shared<D>, call: &C) -> Option<Arc<[u64]>> {
    let mut writer = TagWriter::default();
    call.tags(&mut writer);
    match writer.hashes() {
        Some([]) => None,
        Some(tags) => Some(tags.iter().map(|tag| service.state.tag(*tag)).collect()),
        // Too many to keep: whatever is invalidated in this service, this is too.
        None => Some(Arc::from([service.state.tag(EVERYTHING)])),
    }
}

/// Forgets the reply to `call`.
pub(crate) fn forget<D: Downstream, C: Call<D>>(service: &Shared<D>, call: &C) -> Result<(), CallError> {
    let state = service.state.register::<D, C>().map_err(|reason| service.state.rejected(C::NAME, reason))?;
    let Some(settings) = &state.settings.cache else { return Ok(()) };
    let partition = partition(settings);
    Context::with_current(|context| {
        if !partition.is_told(context) {
            let whose = format!(
                "replies to it are kept by {}: forget one in a context that says whose",
                partition.word()
            );
            return Err(state.rejected(Reason::BadCall(whose.into())));
        }
        with_key(
            service.state.number,
            C::NAME,
            partition,
            context,
            |key| call.cache_key(key),
            |key| service.state.flights.outdate(key, || state.environment.memory.remove(key)),
        );
        Ok(())
    })
}

/// Starts a load as a task of the service's.
fn start<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: Arc<C>,
    plan: &Plan,
    key: Box<[u8]>,
    flight: Arc<Flight>,
    sharing: Sharing<C::Reply>,
) {
    state.metrics().loads.add_one();
    service.take_seat();
    let plan = plan.of_load(state, state.environment.now());
    let landing = Landing {
        service: Arc::clone(service),
        state: Arc::clone(state),
        key,
        began: plan.started,
        flight,
        landed: AtomicBool::new(false),
    };
    state.environment.begin_call();
    let load = async move {
        let mut carried = Carried::Shared(Arc::clone(&call));
        let outcome = pipeline::attempts(&landing.service, &landing.state, &mut carried, &plan).await;
        landing.land(outcome.map(|reply| {
            let negative = call.is_negative(&reply.value);
            landing.entry(reply, negative, sharing)
        }));
    };
    drop(tokio::spawn(load));
}

/// A load that is under way: it lands whatever happens, or all who wait would wait for ever.
struct Landing<D: Downstream> {
    service: Arc<Shared<D>>,
    state: Arc<CallState>,
    key: Box<[u8]>,
    began: Tick,
    flight: Arc<Flight>,
    landed: AtomicBool,
}

impl<D: Downstream> Landing<D> {
    fn entry<R>(&self, reply: Reply<R>, negative: bool, sharing: Sharing<R>) -> Entry {
        let environment = &self.state.environment;
        let settings = self.state.settings.cache.clone().unwrap_or_default();
        let (now, random) = (environment.now(), environment.random());
        let freshness = if negative {
            Freshness::negative(&settings, settings.jitter, now, random)
        } else {
            let jitter = self.state.waves().jitter(settings.jitter, settings.ttl, now);
            Freshness::stamp(&settings, jitter, now.since(self.began), now, random)
        };
        Entry {
            bytes: (reply.bytes.max(size_of::<R>())) as u64,
            reply: sharing.share(reply.value),
            freshness,
            loaded: self.flight.began,
            tags: self.flight.tags.clone(),
            negative,
        }
    }

    fn land(&self, outcome: Result<Entry, CallError>) {
        self.landed.store(true, Ordering::Relaxed);
        self.service.state.flights.land(&self.key, &self.flight, outcome, |outcome| self.store(outcome));
    }

    /// Keeps a load's outcome, where it may be kept.
    fn store(&self, outcome: &Result<Entry, CallError>) -> Displaced {
        let memory = &self.state.environment.memory;
        let settings = self.state.settings.cache.as_ref();
        let fits = |entry: &Entry, settings: &CacheSettings| {
            entry.bytes <= settings.max_entry.get() && !(entry.negative && settings.negative_ttl.is_zero())
        };
        match outcome {
            Ok(entry)
                if settings.is_some_and(|settings| fits(entry, settings))
                    && self.service.state.is_settled(entry.tags.as_deref(), self.began) =>
            {
                memory.insert(&self.key, entry.clone())
            }
            // What was kept before is out of date, or nobody knows.
            Ok(_) => memory.remove(&self.key),
            // It was asked for, and is not there any more, or not for everybody: it does not come back as a stale reply.
            Err(error) if !error.blame().allows_fallback() => memory.remove(&self.key),
            Err(_) => Displaced::new(),
        }
    }
}

impl<D: Downstream> Drop for Landing<D> {
    fn drop(&mut self) {
        if !*self.landed.get_mut() {
            self.land(Err(self.state.lost_load()));
        }
        self.state.environment.end_call();
    }
}

impl CallState {
    fn lost_load(&self) -> CallError {
        let failure =
            Failure::new(Blame::Local, "the load that it waited for was cut off").reached(Reached::Maybe);
        CallError::failed(Arc::clone(&self.service), self.name, failure)
    }
}
