//! Kept replies: looking one up, and loading one for all who wait for it.
//!
//! A load is a task of the service's: it has its own permits and the service's timeout, and goes on when the caller that
//! started it goes away, for others wait for it too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout_at};

use super::{
    CallState, Environment, Shared, State,
    attempt::Reply,
    carried::Carried,
    guard::BreakerGuard,
    invalidation::EVERYTHING,
    pipeline,
    plan::Plan,
    tier::{Keeping, Loaded, Mark, Wish, key_tag, through},
};
use crate::{
    cache::{Displaced, Entry, Flight, Joined, Partition, with_key},
    call::{Answer, Call, CallError, Context, Origin, Reason, Shared as SharedReply, Sharing, TagWriter},
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
        start(service, state, Arc::new(call), plan, key, flight, sharing, Wish::Newer);
    }
}

/// Loads the reply to `call`, or waits for the load that is under way. Where that fails, and another process has left a
/// reply that may be served in its place, `stale` is it.
pub(crate) async fn load<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: &Arc<C>,
    plan: &Plan,
    key: Box<[u8]>,
    sharing: Sharing<C::Reply>,
    stale: &mut Option<Box<Stale>>,
) -> Result<Answer<C::Reply>, CallError> {
    let looked = state.tier.is_some().then(|| key.clone());
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
            let wish = if plan.refresh { Wish::Own } else { Wish::Any };
            start(service, state, Arc::clone(call), plan, key, Arc::clone(&flight), sharing, wish);
            flight
        }
    };
    let error = match timeout_at(plan.deadline, flight.landed()).await {
        Ok(Ok(entry)) if entry.shared => {
            let now = state.environment.now();
            let origin = if entry.freshness.is_fresh(now) { Origin::Cached } else { Origin::Stale };
            return Ok(Answer::shared(Arc::clone(&entry.reply), origin, entry.freshness.age(now)));
        }
        Ok(Ok(entry)) => {
            return Ok(Answer::shared(Arc::clone(&entry.reply), Origin::Fresh, Duration::ZERO));
        }
        Ok(Err(error)) => error.clone(),
        Err(_) => state.timed_out(Stage::Coalesce, plan, None),
    };
    if let Some(key) = looked
        && stale.is_none()
        && let Some(entry) = state.environment.memory.get(&key)
        && service.state.is_current(state, entry.tags.as_deref(), entry.loaded)
        && !entry.freshness.useful_for(state.environment.now()).is_zero()
    {
        *stale = Some(Box::new(Stale { entry }));
    }
    Err(error)
}

pub(super) fn join<D: Downstream, C: Call<D>>(
    service: &Shared<D>,
    state: &CallState,
    call: &C,
    key: &[u8],
) -> Joined {
    let State { environment, flights, .. } = &*service.state;
    let began = environment.generations.now();
    let is_current = |flight: &Flight| service.state.is_current(state, flight.tags.as_deref(), flight.began);
    match flights.follow(key, is_current) {
        Some(flight) => Joined::Follow(flight),
        // The call's own code, which may call again from here: so between two locks.
        None => flights.join(key, began, tags(service, state, call, key), is_current),
    }
}

/// The tags of a call's reply; `None` for none. What lies in a tier too, carries its key as one, by which another process
/// may have it forgotten.
fn tags<D: Downstream, C: Call<D>>(
    service: &Shared<D>,
    state: &CallState,
    call: &C,
    key: &[u8],
) -> Option<Arc<[u64]>> {
    let mut writer = TagWriter::default();
    call.tags(&mut writer);
    let of_key = state.tier.as_ref().map(|_| key_tag(&service.state, key));
    match (writer.hashes(), of_key) {
        (Some([]), None) => None,
        (Some(tags), of_key) => Some(tags.iter().map(|tag| service.state.tag(*tag)).chain(of_key).collect()),
        // Too many to keep: whatever is invalidated in this service, this is too.
        (None, of_key) => Some([service.state.tag(EVERYTHING)].into_iter().chain(of_key).collect()),
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
            |key| {
                if let Some(tier) = &state.tier {
                    tier.tier.post(&service.state.name, [Mark::of_key(key)], Tick::ZERO);
                }
                drop(service.state.flights.outdate(key, || state.environment.memory.remove(key)));
            },
        );
        Ok(())
    })
}

/// Starts a load as a task of the service's.
#[allow(clippy::too_many_arguments)] // What a load is made of, once; a struct of it would be taken apart again here.
pub(super) fn start<D: Downstream, C: Call<D>>(
    service: &Arc<Shared<D>>,
    state: &Arc<CallState>,
    call: Arc<C>,
    plan: &Plan,
    key: Box<[u8]>,
    flight: Arc<Flight>,
    sharing: Sharing<C::Reply>,
    wish: Wish,
) {
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
        match (&landing.state.tier, C::codec()) {
            (Some(tier), Some(codec)) => {
                // In a box, so that loads without a tier need no room for it.
                Box::pin(through(&landing, &call, &plan, sharing, (tier, codec), wish)).await;
            }
            _ => landing.load(&call, &plan, sharing).await,
        }
    };
    drop(tokio::spawn(load));
}

/// A load that is under way: it lands whatever happens, or all who wait would wait for ever.
pub(crate) struct Landing<D: Downstream> {
    pub(super) service: Arc<Shared<D>>,
    pub(super) state: Arc<CallState>,
    pub(super) key: Box<[u8]>,
    began: Tick,
    pub(super) flight: Arc<Flight>,
    landed: AtomicBool,
}

impl<D: Downstream> Landing<D> {
    /// Asks the downstream, and lands.
    pub(super) async fn load<C: Call<D>>(&self, call: &Arc<C>, plan: &Plan, sharing: Sharing<C::Reply>) {
        let (outcome, _) = self.attempt(call, plan, sharing).await;
        self.land(outcome);
    }

    /// Asks the downstream; what came of it, and how long that took.
    pub(super) async fn attempt<C: Call<D>>(
        &self,
        call: &Arc<C>,
        plan: &Plan,
        sharing: Sharing<C::Reply>,
    ) -> Loaded {
        self.state.metrics().loads.add_one();
        let mut carried = Carried::Shared(Arc::clone(call));
        let outcome = pipeline::attempts(&self.service, &self.state, &mut carried, plan).await;
        let took = self.state.environment.now().since(plan.started);
        let entry = outcome.map(|reply| {
            let negative = call.is_negative(&reply.value);
            self.loaded(reply, negative, sharing, took)
        });
        (entry, took)
    }

    fn loaded<R>(&self, reply: Reply<R>, negative: bool, sharing: Sharing<R>, took: Duration) -> Entry {
        let environment = &self.state.environment;
        let settings = self.state.settings.cache.clone().unwrap_or_default();
        let (now, random) = (environment.now(), environment.random());
        let freshness = if negative {
            Freshness::negative(&settings, settings.jitter, now, random)
        } else {
            let jitter = self.state.waves().jitter(settings.jitter, settings.ttl, now);
            Freshness::stamp(&settings, jitter, took, now, random)
        };
        Entry {
            bytes: (reply.bytes.max(size_of::<R>())) as u64,
            reply: sharing.share(reply.value),
            freshness,
            loaded: self.flight.began,
            tags: self.flight.tags.clone(),
            negative,
            shared: false,
        }
    }

    /// Lands, and keeps nothing: what was loaded may be changing.
    pub(super) fn land_unkept(&self, outcome: Result<Entry, CallError>) {
        self.landed.store(true, Ordering::Relaxed);
        let forget = |_: &_| self.state.environment.memory.remove(&self.key);
        self.service.state.flights.land(&self.key, &self.flight, outcome, forget);
    }

    /// Whether an entry may be kept, for all that settings say.
    fn fits(&self, entry: &Entry) -> bool {
        self.state.settings.cache.as_ref().is_some_and(|settings| {
            entry.bytes <= settings.max_entry.get() && !(entry.negative && settings.negative_ttl.is_zero())
        })
    }

    pub(super) fn land(&self, outcome: Result<Entry, CallError>) {
        self.landed.store(true, Ordering::Relaxed);
        self.service.state.flights.land(&self.key, &self.flight, outcome, |outcome| self.store(outcome));
    }

    /// Keeps a load's outcome, where it may be kept.
    fn store(&self, outcome: &Result<Entry, CallError>) -> Displaced {
        let memory = &self.state.environment.memory;
        match outcome {
            Ok(entry)
                if self.fits(entry) && self.service.state.is_settled(entry.tags.as_deref(), self.began) =>
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

impl<D: Downstream> Keeping for Landing<D> {
    fn keep_stale(&self, entry: Entry) {
        // An invalidation that falls in between finds it outdated at the next look.
        drop(self.state.environment.memory.insert(&self.key, entry));
    }

    fn may_keep(&self, entry: &Entry) -> bool {
        self.fits(entry)
    }

    fn forget(&self) {
        drop(self.state.environment.memory.remove(&self.key));
    }

    fn post(&self, mark: Mark<'_>) {
        if let Some(tier) = &self.state.tier {
            tier.tier.post(&self.service.state.name, [mark], Tick::ZERO);
        }
    }

    fn entry(&self, reply: SharedReply, freshness: Freshness, bytes: usize, negative: bool) -> Entry {
        Entry {
            reply,
            freshness,
            loaded: self.flight.began,
            tags: self.flight.tags.clone(),
            bytes: bytes as u64,
            negative,
            shared: true,
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
