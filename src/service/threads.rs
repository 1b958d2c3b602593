//! Which shard serves a thread's calls.
//!
//! A thread that can run local tasks (an actix arbiter, an actix-web worker, a `LocalSet`) has a seat of its own for each
//! service that it calls, found through a thread-local table by the service's process-wide id. Other threads (tokio's
//! multi-threaded workers) are served by arbiters that the runtime owns: here, lanes.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    hash::BuildHasherDefault,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use actix::Addr;
use actix_rt::{Arbiter, System};
use parking_lot::Mutex;
use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    time::Instant,
};

use super::{Occupancy, Seat, Shard, state::AsIs};
use crate::downstream::Downstream;

thread_local! {
    /// Looked into at each attempt, so that the standard hasher would cost it SIP.
    static SEATS: RefCell<HashMap<u64, Box<dyn Entry>, BuildHasherDefault<AsIs>>> = RefCell::default();
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    static BARE: Cell<Option<Bare>> = const { Cell::new(None) };
}

/// A seat, and the shard that sits there if it is this very thread's: found here, it costs no lock.
struct Known<D: Downstream> {
    seat: Arc<Seat<D>>,
    shard: Option<Addr<Shard<D>>>,
}

/// That a runtime was found to run no local tasks on this thread. It is tried again, ever more seldom: a `LocalSet` may
/// be entered on it later.
#[derive(Clone, Copy)]
struct Bare {
    runtime: Id,
    pause: Duration,
    again_at: Instant,
}

/// From the first trial to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// From one trial to the next at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A seat of whatever kind.
trait Entry {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn is_retired(&self) -> bool;
}

impl<D: Downstream> Entry for Known<D> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn is_retired(&self) -> bool {
        self.seat.with(|occupancy| matches!(occupancy, Occupancy::Retired))
    }
}

/// Lends this thread's seat at a service, if it has one.
pub(crate) fn with_seat<D: Downstream, T>(service: u64, lend: impl FnOnce(&Arc<Seat<D>>) -> T) -> Option<T> {
    with_known(service, |known| lend(&known.seat))
}

/// Lends the shard that sits on this very thread, if there is one.
pub(crate) fn with_shard<D: Downstream, T>(
    service: u64,
    lend: impl FnOnce(&Addr<Shard<D>>) -> T,
) -> Option<T> {
    with_known(service, |known| known.shard.as_ref().map(lend)).flatten()
}

fn with_known<D: Downstream, T>(service: u64, lend: impl FnOnce(&Known<D>) -> T) -> Option<T> {
    SEATS.with_borrow(|seats| seats.get(&service)?.as_any().downcast_ref::<Known<D>>().map(lend))
}

/// Says who sits at this thread's seat at a service.
pub(crate) fn set_shard<D: Downstream>(service: u64, shard: Option<Addr<Shard<D>>>) {
    // The former one is dropped after the borrow: with the last address of a shard goes its mailbox, and what is in it. A
    // thread that ends has no table any more.
    let _former = SEATS.try_with(|seats| {
        let mut seats = seats.borrow_mut();
        let known = seats.get_mut(&service)?.as_any_mut().downcast_mut::<Known<D>>()?;
        mem::replace(&mut known.shard, shard)
    });
}

/// Makes `seat` this thread's at a service. Seats of services that have ended meanwhile are forgotten.
pub(crate) fn take_seat<D: Downstream>(service: u64, seat: Arc<Seat<D>>) {
    let _forgotten: Vec<_> = SEATS.with_borrow_mut(|seats| {
        let retired: Vec<u64> =
            seats.iter().filter(|(_, seat)| seat.is_retired()).map(|(service, _)| *service).collect();
        let mut forgotten: Vec<_> = retired.iter().filter_map(|service| seats.remove(service)).collect();
        forgotten.extend(seats.insert(service, Box::new(Known { seat, shard: None })));
        forgotten
    });
}

/// Forgets this thread's seat at a service.
pub(crate) fn leave_seat(service: u64) {
    let _forgotten = SEATS.with_borrow_mut(|seats| seats.remove(&service));
}

/// Where the shard for this thread's calls can live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this thread.
    Here,
    /// On one that the runtime owns.
    Elsewhere,
    /// Nowhere: there is no async runtime to wait in.
    Nowhere,
}

/// Finds out whether this thread can run local tasks. Asked when a seat must be filled, not at each call.
pub(crate) fn place() -> Place {
    if Arbiter::try_current().is_some() {
        return Place::Here;
    }
    let Ok(runtime) = Handle::try_current() else { return Place::Nowhere };
    if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread {
        return Place::Elsewhere;
    }
    let now = Instant::now();
    let before = BARE.get().filter(|bare| bare.runtime == runtime.id());
    if before.is_some_and(|bare| now < bare.again_at) {
        return Place::Elsewhere;
    }
    // actix-web's workers under `#[tokio::main]` report no arbiter, and yet run local tasks. Nothing tells but trying, which
    // panics where it fails: so it is not tried each time.
    if can_spawn_local() {
        BARE.set(None);
        return Place::Here;
    }
    let pause = before.map_or(FIRST_PAUSE, |bare| (bare.pause * 2).min(LONGEST_PAUSE));
    BARE.set(Some(Bare { runtime: runtime.id(), pause, again_at: now + pause }));
    Place::Elsewhere
}

/// Runs `job` on this thread, where local tasks can be started; `false` if it cannot be. A task of tokio's own cannot
/// start one, although it runs on an arbiter's thread: the arbiter does it for all.
pub(crate) fn run_here(job: impl FnOnce() + Send + 'static) -> bool {
    match Arbiter::try_current() {
        Some(arbiter) => arbiter.spawn_fn(job),
        None => {
            job();
            true
        }
    }
}

fn can_spawn_local() -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(tokio::task::spawn_local(async {})))).is_ok()
}

/// This thread's name, for people.
pub(crate) fn thread_name() -> Arc<str> {
    let current = thread::current();
    match current.name() {
        Some(name) => name.into(),
        None => format!("{:?}", current.id()).into(),
    }
}

/// The arbiters that the runtime owns, for callers whose threads cannot run a shard. Each is started when it is first
/// needed, and again when it has died.
pub(crate) struct Lanes {
    /// What their threads are named by.
    prefix: &'static str,
    lanes: Vec<Mutex<Lane>>,
}

#[derive(Default)]
struct Lane {
    /// Set by the watchdog while something blocks the thread.
    stalled: bool,
    system: Option<System>,
    thread: Option<thread::JoinHandle<()>>,
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

impl Lanes {
    pub(crate) fn new(prefix: &'static str, count: usize) -> Self {
        Self { prefix, lanes: (0..count).map(|_| Mutex::default()).collect() }
    }

    /// How many there may be.
    pub(crate) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Says whether something blocks a lane's thread: calls go around it then.
    pub(crate) fn set_stalled(&self, thread: &str, stalled: bool) {
        let lane = (0..self.count()).find(|lane| *self.name(*lane) == *thread);
        if let Some(lane) = lane {
            self.lanes[lane].lock().stalled = stalled;
        }
    }

    /// `lane`, or the next one, of the first `among`, that nothing blocks.
    pub(crate) fn around(&self, lane: usize, among: usize) -> usize {
        let among = among.clamp(1, self.count());
        (0..among)
            .map(|further| (lane + further) % among)
            .find(|lane| !self.lanes[*lane].lock().stalled)
            .unwrap_or(lane)
    }

    /// The lane, of the first `among`, that serves this thread: always the same one. `None` without lanes.
    pub(crate) fn of_this_thread(&self, among: usize) -> Option<usize> {
        let among = among.min(self.count());
        let number = match NUMBER.get() {
            Some(number) => number,
            None => {
                let number = THREADS.fetch_add(1, Ordering::Relaxed);
                NUMBER.set(Some(number));
                number
            }
        };
        (among > 0).then(|| number % among)
    }

    /// The name of a lane's thread.
    pub(crate) fn name(&self, lane: usize) -> Arc<str> {
        format!("{}-{lane}", self.prefix).into()
    }

    /// Runs `job` on a lane.
    pub(crate) fn run(&self, lane: usize, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut slot = self.lanes[lane].lock();
        // A dead arbiter refuses, and takes the job with it: so it is asked with an empty one first.
        let alive = slot.system.as_ref().is_some_and(|system| system.arbiter().spawn_fn(|| {}));
        if !alive {
            *slot = Lane::start(self.name(lane))?;
        }
        match &slot.system {
            Some(system) if system.arbiter().spawn_fn(job) => Ok(()),
            _ => Err(io::Error::other("the runtime's own thread ended as soon as it had started")),
        }
    }

    /// Ends all lanes, without waiting for their threads.
    pub(crate) fn abandon(&self) {
        for lane in &self.lanes {
            if let Some(system) = lane.lock().system.take() {
                system.stop();
            }
        }
    }

    /// Ends all lanes, and waits for their threads.
    pub(crate) fn stop(&self) {
        let stopped: Vec<_> = self
            .lanes
            .iter()
            .filter_map(|lane| {
                let Lane { system, thread, .. } = mem::take(&mut *lane.lock());
                system?.stop();
                thread
            })
            .collect();
        for thread in stopped {
            if thread.thread().id() != thread::current().id() {
                // Its panic, if any, was told when it happened.
                let _ = thread.join();
            }
        }
    }
}

impl Lane {
    fn start(name: Arc<str>) -> io::Result<Self> {
        let (ready, started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(name.to_string()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let mut runtime = Some(runtime);
            let runner =
                System::with_tokio_rt(move || runtime.take().expect("the system asks for its runtime once"));
            let _ = ready.send(Ok(System::current()));
            let _ = runner.run();
        })?;
        let system = started.recv().unwrap_or_else(|_| {
            Err(io::Error::other("the runtime's own thread ended before it had started"))
        })?;
        Ok(Self { stalled: false, system: Some(system), thread: Some(thread) })
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("count", &self.count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_comes_to_run_local_tasks_is_found_out() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("tokio");
        let local = tokio::task::LocalSet::new();
        runtime.block_on(async { assert_eq!(place(), Place::Elsewhere) });
        local.block_on(&runtime, async {
            assert_eq!(place(), Place::Elsewhere, "it is not tried each time");
            tokio::time::advance(FIRST_PAUSE).await;
            assert_eq!(place(), Place::Here);
        });
        runtime.block_on(async {
            assert_eq!(place(), Place::Elsewhere);
            tokio::time::advance(FIRST_PAUSE).await;
            assert_eq!(place(), Place::Elsewhere);
            tokio::time::advance(FIRST_PAUSE).await;
        });
        local.block_on(&runtime, async {
            assert_eq!(place(), Place::Elsewhere, "ever more seldom");
            tokio::time::advance(FIRST_PAUSE).await;
            assert_eq!(place(), Place::Here);
        });
    }
}
