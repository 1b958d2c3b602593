use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use seawall::Priority;
use tokio::time::Instant;

use super::{
    log::Ending,
    sights::Sights,
    world::{Kind, count_at},
};

/// What the callers saw: every call's end, and what is still out.
#[derive(Default)]
pub(super) struct Books(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    calls: u64,
    services: Vec<Service>,
    /// Calls that have not ended, and when they must have.
    out: BTreeMap<u64, Instant>,
    /// What has come about, and how often.
    sights: Sights,
}

#[derive(Default)]
struct Service {
    /// Calls by the second in which they began.
    started: Vec<u64>,
    tallies: [Tally; Kind::COUNT],
    /// Calls whose ends nobody waits for.
    told: u64,
    longest: Duration,
    /// Ends of calls that nothing of their callers' own spoiled.
    ends: Vec<End>,
    /// Things, and the newest version that a caller knows to have been written.
    written: BTreeMap<u64, u64>,
}

/// When a call ended, how, and after how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) at: Duration,
    pub(super) how: Ending,
    pub(super) took: Duration,
    pub(super) priority: Priority,
}

/// Calls by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    fresh: u64,
    cached: u64,
    stale: u64,
    fallback: u64,
    error: u64,
    timeout: u64,
    rejected: u64,
    cancelled: u64,
}

impl Tally {
    pub(super) fn new(counts: [u64; 8]) -> Self {
        let [fresh, cached, stale, fallback, error, timeout, rejected, cancelled] = counts;
        Self { fresh, cached, stale, fallback, error, timeout, rejected, cancelled }
    }

    pub(super) fn all(self) -> u64 {
        self.fresh + self.cached + self.stale + self.fallback + self.unanswered()
    }

    pub(super) fn unanswered(self) -> u64 {
        self.error + self.timeout + self.rejected + self.cancelled
    }

    fn add(&mut self, ending: Ending) {
        *match ending {
            Ending::Fresh => &mut self.fresh,
            Ending::Cached => &mut self.cached,
            Ending::Stale => &mut self.stale,
            Ending::Fallback => &mut self.fallback,
            Ending::Error => &mut self.error,
            Ending::Timeout => &mut self.timeout,
            Ending::Rejected => &mut self.rejected,
            Ending::Cancelled => &mut self.cancelled,
        } += 1;
    }
}

impl Books {
    pub(super) fn new(services: usize) -> Self {
        let services = (0..services).map(|_| Service::default()).collect();
        Self(Mutex::new(Inner { services, ..Inner::default() }))
    }

    /// A call begins at this time of the run, and must have ended by then. Its number, and the newest version of `key` that anybody knows of.
    pub(super) fn begin(&self, service: usize, key: u64, at: Duration, must_end: Instant) -> (u64, u64) {
        let mut inner = self.0.lock();
        inner.calls += 1;
        let nonce = inner.calls;
        inner.out.insert(nonce, must_end);
        let service = &mut inner.services[service];
        count_at(&mut service.started, at);
        (nonce, service.written.get(&key).copied().unwrap_or(0))
    }

    /// A call begins whose end nobody waits for. Its number.
    pub(super) fn tell(&self, service: usize, at: Duration) -> u64 {
        let mut inner = self.0.lock();
        inner.calls += 1;
        let nonce = inner.calls;
        let service = &mut inner.services[service];
        count_at(&mut service.started, at);
        service.told += 1;
        nonce
    }

    /// How many did.
    pub(super) fn told(&self, service: usize) -> u64 {
        self.0.lock().services[service].told
    }

    /// It ends. `spoiled` are those whose end its caller brought about: they say nothing about the service.
    pub(super) fn end(&self, service: usize, kind: Kind, nonce: u64, end: End, spoiled: bool) {
        let mut inner = self.0.lock();
        inner.out.remove(&nonce);
        let service = &mut inner.services[service];
        service.tallies[kind as usize].add(end.how);
        service.longest = service.longest.max(end.took);
        if !spoiled {
            service.ends.push(end);
        }
    }

    /// A caller knows that `key` was written.
    pub(super) fn written(&self, service: usize, key: u64, version: u64) {
        let newest = &mut self.0.lock().services[service].written;
        let known = newest.entry(key).or_default();
        *known = (*known).max(version);
    }

    /// Something came about.
    pub(super) fn sight(&self, what: &'static str) {
        *self.0.lock().sights.entry(what).or_default() += 1;
    }

    pub(super) fn sights(&self) -> Sights {
        self.0.lock().sights.clone()
    }

    pub(super) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Calls that should have ended, and have not.
    pub(super) fn overdue(&self, now: Instant) -> Vec<u64> {
        let inner = self.0.lock();
        inner.out.iter().filter(|(_, must_end)| **must_end < now).map(|(nonce, _)| *nonce).collect()
    }

    /// Calls by the second in which they began.
    pub(super) fn started(&self, service: usize) -> Vec<u64> {
        self.0.lock().services[service].started.clone()
    }

    pub(super) fn tally(&self, service: usize, kind: Kind) -> Tally {
        self.0.lock().services[service].tallies[kind as usize]
    }

    pub(super) fn longest(&self, service: usize) -> Duration {
        self.0.lock().services[service].longest
    }

    /// How calls ended within a time.
    pub(super) fn ends(
        &self,
        service: usize,
        from: Duration,
        until: Duration,
    ) -> impl Iterator<Item = Ending> {
        let inner = self.0.lock();
        // They are in the order of time.
        let ends = &inner.services[service].ends;
        let place = |time| ends.partition_point(|end| end.at < time);
        let within = ends.get(place(from)..place(until)).unwrap_or_default();
        let within: Vec<_> = within.iter().map(|end| end.how).collect();
        within.into_iter()
    }

    /// All ends of a service's calls, in order.
    pub(super) fn all_ends(&self, service: usize) -> Vec<End> {
        self.0.lock().services[service].ends.clone()
    }
}
