//! Rows in and out as streams, and notifications.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use seawall::{
    downstream::{Blame, Reached},
    units::ByteSize,
};
use seawall_postgres::{CopyIn, CopyOut, Execute, Listen, Notifications, Notified, QueryOne};
use support::{failure, with};
use tokio::{sync::mpsc, time::timeout};

const TABLE: &str = "create table users (id bigint primary key, name text); grant all on users to app";

fn row(id: u32) -> Result<Bytes, std::io::Error> {
    Ok(Bytes::from(format!("{id}\tuser {id}\n")))
}

#[test]
fn rows_go_in_and_come_out_as_streams() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(TABLE);
        let copy = "copy users from stdin";
        let in_full = CopyIn::new(copy, || stream::iter((0..20_000).map(row)));
        assert_eq!(*orders.send(in_full).await.expect("they are in"), 20_000);

        let (into, mut rows) = mpsc::channel::<Bytes>(4);
        let read = tokio::spawn(async move {
            let (mut bytes, mut lines) = (0_u64, 0);
            while let Some(chunk) = rows.recv().await {
                bytes += chunk.len() as u64;
                lines += chunk.iter().filter(|byte| **byte == b'\n').count();
            }
            (bytes, lines)
        });
        let out = CopyOut::new("copy users to stdout", into).read_only();
        let sent = *orders.send(out).await.expect("they are out");
        assert_eq!(read.await.expect("it ends"), (sent, 20_000));
    });
}

#[test]
fn a_stream_that_fails_leaves_nothing() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(TABLE);
        let copy = "copy users from stdin";
        let broken =
            || stream::iter((0..5000).map(row)).chain(stream::iter([Err(std::io::Error::other("no more"))]));
        let failed = failure(orders.send(CopyIn::new(copy, broken)).await.expect_err("it breaks"));
        assert_eq!(failed.blame(), Blame::Caller);
        let long = CopyIn::new(copy, || stream::iter((0..5000).map(row))).at_most(ByteSize::kib(4));
        let failed = failure(orders.send(long).await.expect_err("it is too long"));
        assert!(failed.to_string().contains("longer than 4KiB"), "{failed}");
        let twice = CopyIn::new(copy, || stream::iter([row(1), row(1)]));
        let failed = failure(orders.send(twice).await.expect_err("they are the same"));
        assert_eq!(failed.get_code(), Some("23505"));
        let endless = CopyIn::new(copy, || stream::iter([row(1)]).chain(stream::pending()));
        assert!(timeout(Duration::from_millis(200), orders.send(endless)).await.is_err());
        let count = QueryOne::<i64>::new("select count(*) from users");
        assert_eq!(*orders.send(count).await.expect("the connection is well"), 0);
    });
}

#[test]
fn a_copy_that_is_no_stream_meets_nobody_else() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(TABLE);
        for copy in ["copy users from stdin", "copy users to stdout"] {
            orders.send(Execute::new(copy)).await.expect_err("its rows have nowhere to come from or go to");
            let one = orders.send(QueryOne::<i32>::new("select 1")).deadline(Duration::from_secs(3)).await;
            assert_eq!(*one.expect(copy), 1);
        }
    });
}

#[test]
fn rows_that_the_commit_refuses_are_not_told_as_in() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(
            "create table users (id bigint primary key, name text, \
             referrer bigint references users deferrable initially deferred); grant all on users to app",
        );
        let orphan = || stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"1\tann\t7\n"))]);
        let refused = orders.send(CopyIn::new("copy users from stdin", orphan)).await;
        assert_eq!(failure(refused.expect_err("there is no 7")).get_code(), Some("23503"));
        let (into, _rows) = mpsc::channel::<Bytes>(4);
        let out = "copy (insert into users values (2, 'bob', 7) returning id) to stdout";
        let refused = orders.send(CopyOut::new(out, into)).await;
        assert_eq!(failure(refused.expect_err("there is no 7")).get_code(), Some("23503"));
        assert_eq!(
            *orders.send(QueryOne::<i64>::new("select count(*) from users")).await.expect("it is well"),
            0
        );
    });
}

#[test]
fn rows_that_were_delivered_are_not_delivered_again() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(
            "create function fail() returns text language plpgsql as \
             $$ begin raise exception 'contention' using errcode = '40001'; end $$",
        );
        let (into, mut rows) = mpsc::channel::<Bytes>(20_000);
        let out = "copy (select case when id < 9000 then id::text else fail() end from generate_series(1, 9000) id) to stdout";
        let failed = failure(orders.send(CopyOut::new(out, into)).await.expect_err("it fails at its end"));
        assert_eq!((failed.get_code(), failed.has_reached()), (Some("40001"), Reached::Maybe));
        let mut delivered = 0;
        while let Some(chunk) = rows.recv().await {
            delivered += chunk.iter().filter(|byte| **byte == b'\n').count();
        }
        assert!((1..9000).contains(&delivered), "{delivered} rows");
    });
}

#[test]
fn rows_that_go_in_are_sent_again_if_the_connection_breaks_before_their_end() {
    with("pool = { max = 2 }", async |server, orders, _| {
        server.sql(TABLE);
        let tries = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&tries);
        let ended = Arc::clone(&server_end(&server));
        let source = move || {
            let first = counted.fetch_add(1, SeqCst) == 0;
            let end = Arc::clone(&ended);
            stream::iter(0..100).map(move |id| {
                if first && id == 50 {
                    end();
                }
                row(id)
            })
        };
        let sent = orders.send(CopyIn::new("copy users from stdin", source)).await;
        let count: u32 = server.value("select count(*) from users").parse().expect("a number");
        match sent {
            Ok(rows) => assert_eq!((*rows, count), (100, 100)),
            // The end was sent before the break was seen.
            Err(error) => assert!(matches!(count, 0 | 100), "{count}: {error:?}"),
        }
        assert!(tries.load(SeqCst) <= 2);
    });
}

/// Ends the sessions of the tests' account, from whatever thread.
fn server_end(server: &seawall_testkit::servers::postgres::Postgres) -> Arc<dyn Fn() + Send + Sync> {
    let addr = server.addr();
    Arc::new(move || {
        let ended = std::process::Command::new("psql")
            .args([
                "-h",
                &addr.ip().to_string(),
                "-p",
                &addr.port().to_string(),
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-c",
            ])
            .arg("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
            .output();
        assert!(ended.is_ok_and(|output| output.status.success()), "the sessions are ended");
    })
}

#[test]
fn a_reader_who_goes_away_ends_the_stream() {
    with("pool = { max = 1 }", async |server, orders, _| {
        let (into, mut rows) = mpsc::channel(1);
        let out = CopyOut::new("copy (select generate_series(1, 100000000)) to stdout", into);
        let sent = tokio::join!(orders.send(out), async move {
            rows.recv().await.expect("there are some");
        });
        let failed = failure(sent.0.expect_err("nobody reads"));
        assert_eq!(failed.blame(), Blame::Caller);
        assert_eq!(*orders.send(QueryOne::<i32>::new("select 1")).await.expect("it is well"), 1);
        server
            .wait_for(
                "select count(*) from pg_stat_activity where query like 'copy%' and state = 'active'",
                "0",
            )
            .await;
    });
}

async fn next(notifications: &mut Notifications) -> Option<Notified> {
    timeout(Duration::from_secs(10), notifications.next()).await.expect("something comes")
}

fn message(channel: &str, payload: &str) -> Option<Notified> {
    Some(Notified::Message { channel: channel.into(), payload: payload.into() })
}

#[test]
fn notifications_come_and_a_gap_is_told() {
    with("", async |server, orders, _| {
        let mut heard = orders
            .send(Listen::to(["news", "od\"d"]))
            .await
            .expect("it listens")
            .try_into_inner()
            .expect("nobody else has it");
        server
            .sql("notify news, 'one'; notify \"od\"\"d\", 'two'; notify other, 'three'; notify news, 'four'");
        assert_eq!(next(&mut heard).await, message("news", "one"));
        assert_eq!(next(&mut heard).await, message("od\"d", "two"));
        assert_eq!(next(&mut heard).await, message("news", "four"));

        server.kill();
        server.restart().await;
        assert_eq!(next(&mut heard).await, Some(Notified::Reconnected));
        server.sql("notify news, 'five'");
        assert_eq!(next(&mut heard).await, message("news", "five"));

        drop(heard);
        server.wait_for("select count(*) from pg_stat_activity where usename = 'app'", "0").await;
    });
}

#[test]
fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
    with("", async |server, orders, runtime| {
        let mut heard = orders
            .send(Listen::to(["news"]).buffer(4))
            .await
            .expect("it listens")
            .try_into_inner()
            .expect("nobody else has it");
        server.sql("select pg_notify('news', id::text) from generate_series(1, 10) id");
        // Once the last one is in, the first six are gone.
        server.sql("notify news, 'last'");
        let mut seen = Vec::new();
        let mut lost = 0;
        while seen.last().is_none_or(|last| last != "last") {
            match next(&mut heard).await {
                Some(Notified::Lost(count)) => lost += count,
                Some(Notified::Message { payload, .. }) => seen.push(payload),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lost + seen.len() as u64, 11, "each is seen or told as lost: {lost}, {seen:?}");
        runtime.drain().await;
        assert_eq!(next(&mut heard).await, None, "the pool is closed");
    });
}
