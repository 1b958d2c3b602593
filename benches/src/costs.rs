//! What a call costs, beside what it is made of and what others cost:
//! `cargo run --release -p seawall-benches --bin costs [-- --quick]`.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{
    future::{Future as _, poll_fn},
    hint::black_box,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler, Message};
use moka::sync::Cache;
use seawall::Service;
use seawall_benches::{
    Figure, Options, Row,
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

fn main() -> Result<(), String> {
    let options = Options::from_args()?;
    options.report(&actix_rt::System::new().block_on(measure(&options))?)
}

async fn measure(options: &Options) -> Result<Vec<Figure>, String> {
    let Fixture { runtime, ready, down } = Fixture::start().await?;
    let bare = Bare.start();
    let cache: Cache<u64, u64> = Cache::builder().time_to_live(Duration::from_secs(300)).build();
    cache.insert(1, 1);

    let mut rows = [
        Row::new("clock: one reading", ""),
        Row::new("actix: bare send", ""),
        Row::new("call_ns", "<= 800"),
        Row::new("call, 64 at once", ""),
        Row::new("cache_hit_ns", "<= 150"),
        Row::new("moka: bare get with a ttl", ""),
        Row::new("rejection_ns", "<= 100"),
    ];
    for _ in 0..options.rounds(ROUNDS) {
        let [clock, send, call, at_once, hit, moka, rejection] = &mut rows;
        clock.turns(4_000, |_| {
            black_box(Instant::now());
        });
        send.round(1_000, |i| bare.send(Ping(i))).await;
        call.round(1_000, |i| ready.send(Get(i))).await;
        let began = Instant::now();
        for _ in 0..10 {
            sixty_four(&ready).await;
        }
        at_once.see(began.elapsed(), 10 * 64);
        hit.round(1_000, |_| ready.send(Kept(1))).await;
        moka.turns(1_000, |_| {
            black_box(cache.get(&black_box(1)));
        });
        rejection.round(1_000, |_| down.send(Down).fallback(|_| 7)).await;
    }
    runtime.drain().await;
    let [_, send, call, _, hit, moka, _] = &rows;
    let (call, hit) = (
        call.figure().beside("a bare actor's send", send.nanos),
        hit.figure().beside("moka's bare get", moka.nanos),
    );
    let mut figures: Vec<_> = rows.iter().map(Row::figure).collect();
    (figures[2], figures[4]) = (call, hit);
    Ok(figures)
}

/// 64 calls at once.
async fn sixty_four(service: &Service<Ready>) {
    let mut calls: Vec<_> = (0..64).map(|i| service.send(Get(i))).collect();
    poll_fn(|context| {
        calls.retain_mut(|call| Pin::new(call).poll(context).is_pending());
        if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
