use std::{
    fmt,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{Lanes, RuntimeSettings, tier::Tiers};
use crate::{
    cache::{Generations, Memory},
    telemetry::{Counter, EventBus},
    units::Tick,
};

static ENVIRONMENTS: AtomicU64 = AtomicU64::new(0);

/// What all services of a runtime share: clock, randomness, events, the memory tier, and whether calls are taken.
pub(crate) struct Environment {
    /// Process-wide: two runtimes may live in one process.
    pub(crate) id: u64,
    start: Instant,
    random: AtomicU64,
    services: AtomicU64,
    /// What tenants' names are hashed with, so that nobody can choose a name that hashes as another's.
    tenants: u64,
    phase: AtomicU8,
    phase_changed: Notify,
    active: AtomicUsize,
    ended: Notify,
    pub(crate) events: EventBus,
    pub(crate) memory: Memory,
    pub(crate) generations: Generations,
    pub(crate) tiers: Tiers,
    /// Whose processes share what lies in a tier.
    pub(crate) fleet: Arc<str>,
    /// The wall clock at the start, since 1970. What goes on from there is the other clock: who turns the wall clock
    /// turns no ages.
    wall: Duration,
    /// This runtime among all that there are, in whatever process: no seed determines it, for two processes may have
    /// the same seed.
    pub(super) instance: u64,
    pub(super) stamps: AtomicU64,
    pub(crate) lanes: Lanes,
    /// How many pools may be reopened at once.
    pub(crate) reopenings: Semaphore,
    /// Whether threads are watched for being blocked.
    pub(crate) watched: bool,
    /// The threads that are.
    pub(crate) pulses: Mutex<Vec<Weak<Pulse>>>,
    pub(crate) stalls: Counter,
    pub(crate) generation: Counter,
    pub(crate) refused_reloads: Counter,
}

/// One thread that is watched for being blocked.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) thread: Arc<str>,
    pub(crate) ping: Notify,
    pub(crate) pinged: AtomicU64,
    pub(crate) answered: AtomicU64,
    /// Since when it is known not to answer, 0 if it does.
    pub(crate) stalled: AtomicU64,
}

/// Whether calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    Draining,
    Stopped,
}

impl Phase {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl Environment {
    pub(crate) fn new(settings: &RuntimeSettings, lanes: Lanes, seed: u64) -> Self {
        Self {
            id: ENVIRONMENTS.fetch_add(1, Ordering::Relaxed),
            start: Instant::now(),
            random: AtomicU64::new(seed),
            services: AtomicU64::new(0),
            tenants: seed ^ 0x7e_4a47,
            phase: AtomicU8::new(Phase::Running as u8),
            phase_changed: Notify::new(),
            active: AtomicUsize::new(0),
            ended: Notify::new(),
            events: EventBus::new(settings.event_buffer),
            memory: Memory::new(settings.cache_max_bytes, seed ^ 0x5ea_0a11),
            generations: Generations::new(),
            tiers: Tiers::default(),
            fleet: settings.fleet.as_str().into(),
            wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            instance: RandomState::new().build_hasher().finish(),
            stamps: AtomicU64::new(0),
            lanes,
            reopenings: Semaphore::new(settings.concurrent_reopens.max(1)),
            watched: !settings.watchdog.is_zero(),
            pulses: Mutex::default(),
            stalls: Counter::default(),
            generation: Counter::default(),
            refused_reloads: Counter::default(),
        }
    }

    /// The same, by a wall clock that showed this at the start.
    pub(crate) fn with_wall(mut self, wall: Option<Duration>) -> Self {
        self.wall = wall.unwrap_or(self.wall);
        self
    }

    /// The time since 1970, by this process.
    pub(crate) fn wall(&self) -> Duration {
        self.wall + self.start.elapsed()
    }

    /// This moment, on the clock that policies are fed.
    pub(crate) fn now(&self) -> Tick {
        Tick::ZERO.after(self.start.elapsed())
    }

    /// When `tick` is, on tokio's clock.
    pub(crate) fn instant(&self, tick: Tick) -> Instant {
        self.start + Duration::from_nanos(tick.as_nanos())
    }

    /// Where `instant` is, on the clock that policies are fed.
    pub(crate) fn tick(&self, instant: Instant) -> Tick {
        Tick::ZERO.after(instant.saturating_duration_since(self.start))
    }

    /// The next number of the runtime's one source of randomness (splitmix64, so that a seed replays).
    pub(crate) fn random(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The number of the next service, of all that there ever were.
    pub(crate) fn next_service(&self) -> u64 {
        self.services.fetch_add(1, Ordering::Relaxed)
    }

    /// A tenant as policies know it.
    pub(crate) fn tenant(&self, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.tenants, name).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether something blocks the thread of this name.
    pub(crate) fn is_stalled(&self, thread: &str) -> bool {
        let pulses = self.pulses.lock();
        let stalled = |pulse: &Arc<Pulse>| pulse.stalled.load(Ordering::Acquire) != 0;
        pulses.iter().filter_map(Weak::upgrade).any(|pulse| *pulse.thread == *thread && stalled(&pulse))
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Goes on to `phase`; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.phase_changed.notify_waiters();
    }

    /// Waits until the runtime has stopped.
    pub(crate) async fn stopped(&self) {
        loop {
            let changed = self.phase_changed.notified();
            if self.phase() == Phase::Stopped {
                return;
            }
            changed.await;
        }
    }

    /// Counts a call until the guard is dropped.
    pub(crate) fn begin_call(&self) {
        self.active.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn end_call(&self) {
        if self.active.fetch_sub(1, Ordering::SeqCst) == 1 && self.phase() != Phase::Running {
            self.ended.notify_waiters();
        }
    }

    /// Calls under way.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Waits until no call is under way.
    pub(crate) async fn quiet(&self) {
        loop {
            let ended = self.ended.notified();
            if self.active() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Counts as a call under way until it is dropped.
pub(crate) struct UnderWay(Arc<Environment>);

impl UnderWay {
    pub(crate) fn new(environment: &Arc<Environment>) -> Self {
        environment.begin_call();
        Self(Arc::clone(environment))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end_call();
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("phase", &self.phase())
            .field("active", &self.active())
            .finish_non_exhaustive()
    }
}
