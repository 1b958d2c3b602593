//! What seawall holds and allocates, and how soon it is there:
//! `cargo run --release -p seawall-benches --bin footprint [-- --quick]`.
//!
//! An instrumented allocator counts, which costs time: so nothing that is timed in nanoseconds is timed here.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{
    alloc::System,
    fmt::Write as _,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rustix::time::{ClockId, clock_gettime};
use seawall::{
    Call, Failure, Runtime,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing},
    policy::{
        breaker::{Breaker, BreakerSettings},
        budget::{BudgetSettings, RetryBudget},
        bulkhead::{Bulkhead, CodelSettings},
        rate::{Rate, RateSettings},
    },
    telemetry::What,
    units::Tick,
};
use seawall_benches::{
    Figure, Options,
    fixture::{Down, Fixture, Get, Kept, Ready},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often a load was asked of the downstream.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// A load that takes a moment, so that others come to wait for it.
struct Load;

impl Call<Ready> for Load {
    type Reply = u64;
    const NAME: &'static str = "Load";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<u64>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, _: &mut KeyWriter<'_>) -> Cacheable {
        Cacheable::Yes
    }

    async fn attempt(&self, _: &Ready, _: &Attempt) -> Result<u64, Failure> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(LOADS.fetch_add(1, Ordering::Relaxed))
    }
}

fn main() -> Result<(), String> {
    let options = Options::from_args()?;
    options.report(&actix_rt::System::new().block_on(measure(&options))?)
}

async fn measure(options: &Options) -> Result<Vec<Figure>, String> {
    let mut figures = allocations().await?;
    figures.push(policies());
    figures.extend(calls().await?);
    figures.extend(many(10_000, true).await?);
    if !options.quick {
        figures.extend(many(100_000, false).await?);
    }
    Ok(figures)
}

/// Allocations of one call of each sort.
async fn allocations() -> Result<Vec<Figure>, String> {
    const TIMES: u64 = 1_000;
    let Fixture { runtime, ready, down } = Fixture::start().await?;
    let count = |region: &Region<'_, System>| region.change().allocations as f64 / TIMES as f64;

    let region = Region::new(ALLOCATOR);
    for i in 0..TIMES {
        let _ = black_box(ready.send(Get(i)).await);
    }
    let call = count(&region);
    let region = Region::new(ALLOCATOR);
    for _ in 0..TIMES {
        let _ = black_box(ready.send(Kept(1)).await);
    }
    let hit = count(&region);
    let region = Region::new(ALLOCATOR);
    for _ in 0..TIMES {
        let _ = black_box(down.send(Down).fallback(|_| 7).await);
    }
    let rejection = count(&region);
    runtime.drain().await;
    Ok(vec![
        Figure::new("allocations a call", call, "", ""),
        Figure::new("allocations a hit", hit, "", "0"),
        Figure::new("allocations a rejection", rejection, "", "0"),
    ])
}

/// The policies of so many idle services.
fn policies() -> Figure {
    const SERVICES: usize = 100_000;
    let region = Region::new(ALLOCATOR);
    let idle: Vec<_> = (0..SERVICES as u64)
        .map(|seed| {
            (
                Breaker::new(BreakerSettings::default(), seed, Tick::ZERO),
                Bulkhead::<Box<()>>::new(100, 100, Some(CodelSettings::default())),
                RetryBudget::new(BudgetSettings::default()),
                Rate::new(&RateSettings::default()),
            )
        })
        .collect();
    let change = region.change();
    let bytes = (change.bytes_allocated - change.bytes_deallocated) as f64 / SERVICES as f64;
    drop(black_box(idle));
    Figure::new("idle_bytes", bytes, "bytes", "<= 512")
}

/// How many loads 10,000 who wait for one key cost, and how soon a call is answered by a pool that takes
/// the place of another.
async fn calls() -> Result<[Figure; 2], String> {
    const WAITING: usize = 10_000;
    let Fixture { runtime, ready, .. } = Fixture::start().await?;
    let waiting = join_all((0..WAITING).map(|_| ready.send(Load))).await;
    let answered = waiting.iter().filter(|answer| answer.is_ok()).count();
    if answered != WAITING {
        return Err(format!("of {WAITING} who waited for one key {answered} got an answer"));
    }

    let mut restart = Duration::MAX;
    for i in 0..50 {
        let mut events = runtime.events();
        let began = Instant::now();
        ready.reopen();
        while events.next().await.is_some_and(|event| !matches!(event.what, What::PoolOpened { .. })) {}
        ready.send(Get(i)).await.map_err(|error| error.to_string())?;
        restart = restart.min(began.elapsed());
    }
    runtime.drain().await;
    Ok([
        Figure::new("coalesce_loads", LOADS.load(Ordering::Relaxed) as f64, "", "1"),
        Figure::new("restart_ms", restart.as_secs_f64() * 1e3, "ms", "< 5"),
    ])
}

/// A runtime of so many services that nobody calls.
async fn many(services: u32, timed: bool) -> Result<Vec<Figure>, String> {
    let mut settings = String::new();
    for service in 0..services {
        let _ = writeln!(settings, "[services.s{service}]\nkind = \"ready\"");
    }
    let region = Region::new(ALLOCATOR);
    let began = Instant::now();
    let builder = Runtime::builder().kind::<Ready>().parse(&settings).map_err(|error| error.to_string())?;
    let runtime = builder.start().await.map_err(|error| error.to_string())?;
    let took = began.elapsed();
    drop(settings);
    let change = region.change();
    let held = change.bytes_allocated as i64 - change.bytes_deallocated as i64;

    let (cpu, began) = (cpu_time(), Instant::now());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = (cpu_time() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    runtime.drain().await;
    if timed {
        Ok(vec![
            Figure::new("services_10k_ms", took.as_secs_f64() * 1e3, "ms", "< 1000"),
            Figure::new("services_10k_bytes", held as f64 / f64::from(services), "bytes", "<= 8192"),
        ])
    } else {
        Ok(vec![Figure::new("idle_cpu", idle * 100.0, "%", "< 1")])
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
