//! How many GETs a second a thread gets out of a real Redis, beside the raw multiplexed client and deadpool-redis:
//! `cargo run --release -p seawall-benches --bin redis [-- --quick]`.
//!
//! 64 are in flight on one thread; the server is a process of its own. The raw client is one multiplexed connection of the
//! redis crate; deadpool-redis has sixteen connections, of which each command holds one. Seawall runs whole: a runtime, the
//! kind and its policies by their defaults. All ask for the same keys and decode the same text. Rounds alternate between
//! the clients, and each figure is of the best round.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{error::Error, rc::Rc, time::Instant};

use seawall::{Runtime, Service};
use seawall_benches::{Figure, Options};
use seawall_redis::{Get, Redis};
use seawall_testkit::RedisServer;

const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 15;
/// Commands of each client in a round; of deadpool-redis a fifth.
const COMMANDS: usize = 64_000;
const POOLED: usize = 16;
const KEYS: usize = 1000;

type Problem = Box<dyn Error>;

fn main() -> Result<(), String> {
    let options = Options::from_args()?;
    let figures = actix_rt::System::new()
        .block_on(measure(&options))
        .map_err(|error| format!("a client failed: {error}"))?;
    options.report(&figures)
}

async fn measure(options: &Options) -> Result<Vec<Figure>, Problem> {
    let server = RedisServer::start().await;
    let settings = format!("[services.cache]\nkind = \"redis\"\nurl = \"{}\"", server.url());
    let runtime = Runtime::builder().kind::<Redis>().parse(settings)?.start().await?;
    let cache: Service<Redis> = runtime.service("cache")?;
    let client = redis::Client::open(server.url())?;
    let raw = client.get_multiplexed_async_connection().await?;
    let mut config = deadpool_redis::Config::from_url(server.url());
    config.pool = Some(deadpool_redis::PoolConfig::new(POOLED));
    let pool = config.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
    for id in 0..KEYS {
        redis::cmd("SET").arg(key(id)).arg("Ann Archer").exec_async(&mut raw.clone()).await?;
    }

    let (mut by_raw, mut by_pool, mut by_seawall) = (0.0, 0.0, 0.0);
    for _ in 0..options.rounds(ROUNDS) {
        let raw = raw.clone();
        round(&mut by_raw, COMMANDS, async move |id| {
            let value = redis::cmd("GET").arg(key(id)).query_async(&mut raw.clone()).await?;
            check(value)
        })
        .await?;
        let cache = cache.clone();
        round(&mut by_seawall, COMMANDS, async move |id| {
            check(cache.send(Get::<String>::new(key(id))).await?.into_inner())
        })
        .await?;
        let pool = pool.clone();
        round(&mut by_pool, COMMANDS / 5, async move |id| {
            let mut connection = pool.get().await?;
            let value = redis::cmd("GET").arg(key(id)).query_async(&mut connection).await?;
            check(value)
        })
        .await?;
    }
    runtime.drain().await;

    let thousands = Figure::new("redis get, 64 in flight", by_seawall / 1e3, "k/s", "")
        .beside("redis", by_raw / 1e3)
        .beside("deadpool-redis", by_pool / 1e3);
    Ok(vec![
        thousands,
        Figure::new("redis_raw_ratio", by_seawall / by_raw, "ratio", ">= 0.9"),
        Figure::new("redis_deadpool_ratio", by_seawall / by_pool, "ratio", ">= 4"),
    ])
}

fn key(id: usize) -> String {
    format!("user:{}", id % KEYS)
}

fn check(value: Option<String>) -> Result<(), Problem> {
    if value.as_deref() == Some("Ann Archer") { Ok(()) } else { Err("another value came".into()) }
}

/// Runs `one` so often, always as many at once, and keeps how many there were a second if that is the most so far.
async fn round<F>(most: &mut f64, commands: usize, one: F) -> Result<(), Problem>
where
    F: AsyncFn(usize) -> Result<(), Problem> + 'static,
{
    let one = Rc::new(one);
    let began = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let one = Rc::clone(&one);
            actix_rt::spawn(async move {
                for i in 0..commands / IN_FLIGHT {
                    one(task * 1000 + i).await.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    *most = most.max(commands as f64 / began.elapsed().as_secs_f64());
    Ok(())
}
