//! `SELECT * FROM users`, through a pool, a cache in memory and one in Redis, and a fallback when all of them are gone.
//!
//! ```sh
//! cargo run --example users
//! ```
//!
//! It starts a PostgreSQL and a Redis of its own on free ports, where they are installed, and kills them on the way. Each line
//! says who asked, and what answered. A runtime of its own stands for each process of a service that runs more than once.

use std::{error::Error, io::Write as _, process::ExitCode, time::Duration};

use seawall::{
    Answer, Origin, Runtime, Service,
    call::{Attempt, Cacheable, Call, CallTraits, Codec, KeyWriter, Sharing, TagWriter},
    downstream::Failure,
};
use seawall_postgres::{Access, Execute, Postgres};
use seawall_redis::Redis;
use seawall_testkit::{RedisServer, servers::postgres};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    id: i64,
    name: String,
}

/// All of them. A call that is nothing but a statement is a `Query`; this one has a name, and says how its reply is written
/// for other processes.
struct AllUsers;

impl Call<Postgres> for AllUsers {
    type Reply = Vec<User>;
    const NAME: &'static str = "AllUsers";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<Vec<User>>> {
        Some(Sharing::new())
    }

    fn codec() -> Option<Codec<Vec<User>>> {
        Some(Codec::new(
            "json",
            1,
            |users, bytes| Ok(serde_json::to_writer(bytes, users)?),
            |bytes| Ok(serde_json::from_slice(bytes)?),
        ))
    }

    fn cache_key(&self, _: &mut KeyWriter<'_>) -> Cacheable {
        Cacheable::Yes
    }

    fn tags(&self, tags: &mut TagWriter) {
        tags.tag("users");
    }

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<Vec<User>, Failure> {
        let session = postgres.session(attempt, Access::ReadOnly).await?;
        session.query("SELECT * FROM users", &[]).await
    }
}

fn settings(postgres: &postgres::Postgres, redis: &RedisServer) -> String {
    format!(
        r#"
        [services.redis-main]
        kind = "redis"
        url = "{redis}"

        [services.users]
        kind = "postgres"
        url = "postgres://{postgres}/{database}"
        postgres = {{ user = "{user}", ssl_mode = "disable" }}
        pool = {{ max = 20 }}
        cache = {{ ttl = "300s", shared = "redis-main" }}
        "#,
        redis = redis.url(),
        postgres = postgres.addr(),
        database = postgres::DATABASE,
        user = postgres::SUPERUSER,
    )
}

/// One process of the service.
struct Process {
    name: &'static str,
    runtime: Runtime,
    users: Service<Postgres>,
}

impl Process {
    async fn start(name: &'static str, settings: &str) -> Result<Self, Box<dyn Error>> {
        let runtime = Runtime::builder().kind::<Postgres>().kind::<Redis>().parse(settings)?.start().await?;
        let process = Self { name, users: runtime.service("users")?, runtime };
        process.settle().await;
        Ok(process)
    }

    /// A call that comes before its process hears what others change, or while Redis is being told of a change, goes past
    /// Redis. Nobody has to wait for that but who prints what each call was answered by; and not for long, since Redis may
    /// be dead.
    async fn settle(&self) {
        for _ in 0..100 {
            let snapshot = self.runtime.snapshot();
            let tier = snapshot.service("redis-main").and_then(|redis| redis.tier.as_ref());
            if tier.is_some_and(|tier| tier.heard && tier.pending == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn ask(&self, when: &str) -> Result<(), Box<dyn Error>> {
        let before = self.redis_hits();
        let answer: Answer<Vec<User>> = self.users.send(AllUsers).fallback(|_| Vec::new()).await?;
        let by = match answer.origin() {
            Origin::Fresh => "fresh, from PostgreSQL",
            Origin::Cached if self.redis_hits() > before => "cached, in Redis",
            Origin::Cached => "cached, in memory",
            Origin::Stale => "stale, out of the cache",
            Origin::Fallback => "fallback",
        };
        say(&format!("{when}: {} has {} users ({by})", self.name, answer.len()))
    }

    fn redis_hits(&self) -> u64 {
        let snapshot = self.runtime.snapshot();
        let calls = snapshot.service("users").into_iter().flat_map(|service| &service.calls);
        calls.map(|call| call.shared.map_or(0, |shared| shared.hits)).sum()
    }
}

fn say(line: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[actix_web::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(missing) = postgres::Postgres::missing().or_else(RedisServer::missing) {
        writeln!(std::io::stderr(), "{missing}")?;
        return Ok(ExitCode::FAILURE);
    }
    let (postgres, redis) = (postgres::Postgres::start().await, RedisServer::start().await);
    postgres.sql("create table users (id bigint primary key, name text not null)");
    postgres.sql("insert into users values (1, 'ann'), (2, 'bob'), (3, 'cleo')");
    let settings = settings(&postgres, &redis);

    let first = Process::start("the first process", &settings).await?;
    first.ask("at first").await?;
    first.ask("and again").await?;
    let second = Process::start("a second process", &settings).await?;
    second.ask("elsewhere").await?;

    // A write names what it changes; nobody who keeps it serves it again.
    let insert = "insert into users values (4, 'dora')";
    first.users.send(Execute::new(insert).invalidates("users")).await?;
    first.settle().await;
    first.ask("after a write").await?;

    postgres.kill();
    first.ask("PostgreSQL is dead").await?;
    let third = Process::start("a third process", &settings).await?;
    third.ask("PostgreSQL is dead").await?;

    redis.kill();
    first.ask("both are dead").await?;
    let fourth = Process::start("a fourth process", &settings).await?;
    fourth.ask("both are dead").await?;

    postgres.restart().await;
    redis.restart().await;
    fourth.ask("both are back").await?;

    for process in [first, second, third, fourth] {
        process.runtime.drain().await;
    }
    Ok(ExitCode::SUCCESS)
}
