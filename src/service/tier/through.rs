//! A load by way of the tier that processes share.
//!
//! ```text
//! look        an entry that may be served ends here, within the tier's budget
//! lease       who gets it loads for all processes; the others look again now and then, for the lease's time at most
//! load        as without a tier
//! keep        after all who waited have their answer: by the lease, and only if nothing was invalidated meanwhile
//! ```
//!
//! What goes wrong with the tier is a miss: it costs what is left of the budget, and the load is made as if there were
//! none. Whose lease it is, and what has been invalidated since, only the tier decides, in one step (`downstream/tier.rs`).
//! Clocks decide nothing but an entry's age, of which there are two witnesses: the writer's wall clock against ours, and the
//! tier's own clock. The older age counts, so that a clock that is wrong costs hits, and serves nothing past its time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;

use super::{CallTier, Mark, client::Silent};
use crate::{
    cache::{Entry, Envelope, Joined, MOST_ADDED},
    call::{Call, CallError, Codec, Context, Shared as SharedReply, Sharing},
    downstream::{
        Downstream, Stamp, TierFound, TierGet, TierKept, TierLease, TierLeased, TierPlace, TierPut,
        TierRelease,
    },
    policy::freshness::{CacheSettings, Freshness, Verdict},
    service::{
        CallState,
        load::{self, Landing},
        plan::Plan,
    },
    telemetry::Lookup,
    units::Tick,
};

/// What is wanted of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A reply that may be served.
    Any,
    /// One that nobody else would load anew already: a reply in memory is near its end.
    Newer,
    /// The downstream's own, now.
    Own,
}

/// How long a tier has to keep a reply, or to hear that none comes: nobody waits for it.
const KEEPING: Duration = Duration::from_secs(1);

/// How soon it is looked again for what another process loads, and how seldom at most.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const LOOK_SELDOM: Duration = Duration::from_millis(50);

/// How late a timer may be.
const TICK: Duration = Duration::from_millis(1);

/// By how much the tier's clock may round.
const ROUNDING: Duration = Duration::from_millis(100);

/// Entries of no use that are met in a row, in place of a lease, before the load is made without one.
const MOST_USELESS: u32 = 3;

/// Loads the reply to a call by way of its tier, and lands it.
pub(crate) async fn through<D: Downstream, C: Call<D>>(
    landing: &Landing<D>,
    call: &Arc<C>,
    plan: &Plan,
    sharing: Sharing<C::Reply>,
    (tier, codec): (&CallTier, Codec<C::Reply>),
    wish: Wish,
) {
    let Some(visit) = Visit::begin::<D, C>(landing, plan, sharing, tier, codec, wish) else {
        tier.figures.looked_up(Lookup::Bypass);
        let (outcome, _) = landing.attempt(call, plan, sharing).await;
        land_alone(landing, tier, outcome);
        return;
    };
    let leave = match visit.come().await {
        Came::With(entry) => {
            let stale = !entry.freshness.is_fresh(landing.state.environment.now());
            visit.land(landing, Ok(entry), true);
            if stale {
                refresh(landing, call, plan, sharing);
            }
            return;
        }
        Came::ToLoad(leave) => leave,
    };
    // The time with the tier is not taken from the load's own.
    let plan = plan.of_load(&landing.state, landing.state.environment.now());
    let (outcome, took) = landing.attempt(call, &plan, sharing).await;
    let is_kept = match &outcome {
        Ok(entry) => landing.may_keep(entry) || leave.finds_nothing(),
        Err(error) => error.blame().allows_fallback(),
    };
    if !is_kept {
        // What the tier has is older, and must not come back: before anybody can look again.
        landing.post(Mark::of_key(&landing.key));
    }
    match leave {
        Leave::Granted { stamp, epochs, is_empty } => {
            let reply = outcome.as_ref().ok().cloned();
            let supersedes = is_kept && reply.is_some() && !is_empty;
            visit.land(landing, outcome, true);
            if !visit.leave(reply, stamp, epochs, took).await && supersedes {
                landing.post(Mark::of_key(&landing.key));
            }
        }
        Leave::Unkept => visit.land(landing, outcome, false),
        Leave::Silent(stamp) => {
            land_alone(landing, tier, outcome);
            // Or others would wait for what does not come.
            visit.release(stamp).await;
        }
        Leave::None => land_alone(landing, tier, outcome),
    }
}

/// Lands what the tier has no part in. Memory stands in for a tier that is away, and is flushed when that is heard again; of
/// one that has no news it would never be.
fn land_alone<D: Downstream>(landing: &Landing<D>, tier: &CallTier, outcome: Result<Entry, CallError>) {
    if outcome.is_err() || tier.tier.has_news() {
        landing.land(outcome);
    } else {
        landing.land_unkept(outcome);
    }
}

/// Loads a newer reply in the background: the one that came is past its time.
fn refresh<D: Downstream, C: Call<D>>(
    landing: &Landing<D>,
    call: &Arc<C>,
    plan: &Plan,
    sharing: Sharing<C::Reply>,
) {
    let (service, state, key) = (&landing.service, &landing.state, landing.key.clone());
    if let Joined::Lead(flight) = load::join(service, state, &**call, &key) {
        load::start(service, state, Arc::clone(call), plan, key, flight, sharing, Wish::Newer);
    }
}

/// A load's visit to the tier.
struct Visit<'a, R> {
    tier: &'a CallTier,
    state: &'a CallState,
    settings: &'a CacheSettings,
    landing: &'a dyn Keeping,
    place: Arc<TierPlace>,
    context: Context,
    sharing: Sharing<R>,
    codec: Codec<R>,
    schema: u64,
    wish: Wish,
    /// How long others wait for this process, and this process for others.
    lease: Duration,
    /// How long what is kept may be of any use.
    lifetime: Duration,
}

/// What a visit needs of the load that it is made for, whatever its kind.
pub(crate) trait Keeping: Send + Sync {
    /// Puts a reply that may be served only in place of an error into memory.
    fn keep_stale(&self, entry: Entry);

    /// Whether a reply may be kept, for all that settings say. What was invalidated meanwhile, the tier knows best.
    fn may_keep(&self, entry: &Entry) -> bool;

    /// Drops what was kept.
    fn forget(&self);

    /// Has the tier forget it, too.
    fn post(&self, mark: Mark<'_>);

    /// What an entry from elsewhere carries.
    fn entry(&self, reply: SharedReply, freshness: Freshness, bytes: usize, negative: bool) -> Entry;
}

enum Came {
    With(Entry),
    ToLoad(Leave),
}

/// What the tier gives leave to.
enum Leave {
    /// To load for all. Where it `is_empty`, the tier has nothing that may be served to anybody.
    Granted { stamp: Stamp, epochs: Vec<Stamp>, is_empty: bool },
    /// To load for oneself, and to keep it nowhere.
    Unkept,
    /// Nothing: it did not answer. It may have granted the lease all the same.
    Silent(Stamp),
    /// Nothing: it was not asked, or another process is at it for too long.
    None,
}

impl Leave {
    /// Whether the tier has nothing that could be served in place of what is loaded.
    fn finds_nothing(&self) -> bool {
        match self {
            Self::Granted { is_empty, .. } => *is_empty,
            // All of it is void.
            Self::Unkept => true,
            Self::Silent(_) | Self::None => false,
        }
    }
}

/// What an entry of the tier's is good for.
enum Read {
    /// There is none.
    Nothing,
    /// To be served.
    Good(Entry),
    /// Nothing but an error's place, or nothing at all; this is what it begins with.
    Useless(Vec<u8>),
    /// Nothing, for anybody: it was invalidated.
    Void(Vec<u8>),
}

impl<'a, R: 'static> Visit<'a, R> {
    /// `None` where the tier is not to be asked: the key is too long, or the tier has not heard yet of what was voided.
    fn begin<D: Downstream, C: Call<D, Reply = R>>(
        landing: &'a Landing<D>,
        plan: &Plan,
        sharing: Sharing<R>,
        tier: &'a CallTier,
        codec: Codec<R>,
        wish: Wish,
    ) -> Option<Self> {
        let state = &*landing.state;
        let settings = state.settings.cache.as_ref()?;
        let tags = landing.flight.tags.as_deref().unwrap_or_default();
        let place = tier.place(&landing.service.state, state.name, &landing.key, tags, &codec)?;
        if tier.tier.withholds(&place) {
            return None;
        }
        let lifetime = settings.ttl + settings.stale_while_revalidate.max(settings.stale_if_error);
        Some(Self {
            tier,
            state,
            settings,
            landing,
            place,
            context: plan.context.clone().unwrap_or_default(),
            sharing,
            schema: CallTier::schema(C::NAME, &codec),
            codec,
            wish,
            lease: tier.settings.lease.min(state.settings.timeout / 2),
            lifetime,
        })
    }

    fn now(&self) -> Tick {
        self.state.environment.now()
    }

    /// Lands what came from the tier, or was loaded by its leave. While its news is not heard, nobody would tell that it is
    /// void: then it is kept in the tier alone, which knows.
    fn land<D: Downstream>(&self, landing: &Landing<D>, outcome: Result<Entry, CallError>, may_keep: bool) {
        if outcome.is_err() || may_keep && self.tier.tier.is_heard() {
            landing.land(outcome);
        } else {
            landing.land_unkept(outcome);
        }
    }

    /// Looks for an entry, and for leave to load one.
    async fn come(&self) -> Came {
        // A timer rings at the end of its millisecond: one less, so that the budget is not overrun.
        let budget = self.tier.settings.budget;
        let budget = budget.saturating_sub(TICK).max(budget / 2);
        let budget_ends = self.now().after(budget);
        let (mut known, mut is_empty) = (None, self.wish != Wish::Own);
        if self.wish != Wish::Own {
            match self.get(budget).await.map(|found| self.read(found)) {
                Ok(Read::Good(entry)) => return Came::With(entry),
                Ok(Read::Nothing) => self.tier.figures.looked_up(Lookup::Miss),
                Ok(Read::Useless(begins)) => {
                    self.tier.figures.looked_up(Lookup::Miss);
                    (known, is_empty) = (Some(begins), false);
                }
                Ok(Read::Void(begins)) => {
                    self.tier.figures.looked_up(Lookup::Miss);
                    known = Some(begins);
                }
                Err(silent) => {
                    self.silent(&silent);
                    return Came::ToLoad(Leave::None);
                }
            }
        }
        let waits_until = self.now().after(self.lease);
        let (mut pause, mut useless, mut waited) = (LOOK_AGAIN, 0, false);
        loop {
            let budget = if waited { budget } else { budget_ends.since(self.now()) };
            let stamp = self.state.environment.stamp();
            let held = match self.lease(stamp, known.clone(), budget).await {
                Err(silent) => {
                    self.silent(&silent);
                    return Came::ToLoad(match silent {
                        Silent::NotAsked => Leave::None,
                        Silent::Failed => Leave::Silent(stamp),
                    });
                }
                Ok(TierLeased::Granted(epochs)) => {
                    return Came::ToLoad(Leave::Granted { stamp, epochs, is_empty });
                }
                Ok(TierLeased::Unsettled) => return Came::ToLoad(Leave::Unkept),
                Ok(TierLeased::Held(left)) => left,
                Ok(TierLeased::Found(found)) => {
                    match self.read(found) {
                        Read::Good(entry) => return Came::With(entry),
                        Read::Nothing => {}
                        Read::Useless(begins) => (known, is_empty) = (Some(begins), false),
                        Read::Void(begins) => (known, is_empty) = (Some(begins), true),
                    }
                    useless += 1;
                    if useless > MOST_USELESS {
                        return Came::ToLoad(Leave::None);
                    }
                    continue;
                }
            };
            if !waited {
                self.tier.figures.waited.add_one();
                waited = true;
            }
            let left = waits_until.since(self.now());
            if left.is_zero() {
                return Came::ToLoad(Leave::None);
            }
            // Who holds it may be done at any time; when it is over, one of those who wait takes it.
            sleep(pause.min(held.max(Duration::from_millis(1))).min(left)).await;
            pause = (pause * 2).min(LOOK_SELDOM);
        }
    }

    fn silent(&self, silent: &Silent) {
        match silent {
            Silent::NotAsked => self.tier.figures.looked_up(Lookup::Bypass),
            Silent::Failed => self.tier.figures.failed.add_one(),
        }
    }

    fn ask_for(&self) -> TierGet {
        let largest =
            usize::try_from(self.settings.max_entry.get()).unwrap_or(usize::MAX).saturating_add(MOST_ADDED);
        TierGet { place: Arc::clone(&self.place), largest }
    }

    async fn get(&self, within: Duration) -> Result<TierFound, Silent> {
        let environment = &self.state.environment;
        let asking = self.tier.tier.ask(environment, |link| link.get(self.ask_for(), within));
        self.context.clone().in_scope(asking).await
    }

    async fn lease(
        &self,
        stamp: Stamp,
        known: Option<Vec<u8>>,
        within: Duration,
    ) -> Result<TierLeased, Silent> {
        let ask = TierLease {
            get: self.ask_for(),
            known,
            stamp,
            exclusive: self.lease,
            // The time of one load, by whose end it has failed.
            lifetime: self.lease + self.state.settings.timeout.min(self.state.settings.max_timeout),
            seize: self.wish == Wish::Own,
        };
        let environment = &self.state.environment;
        self.context.clone().in_scope(self.tier.tier.ask(environment, |link| link.lease(ask, within))).await
    }

    /// What an entry is good for.
    fn read(&self, TierFound { entry, epochs }: TierFound) -> Read {
        let Some(entry) = entry else { return Read::Nothing };
        let figures = &self.tier.figures;
        let begins = entry.bytes[..entry.bytes.len().min(size_of::<Stamp>())].to_vec();
        if !entry.whole {
            figures.oversized.add_one();
            return Read::Useless(begins);
        }
        let opened = Envelope::open(&entry.bytes).filter(|(envelope, _)| envelope.schema == self.schema);
        let Some((envelope, reply)) = opened else {
            figures.unreadable.add_one();
            return Read::Useless(begins);
        };
        if !epochs.iter().copied().eq(envelope.epochs.iter().copied().map(Some)) {
            figures.outdated.add_one();
            return Read::Void(begins);
        }
        let Some(age) = self.age(&envelope, entry.left) else { return Read::Useless(begins) };
        let environment = &self.state.environment;
        let now = environment.now();
        let Envelope { negative, fresh, took, .. } = envelope;
        let freshness = Freshness::of_age(self.settings, negative, age, fresh, took, now);
        let found = match freshness.judge(now, || environment.random()) {
            Verdict::Gone => return Read::Useless(begins),
            Verdict::Fresh | Verdict::Early if self.wish == Wish::Newer && !freshness.is_young(now) => {
                return Read::Useless(begins);
            }
            Verdict::Revalidate if self.wish == Wish::Newer => return Read::Useless(begins),
            Verdict::Fresh | Verdict::Early if negative => Lookup::Negative,
            Verdict::Fresh | Verdict::Early => Lookup::Fresh,
            Verdict::Revalidate | Verdict::StaleIfError => Lookup::Stale,
        };
        // The call's own code, whose panic is damage like any other.
        let decoded = catch_unwind(AssertUnwindSafe(|| self.codec.decode(reply)));
        let Ok(Ok(value)) = decoded else {
            figures.unreadable.add_one();
            return Read::Useless(begins);
        };
        let bytes = reply.len().max(size_of::<R>());
        let read = self.landing.entry(self.sharing.share(value), freshness, bytes, negative);
        if found == Lookup::Stale && !freshness.may_be_served(now) {
            self.landing.keep_stale(read);
            return Read::Useless(begins);
        }
        figures.looked_up(found);
        Read::Good(read)
    }

    /// How old an entry is, by the older of two witnesses; `None` where they say what cannot be.
    fn age(&self, envelope: &Envelope, left: Option<Duration>) -> Option<Duration> {
        let by_wall = self.state.environment.wall().saturating_sub(envelope.stored);
        let by_tier = match left {
            Some(left) => (envelope.lifetime + ROUNDING).checked_sub(left)?.saturating_sub(ROUNDING),
            None => Duration::ZERO,
        };
        Some(by_wall.max(by_tier))
    }

    /// Leaves the reply with the tier, or gives the lease back. False where what the tier had is still there.
    async fn leave(&self, reply: Option<Entry>, stamp: Stamp, epochs: Vec<Stamp>, took: Duration) -> bool {
        let environment = &self.state.environment;
        let entry = reply.filter(|entry| self.landing.may_keep(entry));
        let sealed = entry.as_ref().and_then(|entry| self.seal(entry, stamp, &epochs, took));
        let tier = &self.tier.tier;
        let Some((bytes, lifetime)) = sealed else {
            self.release(stamp).await;
            return false;
        };
        let ask = TierPut { place: Arc::clone(&self.place), stamp, epochs, bytes, lifetime };
        let put = tier.ask(environment, |link| link.put(ask, KEEPING));
        match self.context.clone().in_scope(put).await {
            Ok(TierKept::Kept) => {
                self.tier.figures.kept.add_one();
                true
            }
            Ok(TierKept::Outdated) => {
                self.tier.figures.outdated.add_one();
                // Another process knows better, and its news may not have come yet.
                self.landing.forget();
                true
            }
            Err(silent) => {
                self.silent(&silent);
                // A tier that is full takes nothing, and may be told all the same that none comes.
                self.release(stamp).await;
                false
            }
        }
    }

    /// Gives the lease back. Unheard, it is over when its time is.
    async fn release(&self, stamp: Stamp) {
        let ask = TierRelease { place: Arc::clone(&self.place), stamp };
        let released = self.tier.tier.ask(&self.state.environment, |link| link.release(ask, KEEPING));
        let _ = self.context.clone().in_scope(released).await;
    }

    /// The reply in its envelope, and how long to keep it; `None` where it is not to be kept.
    fn seal(
        &self,
        entry: &Entry,
        stamp: Stamp,
        epochs: &[Stamp],
        took: Duration,
    ) -> Option<(Vec<u8>, Duration)> {
        let reply = entry.reply.downcast_ref::<R>()?;
        let now = self.now();
        let fresh = entry.freshness.fresh_for(now);
        let lifetime = if entry.negative { fresh } else { self.lifetime };
        if fresh.is_zero() {
            return None;
        }
        let envelope = Envelope {
            stamp,
            schema: self.schema,
            negative: entry.negative,
            stored: self.state.environment.wall(),
            fresh,
            lifetime,
            took,
            epochs: epochs.to_vec(),
        };
        let write = |bytes: &mut Vec<u8>| self.codec.encode(reply, bytes);
        let sealed = catch_unwind(AssertUnwindSafe(|| envelope.seal(write)));
        let Ok(Ok(bytes)) = sealed else {
            self.tier.figures.unreadable.add_one();
            return None;
        };
        if bytes.len() as u64 > self.settings.max_entry.get().saturating_add(MOST_ADDED as u64) {
            self.tier.figures.oversized.add_one();
            return None;
        }
        Some((bytes, lifetime))
    }
}

/// What a load by way of a tier ended in.
pub(crate) type Loaded = (Result<Entry, CallError>, Duration);
