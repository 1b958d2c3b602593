use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use seawall::{
    Failure,
    downstream::{
        Blame, Stamp, Symptom, TierEntry, TierFound, TierGet, TierInvalidate, TierKept, TierLease,
        TierLeased, TierPlace, TierPut, TierRelease,
    },
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// What lies in a [`ScriptedTier`](super::ScriptedTier), and what goes wrong with it. Cloning gives another handle to the
/// same.
#[derive(Clone)]
pub struct TierStore(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// It does not hang any more.
    woken: Notify,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Timed<Vec<u8>>>,
    leases: BTreeMap<Key, Timed<Lease>>,
    epochs: BTreeMap<Name, Timed<Epoch>>,
    watchers: Vec<Arc<Watcher>>,
    fault: TierFault,
    latency: Duration,
    loses_news: bool,
    refuses_watchers: bool,
    asked: TierAsked,
}

/// News that may wait to be heard; who is slower is cut off.
const MOST_TOLD: usize = 100_000;

/// Fleet, group and key.
type Key = (String, String, Vec<u8>);
/// Fleet, group and epoch.
type Name = (String, String, String);
/// A group and an epoch; or all of them.
type Told = Option<(String, String)>;

struct Timed<T> {
    value: T,
    until: Instant,
}

struct Lease {
    stamp: Stamp,
    exclusive: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Epoch {
    Is(Stamp),
    Held,
}

struct Watcher {
    namespace: String,
    told: Mutex<VecDeque<Told>>,
    more: Notify,
    cut: Mutex<bool>,
}

/// What goes wrong with a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TierFault {
    /// Nothing.
    #[default]
    None,
    /// It answers no more.
    Hangs,
    /// It refuses everything: it is out of memory, say.
    Fails,
}

/// How often a tier was asked what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierAsked {
    /// Looks.
    pub gets: u64,
    /// Leases asked for.
    pub leases: u64,
    /// Entries brought.
    pub puts: u64,
    /// Leases given back.
    pub releases: u64,
    /// Invalidations.
    pub invalidations: u64,
}

impl TierAsked {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.gets + self.leases + self.puts + self.releases + self.invalidations
    }
}

impl Default for TierStore {
    fn default() -> Self {
        Self::new()
    }
}

impl TierStore {
    /// An empty one, that is well.
    pub fn new() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), woken: Notify::new() }))
    }

    /// Goes wrong so from now on.
    pub fn fault(&self, fault: TierFault) {
        self.0.state.lock().fault = fault;
        self.0.woken.notify_waiters();
    }

    /// Takes this long for each question from now on.
    pub fn latency(&self, latency: Duration) {
        self.0.state.lock().latency = latency;
    }

    /// Whether news is lost on its way, without anybody noticing.
    pub fn lose_news(&self, loses: bool) {
        self.0.state.lock().loses_news = loses;
    }

    /// Cuts all who watch off, and lets nobody watch until [`let_watch`](Self::let_watch).
    pub fn cut_news(&self) {
        let watchers = {
            let mut state = self.0.state.lock();
            state.refuses_watchers = true;
            std::mem::take(&mut state.watchers)
        };
        for watcher in watchers {
            *watcher.cut.lock() = true;
            watcher.more.notify_one();
        }
    }

    /// Lets who will watch again.
    pub fn let_watch(&self) {
        self.0.state.lock().refuses_watchers = false;
    }

    /// Forgets everything, and tells all who watch.
    pub fn flush(&self) {
        let mut state = self.0.state.lock();
        state.entries.clear();
        state.leases.clear();
        state.epochs.clear();
        state.tell(None, |_| true);
    }

    /// Forgets all epochs, as a tier may that is short of memory, and tells nobody.
    pub fn evict_epochs(&self) {
        self.0.state.lock().epochs.clear();
    }

    /// Changes the bytes of all entries.
    pub fn damage(&self, damage: impl Fn(&mut Vec<u8>)) {
        self.0.state.lock().entries.values_mut().for_each(|entry| damage(&mut entry.value));
    }

    /// Entries that lie in it.
    pub fn len(&self) -> usize {
        let mut state = self.0.state.lock();
        state.expire();
        state.entries.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often it was asked what, as far as it answered.
    pub fn asked(&self) -> TierAsked {
        self.0.state.lock().asked
    }

    pub(super) async fn answer(&self, count: impl FnOnce(&mut TierAsked) -> &mut u64) -> Result<(), Failure> {
        let latency = self.0.state.lock().latency;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        loop {
            let woken = self.0.woken.notified();
            match self.0.state.lock().fault {
                TierFault::None => break,
                TierFault::Hangs => {}
                TierFault::Fails => {
                    return Err(
                        Failure::new(Blame::Downstream, "the script says no").symptom(Symptom::Response)
                    );
                }
            }
            woken.await;
        }
        *count(&mut self.0.state.lock().asked) += 1;
        Ok(())
    }

    pub(super) fn get(&self, ask: &TierGet) -> TierFound {
        let mut state = self.0.state.lock();
        state.expire();
        state.find(ask)
    }

    pub(super) fn lease(&self, ask: &TierLease) -> TierLeased {
        let mut state = self.0.state.lock();
        state.expire();
        let (now, place) = (Instant::now(), &ask.get.place);
        if !ask.seize {
            let found = state.find(&ask.get);
            let begins = found.entry.as_ref().map(|entry| &entry.bytes[..entry.bytes.len().min(16)]);
            if begins.is_some() && begins != ask.known.as_deref() {
                return TierLeased::Found(found);
            }
            if let Some(lease) = state.leases.get(&key(place))
                && lease.value.exclusive > now
                && lease.value.stamp != ask.stamp
            {
                return TierLeased::Held(lease.value.exclusive - now);
            }
        }
        let mut epochs = Vec::new();
        for epoch in &*place.epochs {
            let fresh = Timed { value: Epoch::Is(ask.stamp), until: now + ask.lifetime };
            match state.epochs.entry(name(&place.namespace, &place.group, epoch)).or_insert(fresh).value {
                Epoch::Is(stamp) => epochs.push(stamp),
                Epoch::Held => return TierLeased::Unsettled,
            }
        }
        let lease = Lease { stamp: ask.stamp, exclusive: now + ask.exclusive };
        state.leases.insert(key(place), Timed { value: lease, until: now + ask.lifetime });
        TierLeased::Granted(epochs)
    }

    pub(super) fn put(&self, ask: &TierPut) -> TierKept {
        let mut state = self.0.state.lock();
        state.expire();
        let (key, until) = (key(&ask.place), Instant::now() + ask.lifetime);
        if state.entries.get(&key).is_some_and(|entry| entry.value.starts_with(&ask.stamp)) {
            return TierKept::Kept;
        }
        let is_mine = state.leases.get(&key).is_some_and(|lease| lease.value.stamp == ask.stamp);
        let names: Vec<_> = ask
            .place
            .epochs
            .iter()
            .map(|epoch| name(&ask.place.namespace, &ask.place.group, epoch))
            .collect();
        let mut same = names.iter().zip(&ask.epochs);
        let is_same = same.all(|(name, epoch)| {
            state.epochs.get(name).is_some_and(|known| known.value == Epoch::Is(*epoch))
        });
        if !is_mine || !is_same {
            return TierKept::Outdated;
        }
        for name in names {
            state.epochs.entry(name).and_modify(|epoch| epoch.until = epoch.until.max(until));
        }
        state.leases.remove(&key);
        state.entries.insert(key, Timed { value: ask.bytes.clone(), until });
        TierKept::Kept
    }

    pub(super) fn release(&self, ask: &TierRelease) {
        let mut state = self.0.state.lock();
        let key = key(&ask.place);
        if state.leases.get(&key).is_some_and(|lease| lease.value.stamp == ask.stamp) {
            state.leases.remove(&key);
        }
    }

    pub(super) fn invalidate(&self, ask: &TierInvalidate) {
        let mut state = self.0.state.lock();
        for epoch in &ask.epochs {
            let name = name(&ask.namespace, &ask.group, epoch);
            if ask.held.is_zero() {
                // One that is held stays so.
                if state.epochs.get(&name).is_some_and(|epoch| epoch.value != Epoch::Held) {
                    state.epochs.remove(&name);
                }
            } else {
                let until = Instant::now() + ask.held;
                state.epochs.insert(name, Timed { value: Epoch::Held, until });
            }
            let told = (ask.group.to_string(), epoch.to_string());
            state.tell(Some(told), |watcher| *watcher.namespace == *ask.namespace);
        }
    }

    pub(super) fn watch(&self, namespace: &str) -> Option<Watching> {
        let mut state = self.0.state.lock();
        let watcher = Arc::new(Watcher {
            namespace: namespace.to_owned(),
            told: Mutex::default(),
            more: Notify::new(),
            cut: Mutex::new(false),
        });
        (!state.refuses_watchers).then(|| {
            state.watchers.push(Arc::clone(&watcher));
            Watching { store: self.clone(), watcher }
        })
    }
}

impl State {
    fn expire(&mut self) {
        let now = Instant::now();
        self.entries.retain(|_, entry| entry.until > now);
        self.leases.retain(|_, lease| lease.until > now);
        self.epochs.retain(|_, epoch| epoch.until > now);
    }

    fn find(&self, ask: &TierGet) -> TierFound {
        let place = &ask.place;
        let entry = self.entries.get(&key(place)).map(|entry| {
            let whole = entry.value.len() <= ask.largest;
            let bytes = if whole { entry.value.clone() } else { entry.value[..16].to_vec() };
            TierEntry { bytes, whole, left: Some(entry.until - Instant::now()) }
        });
        let epoch = |epoch: &str| match self.epochs.get(&name(&place.namespace, &place.group, epoch))?.value {
            Epoch::Is(stamp) => Some(stamp),
            Epoch::Held => None,
        };
        TierFound { entry, epochs: place.epochs.iter().map(|name| epoch(name)).collect() }
    }

    fn tell(&self, told: Told, whom: impl Fn(&Watcher) -> bool) {
        if self.loses_news {
            return;
        }
        for watcher in self.watchers.iter().filter(|watcher| whom(watcher)) {
            let mut waiting = watcher.told.lock();
            if waiting.len() < MOST_TOLD {
                waiting.push_back(told.clone());
            } else {
                *watcher.cut.lock() = true;
            }
            watcher.more.notify_one();
        }
    }
}

/// One who watches.
pub(super) struct Watching {
    store: TierStore,
    watcher: Arc<Watcher>,
}

impl Watching {
    /// What is told next; `None` when it is cut off.
    pub(super) async fn next(&mut self) -> Option<Told> {
        loop {
            let more = self.watcher.more.notified();
            if *self.watcher.cut.lock() {
                return None;
            }
            if let Some(told) = self.watcher.told.lock().pop_front() {
                return Some(told);
            }
            more.await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.store.0.state.lock().watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
    }
}

fn key(place: &TierPlace) -> Key {
    (place.namespace.to_string(), place.group.to_string(), place.key.to_vec())
}

fn name(namespace: &str, group: &str, epoch: &str) -> Name {
    (namespace.to_owned(), group.to_owned(), epoch.to_owned())
}

impl fmt::Debug for TierStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierStore").field("entries", &self.len()).field("asked", &self.asked()).finish()
    }
}
