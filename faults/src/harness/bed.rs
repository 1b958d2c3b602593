//! The test bed: a service under test and a healthy neighbour in this process, their servers in others, a load on both,
//! and everything that is looked at while a fault comes and goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use seawall::policy::breaker::State;
use seawall::runtime::{ServiceSnapshot, Snapshot};
use seawall::telemetry::{Event, What};
use seawall::{Runtime, Service};
use seawall_http::Http;
use seawall_redis::Redis;

use super::hostile::Hostile;
use super::load::{self, Load, NEIGHBOUR, Record, SUBJECT, Shoot, Via};
use super::logs::{Lines, Logs};
use super::machine::{Machine, Noise};
use super::monitor::{Monitor, Peaks};
use super::origin::{Arrival, Origin};
use super::resources::Resources;
use super::settings::{DEADLINE, Settings};
use super::stage::Stage;
use super::times::now;

/// Calls a second, on either service.
pub(crate) const RATE: f64 = 200.0;

/// How long a neighbour is watched before and after what has no phases.
const QUIET: Duration = Duration::from_secs(1);

/// Events kept: far more than the changes of a run.
const MAX_EVENTS: usize = 10_000;

/// How long descriptors and threads may take to be as before.
const CALM: Duration = Duration::from_secs(10);

/// Everything that a scenario works with.
pub(crate) struct Bed {
    pub(crate) stage: Stage,
    pub(crate) settings: Settings,
    pub(crate) origin: Origin,
    neighbours: Origin,
    pub(crate) runtime: Runtime,
    pub(crate) subject: Service<Http>,
    pub(crate) neighbour: Service<Http>,
    callers: Vec<actix_rt::Arbiter>,
    pub(crate) logs: Logs,
    events: Arc<Mutex<Vec<Seen>>>,
    via: Option<Via>,
    neighbour_via: Option<Via>,
    /// Stands in for the bed's server where a protocol is broken.
    pub(crate) hostile: Option<Hostile>,
    /// Whether calls are left out that were due while all of this process stood still.
    pub(crate) forgets_pauses: bool,
    /// The service that the load is on, and whose figures are judged.
    pub(crate) watched: &'static str,
}

/// An event, and when it was heard of.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) event: Event,
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    pub(crate) start: Instant,
    /// Before anything was done, and once it was.
    pub(crate) fault: Instant,
    pub(crate) broken: Instant,
    /// Before anything was undone, and once it was.
    pub(crate) mending: Instant,
    pub(crate) healed: Instant,
    pub(crate) end: Instant,
}

/// Everything that a run left behind.
pub(crate) struct Outcome {
    pub(crate) settings: Settings,
    /// The service under test.
    pub(crate) watched: &'static str,
    pub(crate) marks: Marks,
    pub(crate) records: Vec<Record>,
    pub(crate) neighbour: Vec<Record>,
    pub(crate) origin: Origin,
    pub(crate) hostile: Option<Hostile>,
    pub(crate) neighbour_requests: usize,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) snapshot: Snapshot,
    pub(crate) metrics: String,
    pub(crate) events: Vec<Seen>,
    pub(crate) lines: Lines,
    pub(crate) noise: Noise,
    pub(crate) peaks: Peaks,
    pub(crate) before: Resources,
    pub(crate) later: Resources,
    pub(crate) cut_off: usize,
}

impl Bed {
    /// Starts the servers, and a runtime with these settings; the service under test calls the bed's own server unless
    /// they say otherwise.
    pub(crate) async fn start(stage: &Stage, settings: Settings) -> Self {
        Self::build(stage, settings, |builder| builder).await
    }

    /// The same, with more in the runtime.
    pub(crate) async fn build(
        stage: &Stage,
        settings: Settings,
        with: impl FnOnce(seawall::runtime::Builder) -> seawall::runtime::Builder,
    ) -> Self {
        let logs = Logs::capture();
        let (origin, neighbours) = (Origin::start(), Origin::start());
        let mut settings = settings.over(&format!("services.neighbour.url = \"{}\"", neighbours.url()));
        if !settings.has_url() {
            settings = settings.subject(&format!("url = \"{}\"", origin.url()));
        }
        let builder = Runtime::builder().kind::<Http>().kind::<Redis>().seed(stage.seed);
        let runtime = with(builder)
            .parse(settings.text())
            .unwrap_or_else(|error| panic!("the settings cannot be read: {error}\n{}", settings.text()))
            .start()
            .await
            .unwrap_or_else(|error| panic!("no runtime: {error}"));
        Self::around(stage, settings, logs, origin, neighbours, runtime)
    }

    /// A bed around a runtime that was started by other means.
    pub(crate) fn around(
        stage: &Stage,
        settings: Settings,
        logs: Logs,
        origin: Origin,
        neighbours: Origin,
        runtime: Runtime,
    ) -> Self {
        let service = |name| {
            runtime.service::<Http>(name).unwrap_or_else(|error| panic!("no service `{name}`: {error}"))
        };
        let (subject, neighbour) = (service("subject"), service("neighbour"));
        let events = Arc::<Mutex<Vec<Seen>>>::default();
        logs.begin();
        hear(&runtime, &events);
        let callers = vec![actix_rt::Arbiter::new(), actix_rt::Arbiter::new()];
        Self {
            stage: stage.clone(),
            settings,
            origin,
            neighbours,
            runtime,
            subject,
            neighbour,
            callers,
            logs,
            events,
            via: None,
            neighbour_via: None,
            hostile: None,
            forgets_pauses: false,
            watched: "subject",
        }
    }

    /// A service under test that calls this server.
    pub(crate) async fn hostile(stage: &Stage, settings: Settings, hostile: Hostile) -> Self {
        let settings = settings.subject(&format!("url = \"{}\"", hostile.url()));
        let mut bed = Self::start(stage, settings).await;
        bed.hostile = Some(hostile);
        bed
    }

    /// Runs the usual load while the hostile server breaks its protocol.
    pub(crate) async fn run_hostile(self) -> Outcome {
        let switch = |bed: &Self, on: bool| match &bed.hostile {
            Some(hostile) if on => hostile.break_it(),
            Some(hostile) => hostile.mend(),
            None => panic!("there is no hostile server"),
        };
        self.run(async |bed: &Self| switch(bed, true), async |bed: &Self| switch(bed, false)).await
    }

    /// Takes this server for the one that the service under test calls, by whatever way.
    pub(crate) fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Takes the service of this name for the one under test.
    pub(crate) fn watching(mut self, service: &'static str) -> Self {
        self.watched = service;
        self
    }

    /// Whose threads the calls come from, in place of the bed's two arbiters.
    pub(crate) fn calls_from(mut self, subject: Via, neighbour: Via) -> Self {
        (self.via, self.neighbour_via) = (Some(subject), Some(neighbour));
        self
    }

    /// The bed's two arbiters.
    pub(crate) fn arbiters(&self) -> Via {
        Via::Arbiters(self.callers.iter().map(actix_rt::Arbiter::handle).collect())
    }

    /// One of the bed's two arbiters.
    pub(crate) fn arbiter(&self, index: usize) -> Via {
        Via::Arbiters(vec![self.callers[index].handle()])
    }

    /// The thread of one of the bed's arbiters.
    pub(crate) fn thread(&self, index: usize) -> actix_rt::ArbiterHandle {
        self.callers[index].handle()
    }

    /// Hears of another runtime's events, whose lines are in the same log.
    pub(crate) fn hears(&self, other: &Runtime) {
        hear(other, &self.events);
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Seen> {
        self.events.lock().clone()
    }

    /// Runs the usual load of reads and writes while `fault` comes and `heal` ends it.
    pub(crate) async fn run(self, fault: impl AsyncFnOnce(&Self), heal: impl AsyncFnOnce(&Self)) -> Outcome {
        let shoot = load::mixed(&self.subject);
        self.run_with(shoot, RATE, fault, heal).await
    }

    /// Runs another load on the service under test.
    pub(crate) async fn run_with(
        self,
        shoot: Shoot,
        rate: f64,
        fault: impl AsyncFnOnce(&Self),
        heal: impl AsyncFnOnce(&Self),
    ) -> Outcome {
        let monitor = Monitor::watch(&self.runtime, self.watched);
        let machine = Machine::watch(self.neighbours.addr());
        let start = now();
        let via = self.via.clone().unwrap_or_else(|| self.arbiters());
        let neighbour_via = self.neighbour_via.clone().unwrap_or_else(|| self.arbiters());
        let subject = Load::start(&via, SUBJECT, rate, shoot, self.forgets_pauses);
        let reads = load::reads(&self.neighbour);
        let neighbour = Load::start(&neighbour_via, NEIGHBOUR, RATE, reads, self.forgets_pauses);
        tokio::time::sleep(self.stage.before()).await;
        let before = Resources::now();
        let fault_at = now();
        let until = tokio::time::Instant::now() + self.stage.during();
        fault(&self).await;
        let broken = now();
        tokio::time::sleep_until(until).await;
        let mending = now();
        heal(&self).await;
        let healed = now();
        tokio::time::sleep(self.stage.after()).await;
        let end = now();
        let patience = DEADLINE + Duration::from_secs(2);
        let (records, neighbour) = tokio::join!(subject.stop(patience), neighbour.stop(patience));
        let marks = Marks { start, fault: fault_at, broken, mending, healed, end };
        let noise = machine.stop();
        let peaks = monitor.stop();
        self.finish(marks, records, neighbour, noise, peaks, before).await
    }

    /// Runs no load on the service under test, but what `during` does with it; the neighbour has its own all the time.
    pub(crate) async fn play<T>(self, during: impl AsyncFnOnce(&Self) -> T) -> (T, Outcome) {
        let monitor = Monitor::watch(&self.runtime, self.watched);
        let machine = Machine::watch(self.neighbours.addr());
        let start = now();
        let via = self.neighbour_via.clone().unwrap_or_else(|| self.arbiters());
        let neighbour = Load::start(&via, NEIGHBOUR, RATE, load::reads(&self.neighbour), false);
        tokio::time::sleep(QUIET).await;
        let (before, fault) = (Resources::now(), now());
        let found = during(&self).await;
        let healed = now();
        tokio::time::sleep(QUIET / 2).await;
        let marks = Marks { start, fault, broken: fault, mending: healed, healed, end: now() };
        let neighbour = neighbour.stop(DEADLINE + Duration::from_secs(2)).await;
        let (noise, peaks) = (machine.stop(), monitor.stop());
        (found, self.finish(marks, Vec::new(), neighbour, noise, peaks, before).await)
    }

    async fn finish(
        self,
        marks: Marks,
        records: Vec<Record>,
        neighbour: Vec<Record>,
        noise: Noise,
        peaks: Peaks,
        before: Resources,
    ) -> Outcome {
        let later = calm(before).await;
        self.origin.settle();
        self.neighbours.settle();
        let neighbour_requests =
            self.neighbours.arrivals().iter().filter(|one| one.nonce < super::machine::NONCES).count();
        let (snapshot, metrics) = (self.runtime.snapshot(), self.runtime.metrics());
        let drained = self.runtime.drain_within(Duration::from_secs(2)).await;
        for caller in self.callers {
            caller.stop();
            // A caller's thread that panicked is told by the count of panics.
            let _ = caller.join();
        }
        // Events are handed over by a task of this thread.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (events, lines) = (self.events.lock().clone(), self.logs.lines());
        Outcome {
            settings: self.settings,
            watched: self.watched,
            marks,
            records,
            neighbour,
            arrivals: self.hostile.as_ref().map_or_else(|| self.origin.arrivals(), Hostile::arrivals),
            hostile: self.hostile,
            origin: self.origin,
            neighbour_requests,
            snapshot,
            metrics,
            events,
            lines,
            noise,
            peaks,
            before,
            later,
            cut_off: drained.cut_off,
        }
    }
}

fn hear(runtime: &Runtime, events: &Arc<Mutex<Vec<Seen>>>) {
    let (mut stream, kept) = (runtime.events(), events.clone());
    drop(actix_rt::spawn(async move {
        while let Some(event) = stream.next().await {
            let mut kept = kept.lock();
            if kept.len() < MAX_EVENTS {
                kept.push(Seen { at: now(), event });
            }
        }
    }));
}

/// Waits until descriptors and threads are as before, or as long as they may take.
pub(crate) async fn calm(before: Resources) -> Resources {
    let end = tokio::time::Instant::now() + CALM;
    loop {
        let later = Resources::now();
        let as_before = later.descriptors <= before.descriptors && later.threads <= before.threads;
        if as_before || tokio::time::Instant::now() >= end {
            return later;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Outcome {
    /// Calls that were due while the fault was on.
    pub(crate) fn faulty(&self) -> impl Iterator<Item = &Record> {
        let Marks { fault, healed, .. } = self.marks;
        self.records.iter().filter(move |record| (fault..healed).contains(&record.scheduled))
    }

    /// Calls that were answered while the fault was on from their start to their end.
    pub(crate) fn answered_meanwhile(&self) -> usize {
        let Marks { broken, mending, .. } = self.marks;
        let within = |record: &&Record| {
            record.started > broken
                && record.is_answer()
                && record.ended.as_ref().is_some_and(|(at, _)| *at < mending)
        };
        self.records.iter().filter(within).count()
    }

    /// Calls that were due after it.
    pub(crate) fn recovered(&self) -> impl Iterator<Item = &Record> {
        let healed = self.marks.healed;
        self.records.iter().filter(move |record| record.scheduled >= healed)
    }

    /// When a breaker came into a state.
    pub(crate) fn breaker_to(&self, to: State) -> Vec<Instant> {
        breaker_to(&self.events, to)
    }

    /// What the service under test did.
    pub(crate) fn subject(&self) -> &ServiceSnapshot {
        self.snapshot
            .service(self.watched)
            .unwrap_or_else(|| panic!("no service `{}`: {:?}", self.watched, self.snapshot))
    }
}

/// When a breaker came into a state.
pub(crate) fn breaker_to(events: &[Seen], to: State) -> Vec<Instant> {
    let came = |seen: &&Seen| match &seen.event.what {
        What::Breaker { transition, .. } => transition.to == to,
        _ => false,
    };
    events.iter().filter(came).map(|seen| seen.at).collect()
}
