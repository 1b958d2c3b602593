//! Other clients hold all the connections that the server has.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use seawall_testkit::servers::postgres::{DATABASE, Postgres, USER};

use super::database;
use crate::harness::{Bed, Report, Stage};

crate::scenario!(P12, "others hold all connections of PostgreSQL", beside, play);

/// What the server has, those for superusers included.
const CONNECTIONS: usize = 40;
const RESERVED: usize = 3;

/// The account of the others.
const OTHERS: &str = "others";

/// A session that does nothing: the server trusts this account, and needs no more than its name. `None` where there is no
/// place for it.
fn hold(addr: SocketAddr) -> std::io::Result<Option<TcpStream>> {
    let mut stream = TcpStream::connect(addr)?;
    let words = format!("user\0{OTHERS}\0database\0{DATABASE}\0\0");
    let length = u32::try_from(words.len() + 8).unwrap_or_default();
    // The protocol's version 3.0.
    stream.write_all(&[&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), words.as_bytes()].concat())?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let rest = u64::from(u32::from_be_bytes(length)).saturating_sub(4);
        std::io::copy(&mut Read::by_ref(&mut stream).take(rest), &mut std::io::sink())?;
        match kind {
            b'Z' => return Ok(Some(stream)),
            b'E' => return Ok(None),
            _ => {}
        }
    }
}

async fn play(stage: Stage) -> Report {
    let server = Postgres::builder()
        .setting("max_connections", &CONNECTIONS.to_string())
        .setting("superuser_reserved_connections", &RESERVED.to_string());
    let server = database::server(server).await;
    server.sql(&format!("create role {OTHERS} login"));
    let bed = database::bed(&stage, &[&server], "").await;
    let others = RefCell::new(Vec::new());
    let (mut refused, mut looked) = (Vec::new(), Vec::new());
    let refusals = || {
        let lines = server.log();
        lines.iter().filter(|line| line.contains("remaining connection slots are reserved")).count()
    };
    let fault = async |bed: &Bed| {
        let sessions = format!("select count(*) from pg_stat_activity where usename = '{USER}'");
        // Whoever is quicker has a place that became free; in the end it is the others. A session's place is free a moment
        // after it is seen no more.
        let mut quiet = 0;
        while quiet < 5 {
            quiet += 1;
            while let Ok(Some(other)) = hold(server.addr()) {
                others.borrow_mut().push(other);
                quiet = 0;
            }
            if server.value(&sessions) != "0" {
                database::terminate(&server);
                quiet = 0;
            }
        }
        let until = tokio::time::Instant::now() + bed.stage.during();
        while tokio::time::Instant::now() < until {
            refused.push(refusals());
            looked.push(server.value(&sessions));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let outcome = database::run(bed, fault, async |_: &Bed| others.borrow_mut().clear()).await;
    let mut report = Report::default();
    let overloaded =
        outcome.records.iter().filter(|record| record.end().is_some_and(|end| end.word() == "failed/53300"));
    report.at_least("calls that failed as 53300", overloaded.count(), 1);
    report.holds(
        "sessions meanwhile",
        looked.iter().all(|sessions| sessions == "0"),
        looked.join(", "),
        "= 0",
    );
    let most = refused.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default();
    report.at_least("refusals in all", refused.last().copied().unwrap_or_default(), 1);
    report.at_most("most attempts to connect in a second", most, 5);
    database::judge(&outcome, &server, &mut report);
    report
}
