//! A simulated downstream: what it does with a request, and what it saw.
//!
//! It is a server with workers and a queue of its own, computed and not run: when a request arrives it is known at once
//! which worker will be free first, and so when the answer comes. What its client gives up it works on all the same, as
//! a server does that does not hear of it. What goes wrong is a function of plan and time, so that nothing need be
//! switched on and off.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    log::{Left, Log, Step},
    plan::{FaultKind, Opening, Plan},
    random::Random,
    rules::Violations,
    weather::Weather,
};

/// The calls there are; each counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A read that is not kept.
    Get,
    /// A read that is.
    Look,
    /// A write.
    Put,
    /// A read whose answer nobody waits for.
    Tell,
}

impl Kind {
    /// How many there are.
    pub(super) const COUNT: usize = 4;

    /// Those whose callers see how they end.
    pub(super) const SEEN: [Self; 3] = [Self::Get, Self::Look, Self::Put];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Look => "Look",
            Self::Put => "Put",
            Self::Tell => "Tell",
        }
    }
}

/// The downstream's own queue is bounded too: who would wait in it for longer is told so.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);

/// One service's downstream.
pub(super) struct World {
    pub(super) service: usize,
    plan: Arc<Plan>,
    log: Arc<Log>,
    violations: Arc<Violations>,
    inner: Mutex<Inner>,
}

struct Inner {
    random: Random,
    weather: Weather,
    /// When each worker will be free.
    workers: Vec<Instant>,
    /// Things that were written to, and how often.
    versions: BTreeMap<u64, u64>,
    /// How often each write arrived.
    writes: BTreeMap<u64, u32>,
    seen: Seen,
}

/// What the downstream counted: the truth that the runtime's own figures are held against.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Attempts by call.
    pub(super) by_kind: [SeenOfKind; Kind::COUNT],
    /// Retries by the second in which they began.
    pub(super) retries: Vec<u64>,
    /// Pools that were opened, and closed.
    pub(super) opened: u64,
    pub(super) closed: u64,
}

/// Attempts at one call, by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenOfKind {
    pub(super) begun: u64,
    pub(super) replied: u64,
    pub(super) failed: u64,
    pub(super) overloaded: u64,
    pub(super) panicked: u64,
    pub(super) dropped: u64,
}

/// What becomes of a request that has arrived.
pub(super) struct Fate {
    pub(super) after: Duration,
    pub(super) verdict: Verdict,
    pub(super) version: u64,
}

/// What the downstream does in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Reply,
    Fail,
    AskForLess,
    Hang,
    Panic,
}

impl World {
    pub(super) fn new(
        service: usize,
        plan: &Arc<Plan>,
        log: &Arc<Log>,
        violations: &Arc<Violations>,
    ) -> Self {
        let workers = plan.services[service].workers.unwrap_or(0) as usize;
        Self {
            service,
            plan: Arc::clone(plan),
            log: Arc::clone(log),
            violations: Arc::clone(violations),
            inner: Mutex::new(Inner {
                random: Random::of(plan.seed, 100 + service as u64),
                weather: Weather::of(plan, service),
                workers: vec![Instant::now(); workers],
                versions: BTreeMap::new(),
                writes: BTreeMap::new(),
                seen: Seen::default(),
            }),
        }
    }

    pub(super) fn seen(&self) -> Seen {
        self.inner.lock().seen.clone()
    }

    /// How a pool that is opened now does.
    pub(super) fn opening(&self) -> Option<Opening> {
        self.now(|faults| {
            faults.iter().find_map(|kind| match kind {
                FaultKind::Pool(opening) => Some(*opening),
                _ => None,
            })
        })
    }

    pub(super) fn opened(&self, well: bool) {
        self.inner.lock().seen.opened += u64::from(well);
        self.log.add(self.service, if well { Step::Opened } else { Step::NotOpened });
    }

    pub(super) fn closed(&self) {
        self.inner.lock().seen.closed += 1;
        self.log.add(self.service, Step::Closed);
    }

    /// Whether a health check fails now.
    pub(super) fn is_sick(&self) -> bool {
        self.now(|faults| faults.contains(&FaultKind::Sick))
    }

    /// An attempt begins: the `number`th at its call.
    pub(super) fn begin(&self, kind: Kind, nonce: u64, number: u32) {
        self.log.add(self.service, Step::Attempt(nonce, number));
        let mut inner = self.inner.lock();
        inner.seen.by_kind[kind as usize].begun += 1;
        if number > 1 {
            count_at(&mut inner.seen.retries, self.log.elapsed());
        }
    }

    /// Whether a connection can be made, and how long that takes: mostly there is one already.
    pub(super) fn connect(&self) -> Result<Duration, Duration> {
        let refused = self.now(|faults| faults.contains(&FaultKind::Refused));
        let random = &mut self.inner.lock().random;
        let takes = if random.happens(0.1) { random.millis(1, 3) } else { Duration::ZERO };
        if refused { Err(takes) } else { Ok(takes) }
    }

    /// A request arrives, `deadline` being its caller's; at the `first` of several endpoints, or at another or the only one.
    pub(super) fn arrive(&self, kind: Kind, nonce: u64, key: u64, deadline: Instant, first: bool) -> Fate {
        let now = Instant::now();
        // Timers round up to the millisecond, and so may what waits for one.
        if now > deadline + Duration::from_millis(1) {
            let late = now - deadline;
            self.violations
                .add("I3", format_args!("{}: {nonce} arrives {late:?} past its deadline", self.name()));
        }
        let faults = self.now(<[_]>::to_vec);
        let mut inner = self.inner.lock();
        let Inner { random, workers, versions, writes, .. } = &mut *inner;
        let mut takes = self.plan.services[self.service].latency.draw(random);
        let mut verdict = Verdict::Reply;
        for fault in &faults {
            let meant = match *fault {
                FaultKind::Lame => first.then_some(Verdict::Fail),
                FaultKind::Errors(share) => random.happens(share).then_some(Verdict::Fail),
                FaultKind::Overloaded(share) => random.happens(share).then_some(Verdict::AskForLess),
                FaultKind::Hangs(share) => random.happens(share).then_some(Verdict::Hang),
                FaultKind::Panics(share) => random.happens(share).then_some(Verdict::Panic),
                FaultKind::Flaps(millis) => {
                    let down = (self.log.elapsed().as_millis() as u64 / millis).is_multiple_of(2);
                    down.then_some(Verdict::Fail)
                }
                FaultKind::Slow(times) => {
                    takes = takes * times as u32 + Duration::from_millis(20);
                    None
                }
                _ => None,
            };
            verdict = meant.unwrap_or(verdict);
        }
        let open = if faults.contains(&FaultKind::Narrow) { 1 } else { workers.len() };
        let after = match workers.iter_mut().take(open).min() {
            None => takes,
            Some(worker) if *worker > now + LONGEST_QUEUE => {
                verdict = Verdict::AskForLess;
                Duration::ZERO
            }
            Some(worker) => {
                *worker = (*worker).max(now) + takes;
                *worker - now
            }
        };
        let version = versions.entry(key).or_default();
        // Who asks for less has done nothing.
        if kind == Kind::Put && verdict != Verdict::AskForLess {
            *version += 1;
            let times = writes.entry(nonce).or_default();
            *times += 1;
            if *times > 1 {
                self.violations.add("I10", format_args!("{}: the write {nonce} is made twice", self.name()));
            }
        }
        let fate = Fate { after, verdict, version: *version };
        drop(inner);
        self.log.add(self.service, Step::Arrival(nonce, after.as_micros() as u64));
        fate
    }

    /// The attempt ends.
    pub(super) fn leave(&self, kind: Kind, nonce: u64, left: Left) {
        let mut inner = self.inner.lock();
        let seen = &mut inner.seen.by_kind[kind as usize];
        *match left {
            Left::Replied => &mut seen.replied,
            Left::Failed | Left::Refused => &mut seen.failed,
            Left::Overloaded => &mut seen.overloaded,
            Left::Panicked => &mut seen.panicked,
            Left::Dropped => &mut seen.dropped,
        } += 1;
        drop(inner);
        self.log.add(self.service, Step::Left(nonce, left));
    }

    /// A reply is taken for what it is not: the call's own judgement panics.
    pub(super) fn misjudged(&self, kind: Kind) {
        let seen = &mut self.inner.lock().seen.by_kind[kind as usize];
        seen.replied -= 1;
        seen.panicked += 1;
    }

    /// Looks at what goes wrong now.
    fn now<T>(&self, look: impl FnOnce(&[FaultKind]) -> T) -> T {
        look(self.inner.lock().weather.at(self.log.elapsed()))
    }

    fn name(&self) -> &'static str {
        self.plan.services[self.service].name
    }
}

/// Counts one more in the second that `at` is in.
pub(super) fn count_at(seconds: &mut Vec<u64>, at: Duration) {
    let second = at.as_secs() as usize;
    if seconds.len() <= second {
        seconds.resize(second + 1, 0);
    }
    seconds[second] += 1;
}
