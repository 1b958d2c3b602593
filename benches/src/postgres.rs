//! How many selects by key there are in a second, beside raw deadpool-postgres:
//! `cargo run --release -p seawall-benches --bin postgres [-- --quick]`.
//!
//! Both have twenty connections and twenty callers that never rest, prepare their statement once a connection, and read the
//! same row into the same struct. Seawall's shards are on threads of their own, so the pool is
//! measured on two threads as well. The server is a real one, on the same machine: so the figure is what a service gets, and not
//! what a client could do. Seawall runs whole, with its default policies; its shards are on threads of its own, as they are by
//! default, and in a row more on the caller's. Rounds alternate between the clients, and each figure is the best of all rounds.
#![allow(clippy::disallowed_methods)] // It measures, by the real clock.

use std::{error::Error, rc::Rc, time::Instant};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use seawall::{Runtime, Service};
use seawall_benches::{Figure, Options};
use seawall_postgres::{Postgres, QueryOne};
use seawall_testkit::servers::postgres::{self, DATABASE, SUPERUSER};
use serde::Deserialize;
use tokio_postgres::NoTls;

const CONNECTIONS: usize = 20;
const ROUNDS: usize = 9;
/// Selects of each client in a round.
const SELECTS: usize = 20_000;
const SELECT: &str = "select id, name, email, active, balance from users where id = $1";

#[derive(Deserialize)]
struct User {
    id: i64,
    name: String,
    email: String,
    active: bool,
    balance: f64,
}

impl User {
    fn check(&self, id: i64) {
        assert!(
            self.id == id && self.active && self.balance > 0.0 && self.name.len() + self.email.len() > 10
        );
    }
}

type Problem = Box<dyn Error>;

fn main() -> Result<(), String> {
    let options = Options::from_args()?;
    let figures = actix_rt::System::new()
        .block_on(measure(&options))
        .map_err(|error| format!("a client failed: {error}"))?;
    options.report(&figures)
}

async fn measure(options: &Options) -> Result<Vec<Figure>, Problem> {
    let server = postgres::Postgres::start().await;
    server.sql(
        "create table users as select id::bigint, 'user ' || id as name, id || '@example.org' as email, true as active, \
         id * 1.25::float8 as balance from generate_series(1, 10000) id; alter table users add primary key (id)",
    );
    server.sql("vacuum analyze users");
    let raw = pool(&server)?;
    let (apart, on_lanes) = seawall(&server, "2").await?;
    let (beside, here) = seawall(&server, "\"per_thread\"").await?;

    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let spread = pool(&server)?;

    let mut best = [0.0_f64; 4];
    for _ in 0..options.rounds(ROUNDS) {
        let pool = raw.clone();
        round(&mut best[0], async move |id| {
            Ok(select(&pool, id).await.map_err(|error| error.to_string())?)
        })
        .await?;
        round_on(&threads, &spread, &mut best[3]).await?;
        for (index, users) in [(1, &on_lanes), (2, &here)] {
            let users = users.clone();
            round(&mut best[index], async move |id| {
                users.send(QueryOne::<User>::new(SELECT).bind(id).read_only()).await?.check(id);
                Ok(())
            })
            .await?;
        }
    }
    apart.drain().await;
    beside.drain().await;
    threads.shutdown_background();
    let [by_raw, by_lanes, by_here, by_threads] = best;
    Ok(vec![
        Figure::new("postgres select by key", by_lanes, "1/s", "")
            .beside("deadpool-postgres", by_raw)
            .beside("deadpool-postgres on two threads", by_threads)
            .beside("per_thread", by_here),
        Figure::new("postgres_raw_ratio", by_lanes / by_raw, "ratio", ">= 0.95")
            .beside("per_thread, to one thread", by_here / by_raw)
            .beside("to two threads", by_lanes / by_threads),
    ])
}

fn pool(server: &postgres::Postgres) -> Result<Pool, Problem> {
    let mut config = tokio_postgres::Config::new();
    let addr = server.addr();
    config.host(addr.ip().to_string()).port(addr.port()).user(SUPERUSER).dbname(DATABASE);
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Ok(Pool::builder(Manager::from_config(config, NoTls, manager)).max_size(CONNECTIONS).build()?)
}

/// As one does it with the pool alone.
async fn select(pool: &Pool, id: i64) -> Result<(), Box<dyn Error + Send + Sync>> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(SELECT).await?;
    let row = client.query_one(&statement, &[&id]).await?;
    let user = User {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        email: row.try_get(2)?,
        active: row.try_get(3)?,
        balance: row.try_get(4)?,
    };
    user.check(id);
    Ok(())
}

/// The same round on the threads of a runtime of its own.
async fn round_on(threads: &tokio::runtime::Runtime, pool: &Pool, most: &mut f64) -> Result<(), Problem> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|task| {
            let pool = pool.clone();
            threads.spawn(async move {
                for id in ids(task) {
                    select(&pool, id).await?;
                }
                Ok::<_, Box<dyn Error + Send + Sync>>(())
            })
        })
        .collect();
    for task in tasks {
        task.await?.map_err(|error| error.to_string())?;
    }
    *most = most.max(SELECTS as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// Whom one caller asks for.
fn ids(task: usize) -> impl Iterator<Item = i64> {
    (0..SELECTS / CONNECTIONS).map(move |i| ((task * 499 + i * 7) % 10_000 + 1) as i64)
}

async fn seawall(server: &postgres::Postgres, shards: &str) -> Result<(Runtime, Service<Postgres>), Problem> {
    let settings = format!(
        "[services.users]\nkind = \"postgres\"\nurl = \"postgres://{}/{DATABASE}\"\n\
         pool = {{ max = {CONNECTIONS}, shards = {shards} }}\n\
         postgres = {{ user = \"{SUPERUSER}\", ssl_mode = \"disable\" }}",
        server.addr()
    );
    let runtime = Runtime::builder().kind::<Postgres>().parse(settings)?.start().await?;
    let users = runtime.service("users")?;
    Ok((runtime, users))
}

/// Has as many callers as there are connections select so often, and keeps the selects a second if they are the most so far.
async fn round<F>(most: &mut f64, one: F) -> Result<(), Problem>
where
    F: AsyncFn(i64) -> Result<(), Problem> + 'static,
{
    let one = Rc::new(one);
    let began = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|task| {
            let one = Rc::clone(&one);
            actix_rt::spawn(async move {
                for id in ids(task) {
                    one(id).await.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    *most = most.max(SELECTS as f64 / began.elapsed().as_secs_f64());
    Ok(())
}
