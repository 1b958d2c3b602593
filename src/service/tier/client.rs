use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Mark,
    calls::Asked,
    outbox::{Batch, Outbox},
    place::tag_of_key,
};
use crate::{
    call::{CallError, chain},
    downstream::{
        Blame, Heard, Stamp, TierFound, TierGet, TierInvalidate, TierKept, TierLease, TierLeased, TierPlace,
        TierPut, TierRelease,
    },
    policy::{
        blame::Verdict,
        breaker::{Breaker, BreakerSnapshot, Transition},
        tier,
    },
    service::{Environment, State},
    telemetry::{Counter, What},
    units::Tick,
};

/// A service that is a tier, whatever its kind.
pub(crate) trait Link: Send + Sync {
    fn get(self: Arc<Self>, ask: TierGet, within: Duration) -> Asked<TierFound>;
    fn lease(self: Arc<Self>, ask: TierLease, within: Duration) -> Asked<TierLeased>;
    fn put(self: Arc<Self>, ask: TierPut, within: Duration) -> Asked<TierKept>;
    fn release(self: Arc<Self>, ask: TierRelease, within: Duration) -> Asked<()>;
    fn invalidate(self: Arc<Self>, ask: TierInvalidate, within: Duration) -> Asked<()>;
}

/// The tiers of a runtime, by the name of their service.
#[derive(Default)]
pub(crate) struct Tiers {
    by_service: Mutex<BTreeMap<Arc<str>, Arc<Tier>>>,
}

/// One tier, as this process asks it.
pub(crate) struct Tier {
    service: Arc<str>,
    namespace: Arc<str>,
    environment: Weak<Environment>,
    link: Mutex<Option<Weak<dyn Link>>>,
    /// Not the service's: look-ups that were cut short by their askers say nothing about a service.
    breaker: Breaker,
    outbox: Mutex<Outbox>,
    /// How many wait in it, so that nobody has to look while none do.
    waiting: AtomicUsize,
    /// Something waits in the outbox.
    pub(super) posted: Notify,
    /// Nothing waits in it any more.
    told: Notify,
    /// The service's settings are others, or it is gone.
    pub(super) changed: Notify,
    /// Settings say that replies are kept in it: until then nobody listens to its news.
    wanted: AtomicBool,
    pub(super) first_wanted: Notify,
    is_heard: AtomicBool,
    users: Mutex<BTreeMap<Arc<str>, Weak<State>>>,
    news: Counter,
    flushes: Counter,
}

/// What a tier's process-wide figures are.
pub(crate) struct Standing {
    pub(crate) breaker: BreakerSnapshot,
    pub(crate) is_heard: bool,
    pub(crate) waiting: usize,
    pub(crate) news: u64,
    pub(crate) flushes: u64,
}

/// Why a tier gave no answer.
#[derive(Debug)]
pub(super) enum Silent {
    /// It is not asked for a while, or not there.
    NotAsked,
    /// It failed.
    Failed,
}

impl Tiers {
    /// The tier that is this service, be there one by now or not.
    pub(crate) fn of(&self, service: &str, environment: &Arc<Environment>) -> Arc<Tier> {
        let mut by_service = self.by_service.lock();
        if let Some(known) = by_service.get(service) {
            return Arc::clone(known);
        }
        let tier = Arc::new(Tier {
            service: service.into(),
            namespace: Arc::clone(&environment.fleet),
            environment: Arc::downgrade(environment),
            link: Mutex::default(),
            breaker: Breaker::new(tier::breaker(), environment.random(), environment.now()),
            outbox: Mutex::default(),
            waiting: AtomicUsize::new(0),
            posted: Notify::new(),
            told: Notify::new(),
            changed: Notify::new(),
            wanted: AtomicBool::new(false),
            first_wanted: Notify::new(),
            is_heard: AtomicBool::new(false),
            users: Mutex::default(),
            news: Counter::default(),
            flushes: Counter::default(),
        });
        by_service.insert(service.into(), Arc::clone(&tier));
        tier
    }

    /// Waits until all have heard what was invalidated here.
    pub(crate) async fn told(&self) {
        let tiers: Vec<_> = self.by_service.lock().values().cloned().collect();
        for tier in tiers {
            loop {
                let told = tier.told.notified();
                if tier.waiting.load(Ordering::Acquire) == 0 {
                    break;
                }
                told.await;
            }
        }
    }

    /// The tier that is this service, if any call has asked for it.
    pub(crate) fn find(&self, service: &str) -> Option<Arc<Tier>> {
        self.by_service.lock().get(service).cloned()
    }
}

impl Tier {
    pub(crate) fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// From now on the service is there, with these shards; or gone.
    pub(crate) fn link(&self, link: Option<Weak<dyn Link>>) {
        *self.link.lock() = link;
        self.changed.notify_one();
    }

    /// A service's replies are kept in it from now on, and it hears of what becomes of them.
    pub(crate) fn used_by(&self, state: &Arc<State>) {
        self.users.lock().insert(Arc::clone(&state.name), Arc::downgrade(state));
    }

    /// Settings say that replies are kept in it.
    pub(crate) fn want(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.first_wanted.notify_one();
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Whether the tier may have something here that was invalidated, and has not heard of it.
    pub(super) fn withholds(&self, place: &TierPlace) -> bool {
        self.waiting.load(Ordering::Acquire) > 0 && self.outbox.lock().is_about(place)
    }

    /// Tells the tier, as soon as it can be told, that something was invalidated, and until when it may go on changing.
    pub(crate) fn post<'a>(&self, group: &Arc<str>, marks: impl IntoIterator<Item = Mark<'a>>, held: Tick) {
        {
            let mut outbox = self.outbox.lock();
            for mark in marks {
                outbox.add(group, mark.to_string().into(), held);
            }
            self.waiting.store(outbox.len(), Ordering::Release);
        }
        self.posted.notify_one();
    }

    /// What is to be told next, after what failed last.
    pub(super) fn next_batch(&self, after: Option<&Arc<str>>) -> Option<Batch> {
        self.outbox.lock().next(after)
    }

    /// Tells the tier. Where that fails: why, unless the tier is not there.
    pub(super) async fn tell(&self, batch: &Batch, within: Duration) -> Result<(), Option<CallError>> {
        let environment = self.environment.upgrade().ok_or(None)?;
        let link = self.linked().ok_or(None)?;
        let ask = TierInvalidate {
            namespace: Arc::clone(&self.namespace),
            group: Arc::clone(&batch.group),
            epochs: batch.epochs.clone(),
            held: batch.held.since(environment.now()),
        };
        drop(environment);
        link.invalidate(ask, within).await.map_err(Some)?;
        let mut outbox = self.outbox.lock();
        outbox.heard(batch);
        self.waiting.store(outbox.len(), Ordering::Release);
        if outbox.len() == 0 {
            self.told.notify_waiters();
        }
        Ok(())
    }

    /// Whether it is heard now what other processes invalidate.
    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Acquire)
    }

    /// Whether its news was ever heard: there are tiers that have none, and what is kept beside them in memory is void
    /// without anybody's being told.
    pub(super) fn has_news(&self) -> bool {
        self.flushes.get() > 0
    }

    fn linked(&self) -> Option<Arc<dyn Link>> {
        self.link.lock().as_ref()?.upgrade()
    }

    /// Asks the tier, unless its breaker says that it is no use.
    pub(super) async fn ask<T>(
        &self,
        environment: &Environment,
        question: impl FnOnce(Arc<dyn Link>) -> Asked<T>,
    ) -> Result<T, Silent> {
        let link = self.linked().ok_or(Silent::NotAsked)?;
        let began = environment.now();
        let (permit, transition) = self.breaker.admit(began).map_err(|_| Silent::NotAsked)?;
        self.announce(environment, transition, None);
        // Dropped, it gives back its place as a probe.
        let mut slot = Slot { tier: self, permit: Some(permit), environment };
        let answer = question(link).await;
        let now = environment.now();
        let verdict = match &answer {
            Ok(_) => Verdict::Success,
            // It may have no room for more, and answer all the same what it has.
            Err(error) if error.blame() == Blame::Overload => Verdict::Neutral,
            Err(_) => Verdict::Failure,
        };
        if let Some(permit) = slot.permit.take() {
            let transition = self.breaker.record(permit, verdict, now.since(began), now);
            self.announce(environment, transition, answer.as_ref().err());
        }
        answer.map_err(|_| Silent::Failed)
    }

    fn announce(&self, environment: &Environment, transition: Option<Transition>, error: Option<&CallError>) {
        if let Some(transition) = transition {
            let (scope, shadow) = ("tier".into(), false);
            let last_error = error.map(|error| chain(error).into());
            let what = What::Breaker { scope, shadow, transition, last_error };
            environment.events.emit(Some(&self.service), what);
        }
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(crate) fn standing(&self, now: Tick) -> Standing {
        Standing {
            breaker: self.breaker.snapshot(now),
            is_heard: self.is_heard.load(Ordering::Acquire),
            waiting: self.waiting.load(Ordering::Acquire),
            news: self.news.get(),
            flushes: self.flushes.get(),
        }
    }

    pub(super) fn service(&self) -> &Arc<str> {
        &self.service
    }

    pub(super) fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    fn users(&self) -> Vec<Arc<State>> {
        self.users.lock().values().filter_map(Weak::upgrade).collect()
    }
}

/// A permit of the breaker's.
struct Slot<'a> {
    tier: &'a Tier,
    permit: Option<crate::policy::breaker::Permit>,
    environment: &'a Environment,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let now = self.environment.now();
            let _ = self.tier.breaker.record(permit, Verdict::Neutral, Duration::ZERO, now);
        }
    }
}

impl Heard for Tier {
    fn connected(&self) {
        self.is_heard.store(true, Ordering::Release);
        self.flushed();
    }

    /// What was invalidated since the copy was made, the tier has heard and lost: only all of it is sure to hold that.
    fn renewed(&self) {
        for state in self.users() {
            self.post(&state.name, [Mark::Service], Tick::ZERO);
        }
    }

    fn lost(&self) {
        self.is_heard.store(false, Ordering::Release);
    }

    fn invalidated(&self, group: &str, epoch: &str) {
        self.news.add_one();
        let state = self.users.lock().get(group).and_then(Weak::upgrade);
        let (Some(state), Some(mark)) = (state, Mark::of(epoch)) else { return };
        let void = |tag| state.environment.generations.invalidate(tag, Tick::ZERO);
        match mark {
            Mark::Service => state.clear(),
            Mark::Call(call) => {
                state.table().calls().filter(|known| known.name == call).for_each(|known| known.clear())
            }
            Mark::Tag(hash) => void(state.tag(hash)),
            Mark::Key(digest) => void(tag_of_key(&state, digest)),
        }
    }

    /// What is kept here of this tier's goes, all of it.
    fn flushed(&self) {
        self.flushes.add_one();
        for state in self.users() {
            let is_here = |tier: &Arc<Tier>| std::ptr::eq(&**tier, self);
            let table = state.table();
            let calls =
                table.calls().filter(|call| call.tier.as_ref().is_some_and(|tier| is_here(&tier.tier)));
            calls.for_each(|call| call.clear());
        }
    }
}

impl Environment {
    /// A stamp that nobody else makes: this process's own random part, and a count.
    pub(super) fn stamp(&self) -> Stamp {
        let mut stamp = Stamp::default();
        stamp[..8].copy_from_slice(&self.instance.to_le_bytes());
        stamp[8..].copy_from_slice(&self.stamps.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        stamp
    }
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_service.lock().keys()).finish()
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier").field("service", &self.service).finish_non_exhaustive()
    }
}
