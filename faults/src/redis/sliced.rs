//! A line that cuts the frames of a Redis into pieces.

use seawall_testkit::{Direction, FaultProxy};

use crate::harness::bed::RATE;
use crate::harness::{Bed, Report, Rules, Stage, Store};

crate::scenario!(N23_REDIS, "a line that cuts the frames of a Redis into pieces", beside, play);

async fn play(stage: Stage) -> Report {
    let server = Store::server().await;
    let proxy = FaultProxy::seeded(server.addr(), stage.seed);
    let (bed, store) = Store::bed(&stage, &Store::at(&format!("redis://{}", proxy.addr()))).await;
    let fault = async |_: &Bed| {
        for direction in [Direction::ToServer, Direction::ToClient] {
            proxy.flow(direction, |flow| flow.slice = Some(1..=3));
        }
    };
    let heal = async |_: &Bed| {
        for direction in [Direction::ToServer, Direction::ToClient] {
            proxy.flow(direction, |flow| flow.slice = None);
        }
    };
    let mut outcome = bed.run_with(Store::mixed(&store), RATE, fault, heal).await;
    Store::tell_writes(&server, &mut outcome);
    let mut report = Report::default();
    report.exactly(
        "calls that failed",
        outcome.records.iter().filter(|record| !record.is_answer()).count(),
        0,
    );
    let attempts: u64 = outcome.subject().calls.iter().map(|call| call.attempts).sum();
    report.exactly(
        "attempts told, less those at the server",
        attempts as i64 - Store::requests(&server) as i64,
        0,
    );
    Rules { growth: 32 << 20, ..Store::rules() }.judge(&outcome, &mut report);
    report
}
