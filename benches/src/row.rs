//! Timing: the least over rounds that alternate between all rows, so that a noisy machine slows all alike.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{
    future::Future,
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::Figure;

/// One thing that is timed.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is timed.
    pub name: &'static str,
    /// What it should cost; empty for what is there to compare with.
    pub goal: &'static str,
    /// The least that one turn cost.
    pub nanos: f64,
}

impl Row {
    /// A row that was not timed yet.
    pub fn new(name: &'static str, goal: &'static str) -> Self {
        Self { name, goal, nanos: f64::MAX }
    }

    /// The row as a figure.
    pub fn figure(&self) -> Figure {
        Figure::new(self.name, self.nanos, "ns", self.goal)
    }

    /// Keeps the time of a round of so many turns, if it is the least.
    pub fn see(&mut self, took: Duration, times: u64) {
        self.nanos = self.nanos.min(took.as_nanos() as f64 / times as f64);
    }

    /// A round of turns that wait.
    pub async fn round<F: Future>(&mut self, times: u64, mut one: impl FnMut(u64) -> F) {
        let began = Instant::now();
        for i in 0..times {
            black_box(one(i).await);
        }
        self.see(began.elapsed(), times);
    }

    /// A round of turns that do not.
    pub fn turns(&mut self, times: u64, mut one: impl FnMut(u64)) {
        let began = Instant::now();
        for i in 0..times {
            one(black_box(i));
        }
        self.see(began.elapsed(), times);
    }

    /// A round of turns on two threads at once; a turn costs what both together took over all turns of both.
    pub fn two_threads(&mut self, times: u64, one: impl Fn(u64) + Sync) {
        let arrived = AtomicU32::new(0);
        let half = || {
            // To wake a thread takes longer than a round: both spin until the other is there.
            arrived.fetch_add(1, Ordering::AcqRel);
            while arrived.load(Ordering::Acquire) < 2 {
                std::hint::spin_loop();
            }
            let began = Instant::now();
            (0..times).for_each(|i| one(black_box(i)));
            began.elapsed()
        };
        let took = thread::scope(|scope| {
            let other = scope.spawn(half);
            let own = half();
            own.max(other.join().unwrap_or(Duration::MAX / 4))
        });
        self.see(took, times);
    }
}
