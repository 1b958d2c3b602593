//! What a call costs, beside what it is made of: `cargo run --release -p seawall-benches --bin costs [-- --quick]`.
//!
//! Each figure is the minimum over rounds that alternate between all rows, so that a noisy machine slows all alike.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{
    future::Future,
    hint::black_box,
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler, Message};
use seawall::{
    Service,
    policy::{
        blame::Verdict,
        breaker::{Breaker, BreakerSettings},
        bulkhead::{Bulkhead, Entry},
        window::WindowSize,
    },
    units::Tick,
};
use seawall_benches::{
    Figure, Options,
    fixture::{Down, Fixture, Get, Kept, Ready},
};

/// Many and short, so that some of them fall between the turns of a busy machine's other work.
const ROUNDS: usize = 750;

/// A bare actor, for what actix costs by itself.
struct Bare;

impl Actor for Bare {
    type Context = Context<Self>;
}

struct Ping(u64);

impl Message for Ping {
    type Result = u64;
}

impl Handler<Ping> for Bare {
    type Result = u64;

    fn handle(&mut self, Ping(number): Ping, _: &mut Self::Context) -> u64 {
        number + 1
    }
}

struct Row {
    name: &'static str,
    goal: &'static str,
    nanos: f64,
}

impl Row {
    fn new(name: &'static str, goal: &'static str) -> Self {
        Self { name, goal, nanos: f64::MAX }
    }

    fn see(&mut self, took: Duration, times: u64) {
        self.nanos = self.nanos.min(took.as_nanos() as f64 / times as f64);
    }

    async fn round<F: Future>(&mut self, times: u64, mut one: impl FnMut(u64) -> F) {
        let began = Instant::now();
        for i in 0..times {
            black_box(one(i).await);
        }
        self.see(began.elapsed(), times);
    }

    fn turns(&mut self, times: u64, mut one: impl FnMut(u64)) {
        let began = Instant::now();
        for i in 0..times {
            one(black_box(i));
        }
        self.see(began.elapsed(), times);
    }
}

fn main() -> Result<(), String> {
    let options = Options::from_args()?;
    options.report(&actix_rt::System::new().block_on(measure(&options))?)
}

async fn measure(options: &Options) -> Result<Vec<Figure>, String> {
    let Fixture { runtime, ready, down } = Fixture::start().await?;
    let bare = Bare.start();

    let start = Tick::from_nanos(1);
    let breaker = Breaker::new(BreakerSettings::default(), 1, start);
    let of = |calls| {
        let settings = BreakerSettings { window: WindowSize::Calls(calls), ..BreakerSettings::default() };
        Breaker::new(settings, 1, start)
    };
    let (small, large) = (of(100), of(50_000));
    let gate: Bulkhead<()> = Bulkhead::new(100, 100);
    let admit_and_record = |breaker: &Breaker, i: u64| {
        let now = Tick::from_nanos(1 + i * 100);
        if let Ok((permit, _)) = breaker.admit(now) {
            breaker.record(permit, Verdict::Success, Duration::ZERO, now);
        }
    };

    let mut rows = [
        Row::new("breaker_ns", "<= 20"),
        Row::new("window of 100 calls", ""),
        Row::new("window of 50,000 calls", ""),
        Row::new("bulkhead: enter and leave", ""),
        Row::new("clock: one reading", ""),
        Row::new("actix: bare send", ""),
        Row::new("call_ns", "<= 800"),
        Row::new("call, 64 at once", ""),
        Row::new("cache_hit_ns", "<= 150"),
        Row::new("rejection_ns", "<= 100"),
    ];
    for _ in 0..options.rounds(ROUNDS) {
        let [breaker_ns, hundred, many, bulkhead, clock, send, call, at_once, hit, rejection] = &mut rows;
        breaker_ns.turns(4_000, |i| admit_and_record(&breaker, i));
        hundred.turns(4_000, |i| admit_and_record(&small, i));
        many.turns(4_000, |i| admit_and_record(&large, i));
        bulkhead.turns(4_000, |_| {
            if let Entry::Admitted = gate.enter(1, Tick::from_nanos(u64::MAX), None, || ()) {
                black_box(gate.leave(start));
            }
        });
        clock.turns(4_000, |_| {
            black_box(Instant::now());
        });
        send.round(1_000, |i| bare.send(Ping(i))).await;
        call.round(1_000, |i| ready.send(Get(i))).await;
        let began = Instant::now();
        for _ in 0..10 {
            futures(&ready).await;
        }
        at_once.see(began.elapsed(), 10 * 64);
        hit.round(1_000, |_| ready.send(Kept(1))).await;
        rejection.round(1_000, |_| down.send(Down).fallback(|_| 7)).await;
    }
    runtime.drain().await;
    let [_, hundred, many, _, _, send, ..] = &rows;
    let (send, window_ratio) = (send.nanos, many.nanos / hundred.nanos);
    let mut figures: Vec<_> =
        rows.into_iter().map(|Row { name, goal, nanos }| Figure::new(name, nanos, "ns", goal)).collect();
    for call in figures.iter_mut().filter(|figure| figure.name == "call_ns") {
        *call = call.clone().beside("a bare actor's send", send);
    }
    figures.push(Figure::new("window_50k_ratio", window_ratio, "ratio", "1.0"));
    Ok(figures)
}

/// 64 calls at once.
async fn futures(service: &Service<Ready>) {
    let mut calls: Vec<_> = (0..64).map(|i| service.send(Get(i))).collect();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| std::pin::Pin::new(call).poll(context).is_pending());
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
