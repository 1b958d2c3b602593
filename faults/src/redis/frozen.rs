//! A Redis stands still with commands on the connections that all calls share, and goes on: what it answers then is nobody's.

use std::cell::RefCell;
use std::time::Duration;

use crate::harness::bed::RATE;
use crate::harness::{Bed, Report, Stage, Store};

crate::scenario!(P2_REDIS, "Redis stands still for three seconds, and goes on", beside, play);

async fn play(stage: Stage) -> Report {
    let server = Store::server().await;
    let (bed, store) = Store::bed(&stage, &Store::at(&server.url())).await;
    let frozen = Duration::from_millis(stage.either(3_000, 2_000));
    let before = RefCell::default();
    let fault = async |_: &Bed| {
        before.replace(Store::connections(&server));
        server.freeze();
        tokio::time::sleep(frozen).await;
        server.thaw();
    };
    let shoot = Store::mixed(&store);
    let mut kept = 0;
    let heal = async |_: &Bed| kept = Store::connections(&server).intersection(&before.borrow()).count();
    let mut outcome = bed.run_with(shoot, RATE, fault, heal).await;
    Store::tell_writes(&server, &mut outcome);
    let mut report = Report::default();
    let timed_out = outcome.records.iter().filter_map(|record| record.end());
    let timed_out = timed_out.filter(|end| end.word().starts_with("timeout/")).count();
    report.at_least("calls that timed out", timed_out, 1);
    report.at_least("connections before it", before.borrow().len(), 2);
    report.exactly("connections used again after it", kept, 0);
    Store::rules().judge(&outcome, &mut report);
    report
}
