//! What the policies cost by themselves, beside other crates' of the same purpose:
//! `cargo run --release -p seawall-benches --bin policies [-- --quick]`.
//!
//! All are given what they need to decide as they usually do: ours the time, the others read it themselves. A call that
//! passes all policies reads the clock twice, as in the pipeline.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{
    convert::Infallible,
    hint::black_box,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use failsafe::CircuitBreaker as _;
use governor::{Quota, RateLimiter};
use recloser::{AsyncRecloser, Recloser};
use seawall::{
    policy::{
        blame::Verdict,
        breaker::{Breaker, BreakerSettings},
        budget::{BudgetSettings, RetryBudget},
        bulkhead::{Bulkhead, CodelSettings, Entry, Wait},
        latency::Histogram,
        rate::{Rate, RateSettings},
        window::WindowSize,
    },
    units::Tick,
};
use seawall_benches::{Figure, Options, Row};
use tower::{Service, ServiceBuilder, ServiceExt, retry::Policy};
use tower_resilience_bulkhead::BulkheadLayer;
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};
use tower_resilience_ratelimiter::RateLimiterLayer;

const ROUNDS: usize = 600;

/// So many calls a second that no rate limit stands in the way.
const PLENTY: u32 = 1_000_000_000;

/// A second's share of the rounds: each round of the breaker falls into other buckets of its window.
const ROUND_NANOS: u64 = 10_000_000;

fn main() -> Result<(), String> {
    let options = Options::from_args()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    options.report(&runtime.block_on(measure(&options))?)
}

/// What a call holds and asks of ours, all policies on.
struct Ours {
    began: Instant,
    breaker: Breaker,
    rate: Rate,
    bulkhead: Bulkhead<()>,
    budget: RetryBudget,
    durations: Histogram,
}

impl Ours {
    fn new() -> Self {
        let rate = RateSettings { limit: PLENTY, burst: PLENTY, ..RateSettings::default() };
        Self {
            began: Instant::now(),
            breaker: breaker(WindowSize::Time(Duration::from_secs(10))),
            rate: Rate::new(&rate),
            bulkhead: Bulkhead::new(100, 100, Some(CodelSettings::default())),
            budget: RetryBudget::new(BudgetSettings::default()),
            durations: Histogram::default(),
        }
    }

    fn now(&self) -> Tick {
        Tick::ZERO.after(self.began.elapsed())
    }

    /// Deadline, breaker, bulkhead, rate; then the outcome to all of them, and the duration.
    fn call(&self) -> bool {
        let now = self.now();
        let deadline = now.after(Duration::from_secs(3));
        self.budget.deposit(now);
        if self.breaker.look(now).is_err() {
            return false;
        }
        let wait = || Wait { waiter: (), came: now, deadline };
        let Entry::Admitted = self.bulkhead.enter(1, None, || 0, wait) else { return false };
        let Ok((permit, _)) = self.breaker.admit(now) else { return false };
        if self.rate.take(now).is_err() {
            return false;
        }
        let end = self.now();
        let elapsed = end.since(now);
        self.breaker.record(permit, Verdict::Success, elapsed, end);
        black_box(self.bulkhead.leave(end));
        self.durations.record(elapsed);
        black_box(deadline) > end
    }
}

fn breaker(window: WindowSize) -> Breaker {
    let settings = BreakerSettings { window, ..BreakerSettings::default() };
    Breaker::new(settings, 1, Tick::from_nanos(1))
}

fn admit_and_record(breaker: &Breaker, now: u64) {
    let now = Tick::from_nanos(now);
    if let Ok((permit, _)) = breaker.admit(now) {
        breaker.record(permit, Verdict::Success, Duration::ZERO, now);
    }
}

/// What tower's retry needs to be there and never happen.
#[derive(Clone)]
struct Once;

impl<R, A, E> Policy<R, A, E> for Once {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut R, _: &mut Result<A, E>) -> Option<Self::Future> {
        None
    }

    fn clone_request(&mut self, _: &R) -> Option<R> {
        None
    }
}

fn theirs(window: usize) -> Result<CircuitBreakerLayer, String> {
    CircuitBreakerLayer::builder()
        .sliding_window_type(SlidingWindowType::CountBased)
        .sliding_window_size(window)
        .minimum_number_of_calls(10)
        .build()
        .map_err(|error| format!("tower-resilience: {error}"))
}

async fn ready(id: u64) -> Result<u64, Infallible> {
    Ok(id)
}

async fn measure(options: &Options) -> Result<Vec<Figure>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("tower-resilience: {error}");
    let ours = Ours::new();
    let timed = breaker(WindowSize::Time(Duration::from_secs(10)));
    let (small, large) = (breaker(WindowSize::Calls(100)), breaker(WindowSize::Calls(50_000)));
    let recloser = Recloser::custom().error_rate(0.5).closed_len(100).build();
    let failsafe = failsafe::Config::new().build();
    let quota = Quota::per_second(NonZeroU32::new(PLENTY).unwrap_or(NonZeroU32::MIN));
    let governor = RateLimiter::direct(quota);
    let gate = tokio::sync::Semaphore::new(100);
    let by_hand = AsyncRecloser::from(Recloser::custom().error_rate(0.5).closed_len(100).build());

    let layers = || -> Result<_, String> {
        let bulkhead = BulkheadLayer::builder().max_concurrent_calls(100).build().map_err(|e| wrong(&e))?;
        let rate = RateLimiterLayer::builder()
            .limit_for_period(PLENTY as usize)
            .refresh_period(Duration::from_secs(1))
            .build()
            .map_err(|e| wrong(&e))?;
        Ok((bulkhead, rate))
    };
    let (bulkhead, rate) = layers()?;
    let mut stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(3))
        .layer(theirs(100)?)
        .layer(rate)
        .layer(bulkhead)
        .service(tower::service_fn(ready));
    let mut plain = ServiceBuilder::new()
        .timeout(Duration::from_secs(3))
        .retry(Once)
        .concurrency_limit(100)
        .service(tower::service_fn(ready));
    let mut hundred_theirs = ServiceBuilder::new().layer(theirs(100)?).service(tower::service_fn(ready));
    let mut many_theirs = ServiceBuilder::new().layer(theirs(50_000)?).service(tower::service_fn(ready));

    let mut rows = [
        Row::new("breaker_ns", "<= 20"),
        Row::new("recloser: call", ""),
        Row::new("failsafe: call", ""),
        Row::new("breaker_two_threads_ns", "<= 60"),
        Row::new("recloser: two threads", ""),
        Row::new("failsafe: two threads", ""),
        Row::new("window of 100 calls", ""),
        Row::new("window of 50,000 calls", ""),
        Row::new("tower-resilience: window of 100", ""),
        Row::new("tower-resilience: window of 50,000", ""),
        Row::new("rate: take", ""),
        Row::new("governor: check", ""),
        Row::new("policies_ns", "<= 120"),
        Row::new("governor, recloser, tokio's timeout", ""),
        Row::new("tower: timeout, retry, limit", ""),
        Row::new("tower and tower-resilience", ""),
    ];
    for round in 0..options.rounds(ROUNDS) as u64 {
        let [
            one,
            one_recloser,
            one_failsafe,
            two,
            two_recloser,
            two_failsafe,
            hundred,
            many,
            hundred_tower,
            many_tower,
            take,
            check,
            all,
            all_by_hand,
            all_plain,
            all_tower,
        ] = &mut rows;
        let now = |i: u64| 1 + round * ROUND_NANOS + i * 100;
        one.turns(2_000, |i| admit_and_record(&timed, now(i)));
        one_recloser.turns(2_000, |i| drop(black_box(recloser.call(|| Ok::<_, Infallible>(i)))));
        one_failsafe.turns(2_000, |i| drop(black_box(failsafe.call(|| Ok::<_, Infallible>(i)))));
        two.two_threads(20_000, |i| admit_and_record(&timed, now(i)));
        two_recloser.two_threads(20_000, |i| drop(black_box(recloser.call(|| Ok::<_, Infallible>(i)))));
        two_failsafe.two_threads(20_000, |i| drop(black_box(failsafe.call(|| Ok::<_, Infallible>(i)))));
        hundred.turns(2_000, |i| admit_and_record(&small, now(i)));
        many.turns(2_000, |i| admit_and_record(&large, now(i)));
        for (row, service) in [(hundred_tower, &mut hundred_theirs), (many_tower, &mut many_theirs)] {
            let began = Instant::now();
            for i in 0..200 {
                let called = service.ready().await.map_err(|e| wrong(&e))?.call(i).await;
                black_box(called.map_err(|e| wrong(&e))?);
            }
            row.see(began.elapsed(), 200);
        }
        take.turns(2_000, |_| assert!(black_box(ours.rate.take(ours.now())).is_ok(), "there is plenty"));
        check.turns(2_000, |_| drop(black_box(governor.check())));
        all.turns(2_000, |_| assert!(ours.call(), "all policies let it pass"));
        all_by_hand
            .round(1_000, async |i| {
                governor.check().map_err(drop)?;
                let _permit = gate.try_acquire().map_err(drop)?;
                let call = by_hand.call(ready(i));
                tokio::time::timeout(Duration::from_secs(3), call).await.map_err(drop)?.map_err(drop)
            })
            .await;
        let began = Instant::now();
        for i in 0..1_000 {
            let called = plain.ready().await.map_err(|e| e.to_string())?.call(i).await;
            black_box(called.map_err(|e| e.to_string())?);
        }
        all_plain.see(began.elapsed(), 1_000);
        let began = Instant::now();
        for i in 0..1_000 {
            let called = stack.ready().await.map_err(|e| e.to_string())?.call(i).await;
            black_box(called.map_err(|e| e.to_string())?);
        }
        all_tower.see(began.elapsed(), 1_000);
    }
    let nanos = |name: &str| rows.iter().find(|row| row.name == name).map_or(f64::NAN, |row| row.nanos);
    let mut figures: Vec<_> = rows.iter().map(Row::figure).collect();
    for figure in &mut figures {
        let peers: &[_] = match figure.name {
            "breaker_ns" => &[("recloser", "recloser: call"), ("failsafe", "failsafe: call")],
            "breaker_two_threads_ns" => {
                &[("recloser", "recloser: two threads"), ("failsafe", "failsafe: two threads")]
            }
            "rate: take" => &[("governor", "governor: check")],
            "policies_ns" => &[
                ("by hand", "governor, recloser, tokio's timeout"),
                ("tower", "tower: timeout, retry, limit"),
                ("tower-resilience", "tower and tower-resilience"),
            ],
            _ => &[],
        };
        *figure = peers.iter().fold(figure.clone(), |figure, (peer, row)| figure.beside(peer, nanos(row)));
    }
    let ratio = Figure::new(
        "window_50k_ratio",
        nanos("window of 50,000 calls") / nanos("window of 100 calls"),
        "ratio",
        "1.0",
    );
    let theirs = nanos("tower-resilience: window of 50,000") / nanos("tower-resilience: window of 100");
    figures.push(ratio.beside("tower-resilience", theirs));
    Ok(figures)
}
