//! One row of the costs, again and again, for a profiler or an instruction counter to look at:
//! `cargo run --release -p seawall-benches --bin one -- call 100000`.
//!
//! Two runs of different lengths, subtracted, give the instructions of one call without those of the start.

use std::{env, hint::black_box};

use seawall_benches::fixture::{Down, Fixture, Get, Kept};

fn main() -> Result<(), String> {
    let args: Vec<_> = env::args().skip(1).collect();
    let [row, times] = args.as_slice() else {
        return Err("one ROW TIMES, where ROW is call, hit or rejection".to_owned());
    };
    let times = times.parse().map_err(|error| format!("{times} is not how often: {error}"))?;
    actix_rt::System::new().block_on(repeat(row, times))
}

async fn repeat(row: &str, times: u64) -> Result<(), String> {
    let Fixture { runtime, ready, down } = Fixture::start().await?;
    for i in 0..times {
        match row {
            "call" => drop(black_box(ready.send(Get(i)).await)),
            "hit" => drop(black_box(ready.send(Kept(1)).await)),
            "rejection" => drop(black_box(down.send(Down).fallback(|_| 7).await)),
            _ => return Err(format!("{row} is not a row: there are call, hit and rejection")),
        }
    }
    runtime.drain().await;
    Ok(())
}
