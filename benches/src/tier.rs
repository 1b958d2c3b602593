//! What a tier that processes share costs, on a real Redis:
//! `cargo run --release -p seawall-benches --bin tier [-- --quick]`.
//!
//! Two runtimes on one thread, whose downstream is ready at once, so that what is left is the cache's own: a hit in memory, a
//! hit of what the other has loaded, a miss (a look, a lease, and the load; it is kept after the answer). Then the server is
//! frozen, and what that adds to a call is measured, until the tier's breaker is open and after.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use seawall::{Origin, Runtime, Service};
use seawall_benches::{Figure, Options, Row};
use seawall_redis::Redis;
use seawall_testkit::{Behaviour, Lookup, Reaction, RedisServer, Scripted};

const ROUNDS: usize = 15;
/// Keys of a round; each is missed once, and found once.
const KEYS: u64 = 400;
const HITS: u64 = 1_000;
/// Calls on a frozen server.
const HUNG: u64 = 200;

type Problem = Box<dyn Error>;

fn main() -> Result<(), String> {
    let options = Options::from_args()?;
    let figures = actix_rt::System::new()
        .block_on(measure(&options))
        .map_err(|error| format!("the tier failed: {error}"))?;
    options.report(&figures)
}

async fn measure(options: &Options) -> Result<Vec<Figure>, Problem> {
    let server = RedisServer::start().await;
    let (one, loads) = process(&server).await?;
    let (other, finds) = process(&server).await?;

    let mut rows =
        [Row::new("tier: memory hit", ""), Row::new("tier: shared hit", ""), Row::new("tier: miss", "")];
    for round in 0..options.rounds(ROUNDS) as u64 {
        let [memory, shared, miss] = &mut rows;
        let keys = round * KEYS;
        let kept = kept(&one);
        miss.round(KEYS, |i| loads.send(Lookup(keys + i))).await;
        until(|| self::kept(&one) == kept + KEYS).await?;
        shared.round(KEYS, |i| finds.send(Lookup(keys + i))).await;
        let found = finds.send(Lookup(keys)).await?;
        if found.origin() != Origin::Cached {
            return Err("a hit was none".into());
        }
        memory.round(HITS, |_| loads.send(Lookup(keys))).await;
    }

    server.freeze();
    let mut took = Vec::new();
    for id in 0..HUNG {
        let before = Instant::now();
        loads.send(Lookup(u64::MAX - id)).await?;
        took.push(before.elapsed());
    }
    server.thaw();
    // Five that fail open the breaker; a second later it is tried again.
    let (paid, mut after) = (&mut took[..5].to_vec(), took.split_off(10));
    paid.sort_unstable();
    after.sort_unstable();
    let (paid, worst, after) = (paid[paid.len() / 2], paid[paid.len() - 1], after[after.len() * 99 / 100]);
    one.drain().await;
    other.drain().await;

    let mut figures: Vec<_> = rows.iter().map(Row::figure).collect();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    figures.push(Figure::new("hung_tier_ms", millis(paid), "ms", "<= 20.5"));
    figures.push(Figure::new("hung tier, the worst of five", millis(worst), "ms", ""));
    figures.push(Figure::new("hung tier, breaker open, p99", after.as_secs_f64() * 1e6, "us", ""));
    Ok(figures)
}

/// A runtime that hears the tier's news.
async fn process(server: &RedisServer) -> Result<(Runtime, Service<Scripted>), Problem> {
    let settings = format!(
        "[services.tier]\nkind = \"redis\"\nurl = \"{}\"\n[services.users]\nkind = \"scripted\"\n\
         cache = {{ ttl = \"10m\", shared = {{ service = \"tier\", budget = \"20ms\" }} }}",
        server.url()
    );
    let runtime = Runtime::builder()
        .kind::<Scripted>()
        .kind::<Redis>()
        .extension("users", Behaviour::new(|_| Reaction::Reply))
        .parse(settings)?
        .start()
        .await?;
    let users = runtime.service("users")?;
    until(|| {
        let snapshot = runtime.snapshot();
        snapshot.service("tier").and_then(|tier| tier.tier.as_ref()).is_some_and(|tier| tier.heard)
    })
    .await?;
    Ok((runtime, users))
}

/// How many replies the tier has taken.
fn kept(runtime: &Runtime) -> u64 {
    let snapshot = runtime.snapshot();
    let call = snapshot.service("users").and_then(|users| users.call("Lookup"));
    call.and_then(|call| call.shared).map_or(0, |shared| shared.kept)
}

async fn until(is: impl Fn() -> bool) -> Result<(), Problem> {
    let began = Instant::now();
    while !is() {
        if began.elapsed() > Duration::from_secs(10) {
            return Err("what was waited for did not come".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
