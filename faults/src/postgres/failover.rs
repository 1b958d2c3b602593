//! The primary dies, and its replica takes over.

use std::time::Duration;

use seawall_testkit::servers::postgres::Postgres;

use super::database;
use crate::harness::times::now;
use crate::harness::{Bed, Report, Stage};

crate::scenario!(P6PG, "PostgreSQL's primary dies, and its replica takes over", beside, play);

async fn play(stage: Stage) -> Report {
    // The replica has whatever was acknowledged, so that no write is lost that was told as made.
    let primary = Postgres::builder().setting("synchronous_standby_names", "*");
    let primary = primary.setting("synchronous_commit", "local");
    let primary = database::server(primary).await;
    let replica = primary.replica().await;
    primary.wait_for("select count(*) from pg_stat_replication where sync_state = 'sync'", "1").await;
    primary.sql("alter system set synchronous_commit = on");
    primary.sql("select pg_reload_conf()");
    let bed = database::bed(&stage, &[&primary, &replica], "").await;
    let leaderless = Duration::from_millis(stage.either(3_000, 500));
    let mut promoted = now();
    let fault = async |_: &Bed| {
        primary.kill();
        tokio::time::sleep(leaderless).await;
        replica.sql("alter system set synchronous_standby_names = ''");
        replica.promote().await;
        promoted = now();
    };
    let outcome = database::run(bed, fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    let open = outcome.settings.open_time.mul_f64(1.05);
    let bound = Duration::from_secs(2).max(open + Duration::from_secs(1));
    database::judge_first_write("first write after the promotion", &outcome, promoted, bound, &mut report);
    let last = outcome.recovered().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed once it was well for long", last, 0);
    database::judge(&outcome, &replica, &mut report);
    report
}
