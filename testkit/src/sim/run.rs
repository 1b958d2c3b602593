use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use seawall::{Priority, Runtime, Service, telemetry::What};
use tokio::time::{Instant, sleep};

use super::{
    books::{Books, End},
    callers,
    kind::{Get, Message, Simulated},
    log::{Ending, Entry, Log, Step, hash_of},
    overrides, panics,
    plan::{Fault, FaultKind, Plan},
    reload::{Files, reload},
    rules::{self, Verdicts, Violation, Violations},
    settings::{DEADLINE, MEASURED_MOST},
    sights::{self, Sights},
    world::{Kind, World},
};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Rules that did not hold.
    pub violations: Vec<Violation>,
    /// Calls that were made.
    pub calls: u64,
    /// Things that happened.
    pub steps: u64,
    /// How long it took by its own clock.
    pub virtual_time: Duration,
    /// The hash of everything that happened, in order: the same in every run of a seed.
    pub hash: u64,
    /// The last things that happened; all of them where they were asked for.
    pub log: Vec<Entry>,
    /// What came about, and how often.
    pub sights: Sights,
    /// Each service's calls by second.
    pub seconds: Vec<Vec<Second>>,
}

/// One second of a service's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Calls that ended.
    pub ended: u64,
    /// Those that had an answer of the downstream's, or kept.
    pub answered: u64,
    /// How long these took: 99 of 100 at most so long.
    pub p99: Duration,
    /// Critical calls that ended.
    pub critical: u64,
    /// Those that had an answer.
    pub critical_answered: u64,
}

/// What the tasks of a run share.
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) log: Arc<Log>,
    pub(super) books: Books,
    pub(super) violations: Arc<Violations>,
    pub(super) worlds: Vec<Arc<World>>,
}

/// Runs a plan: a whole runtime with its supervisors, its downstreams and its callers on one thread, in virtual time.
/// With `whole_log` everything that happened is kept, else the last few hundred steps.
///
/// # Panics
/// If there is no thread, or no directory for the settings.
pub fn run(plan: &Plan, whole_log: bool) -> Report {
    let plan = Arc::new(plan.clone());
    crate::virtual_time(async || {
        panics::watch();
        simulate(plan, whole_log).await
    })
}

async fn simulate(plan: Arc<Plan>, whole_log: bool) -> Report {
    let log = Arc::new(Log::new(whole_log));
    let violations = Arc::new(Violations::default());
    let worlds: Vec<_> =
        (0..plan.services.len()).map(|place| Arc::new(World::new(place, &plan, &log, &violations))).collect();
    let books = Books::new(plan.services.len());
    let run = Arc::new(Run { plan: Arc::clone(&plan), log, books, violations, worlds });

    let files = Files::new().unwrap_or_else(|error| panic!("no directory for the settings: {error}"));
    files.write(&plan.toml(&[]));
    let mut builder = Runtime::builder().kind::<Simulated>().current_thread().seed(plan.seed);
    for (service, world) in plan.services.iter().zip(&run.worlds) {
        builder = builder.extension(service.name, Arc::clone(world));
    }
    let runtime = match builder.load(files.path()) {
        Ok(builder) => builder.start().await.unwrap_or_else(|error| panic!("{error}")),
        Err(errors) => panic!("{errors}"),
    };
    let mut events = runtime.events();
    let services: Vec<Service<Simulated>> = plan
        .services
        .iter()
        .map(|service| runtime.service(service.name).unwrap_or_else(|error| panic!("{error}")))
        .collect();

    for (place, service) in services.iter().enumerate() {
        actix_rt::spawn(callers::call_on(Arc::clone(&run), place, service.clone()));
    }
    for fault in &plan.faults {
        let service = services[fault.service].clone();
        actix_rt::spawn(stage(Arc::clone(&run), *fault, service));
    }
    let reloads = actix_rt::spawn(reload(Arc::clone(&run), runtime.clone(), files));
    let overrides = actix_rt::spawn(overrides::set(Arc::clone(&run), runtime.clone()));
    let drained = plan.drains_busy.then(|| {
        let (runtime, at) = (runtime.clone(), plan.load_ends.saturating_sub(run.log.elapsed()));
        actix_rt::spawn(async move {
            sleep(at).await;
            runtime.drain().await.cut_off
        })
    });

    // Some time after the last call's deadline nothing is under way.
    let end = run.log.elapsed() + plan.load_ends + DEADLINE * 2;
    let mut watch = Watch::new(&plan);
    while run.log.elapsed() < end {
        sleep(GLANCE).await;
        watch.glance(&run, &runtime);
        while let Some(event) = events.try_next() {
            if let Some(sight) = sights::of_event(&event.what) {
                run.books.sight(sight);
            }
            let place = event.service.and_then(|name| place_of(&plan, &name));
            // What is wrong with a file names its path, which no two runs share.
            let text = match &event.what {
                What::ReloadRefused { .. } => "ReloadRefused".to_owned(),
                what => format!("{what:?}"),
            };
            run.log.add(place.unwrap_or(plan.services.len()), Step::Told(hash_of(&text)));
        }
    }
    let (good, bad) = reloads.await.unwrap_or_else(|error| panic!("the reloads ended: {error}"));
    let overrides = overrides.await.unwrap_or_else(|error| panic!("the overrides ended: {error}"));
    if let Some(drained) = drained {
        let cut_off = drained.await.unwrap_or_else(|error| panic!("the drain ended: {error}"));
        if cut_off > 0 {
            run.violations.add("I1", format_args!("a busy drain cut {cut_off} calls off"));
        }
    }
    judge(&run, runtime, good, bad, overrides).await
}

async fn judge(run: &Run, runtime: Runtime, good: u64, bad: u64, overrides: u64) -> Report {
    let Run { plan, log, books, violations, worlds } = run;
    let verdicts = Verdicts { plan, books, violations };
    let (snapshot, metrics) = (runtime.snapshot(), runtime.metrics());
    for nonce in books.overdue(Instant::now()) {
        violations.add("I1", format_args!("{nonce} has never ended"));
    }
    verdicts.nothing_is_left(&snapshot);
    verdicts.reloads_count(&snapshot, good, bad, overrides);
    for (place, service) in plan.services.iter().enumerate() {
        let seen = worlds[place].seen();
        match snapshot.service(service.name) {
            Some(shown) => verdicts.figures_are_true(place, shown, &seen, &metrics),
            None => violations.add("I8", format_args!("{} is not shown", service.name)),
        }
        verdicts.nothing_is_amplified(place, &seen);
        verdicts.recovers(place);
        verdicts.the_rest_is_well(place);
        if service.neighbour {
            verdicts.neighbour_is_well(place);
        }
    }
    for (place, service) in snapshot.services.iter().enumerate() {
        let text = serde_json::to_string(service).unwrap_or_else(|error| error.to_string());
        log.add(place, Step::Shown(hash_of(&text)));
    }
    let cut_off = runtime.drain().await.cut_off;
    if cut_off > 0 {
        violations.add("I1", format_args!("the drain cut {cut_off} calls off"));
    }
    for (place, world) in worlds.iter().enumerate() {
        verdicts.pools_are_closed(place, &world.seen());
    }
    verdicts.panics_are_ours(&panics::seen());
    let seconds = (0..plan.services.len()).map(|place| by_second(&books.all_ends(place))).collect();
    Report {
        violations: violations.take(),
        calls: books.calls(),
        steps: log.steps(),
        virtual_time: log.elapsed(),
        hash: log.hash(),
        log: log.take(),
        sights: books.sights(),
        seconds,
    }
}

fn place_of(plan: &Plan, name: &str) -> Option<usize> {
    plan.services.iter().position(|service| service.name == name)
}

/// What is looked at while a run goes on.
struct Watch {
    /// The bulkheads' limits as they were last seen, and since when.
    limits: Vec<[(u64, u64); 2]>,
    changed: Vec<Duration>,
}

/// How often.
const GLANCE: Duration = Duration::from_millis(100);

impl Watch {
    fn new(plan: &Plan) -> Self {
        Self {
            limits: vec![[(0, 0); 2]; plan.services.len()],
            changed: vec![Duration::ZERO; plan.services.len()],
        }
    }

    fn glance(&mut self, run: &Run, runtime: &Runtime) {
        let now = run.log.elapsed();
        let snapshot = runtime.snapshot();
        for service in &snapshot.services {
            let Some(place) = place_of(&run.plan, &service.name) else { continue };
            let limits = service.bulkhead.as_ref().map(|gate| {
                let limits = (u64::from(gate.max_in_flight), u64::from(gate.max_queue));
                let [current, before] = &mut self.limits[place];
                if *current != limits {
                    (*before, *current) = (*current, limits);
                    self.changed[place] = now;
                }
                // A measured limit goes up and down between two glances.
                if run.plan.services[place].settings.adaptive {
                    return (MEASURED_MOST, limits.1.max(before.1));
                }
                // Who was admitted by wider limits has his time to end.
                if now < self.changed[place] + DEADLINE * 2 {
                    (limits.0.max(before.0), limits.1.max(before.1))
                } else {
                    limits
                }
            });
            rules::bounded(service, limits, now, &run.violations);
        }
        for nonce in run.books.overdue(Instant::now()) {
            run.violations.add("I1", format_args!("{nonce} has not ended by {now:?}"));
        }
    }
}

/// Does what a fault needs to have done beside what the downstream does by itself.
async fn stage(run: Arc<Run>, fault: Fault, service: Service<Simulated>) {
    sleep(fault.from.saturating_sub(run.log.elapsed())).await;
    match fault.kind {
        FaultKind::Pool(_) => service.reopen(),
        FaultKind::Kills(millis) => {
            let until = fault.until.min(run.plan.load_ends);
            while run.log.elapsed() < until {
                kill(&run, fault.service, &service).await;
                sleep(Duration::from_millis(millis)).await;
            }
        }
        _ => {}
    }
}

/// Makes the shard's actor panic: a call that waits in its mailbox loses its caller, and the last of it that is dropped
/// there panics.
async fn kill(run: &Run, place: usize, service: &Service<Simulated>) {
    let start = Instant::now();
    let (nonce, _) = run.books.begin(place, 0, run.log.elapsed(), start + DEADLINE);
    run.log.add(place, Step::Killed);
    let armed = Arc::new(AtomicBool::new(false));
    let message = Message {
        nonce,
        key: 0,
        deadline: start + DEADLINE,
        trap: None,
        world: Arc::clone(&run.worlds[place]),
        armed: Arc::clone(&armed),
    };
    let mut call = service.send(Get(message));
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut call).poll(context))).await;
    let how = match first {
        Poll::Pending => {
            armed.store(true, Ordering::Relaxed);
            Ending::Cancelled
        }
        Poll::Ready(result) => callers::ending(Some(&result)),
    };
    // Where no shard has it by now, it panics here.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(call)));
    let end = End { at: run.log.elapsed(), how, took: start.elapsed(), priority: Priority::Normal };
    run.books.end(place, Kind::Get, nonce, end, true);
}

/// Calls by the second in which they ended.
fn by_second(ends: &[End]) -> Vec<Second> {
    let length = ends.last().map_or(0, |end| end.at.as_secs() as usize + 1);
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); length];
    let mut seconds = vec![Second::default(); length];
    for end in ends {
        let second = end.at.as_secs() as usize;
        seconds[second].ended += 1;
        let (answered, critical) =
            (matches!(end.how, Ending::Fresh | Ending::Cached), end.priority == Priority::Critical);
        seconds[second].critical += u64::from(critical);
        seconds[second].critical_answered += u64::from(critical && answered);
        if answered {
            seconds[second].answered += 1;
            times[second].push(end.took);
        }
    }
    for (second, times) in seconds.iter_mut().zip(&mut times) {
        times.sort_unstable();
        second.p99 =
            times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
    }
    seconds
}
