//! Who is served when not all can be: the important before the rest, and no tenant at the others' cost.

use std::sync::Arc;

use seawall::Priority;

use super::overload::{CAPACITY, limited};
use crate::harness::load::{End, NONCE_SHIFT, Record, Shoot, tally};
use crate::harness::{Bed, Get, Report, Rules, Settings, Stage};

crate::scenario!(C13, "priorities under overload", alone, priorities);
crate::scenario!(C14, "one tenant sends nearly everything", alone, tenants);

async fn priorities(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let subject = bed.subject.clone();
    let shoot: Shoot = Arc::new(move |shot| {
        let subject = subject.clone();
        Box::pin(async move {
            let priority = if is_tenth(shot.nonce) { Priority::Critical } else { Priority::Normal };
            End::of(&subject.send(Get { nonce: shot.nonce }).priority(priority).await, shot.nonce)
        })
    });
    judge(bed, shoot, "critical").await
}

async fn tenants(stage: Stage) -> Report {
    let settings = Settings::reference(stage.full).subject("bulkhead.per_tenant = true");
    let bed = Bed::start(&stage, settings).await;
    let subject = bed.subject.clone();
    let shoot: Shoot = Arc::new(move |shot| {
        let subject = subject.clone();
        Box::pin(async move {
            // Two of a hundred for each of two tenants, the rest is the greedy one's.
            let tenant = match shot.index % 40 {
                0 => "ann",
                20 => "bob",
                _ => "greedy",
            };
            End::of(&subject.send(Get { nonce: shot.nonce }).tenant(tenant).await, shot.nonce)
        })
    });
    judge(bed, shoot, "modest").await
}

fn is_tenth(nonce: u64) -> bool {
    (nonce & ((1 << NONCE_SHIFT) - 1)).is_multiple_of(10)
}

fn is_modest(nonce: u64) -> bool {
    (nonce & ((1 << NONCE_SHIFT) - 1)).is_multiple_of(20)
}

/// Five times the load that the server can take, of which the favoured are fewer than it can take alone.
async fn judge(bed: Bed, shoot: Shoot, favoured: &str) -> Report {
    bed.origin.behave(limited());
    let nothing = async |_: &Bed| {};
    let outcome = bed.run_with(shoot, CAPACITY * 5.0, nothing, nothing).await;
    let is_favoured = |record: &&Record| match favoured {
        "critical" => is_tenth(record.nonce),
        _ => is_modest(record.nonce),
    };
    let settled = outcome.marks.fault;
    let within = || outcome.records.iter().filter(|record| record.scheduled >= settled);
    let (all, answered) = (
        within().filter(is_favoured).count(),
        within().filter(is_favoured).filter(|record| record.is_answer()).count(),
    );
    let mut report = Report::default();
    report.share(format!("success of the {favoured}"), answered, all, 0.99);
    let others = within().filter(|record| !is_favoured(record));
    let refused = others.clone().filter(|record| !record.is_answer()).count();
    report.holds("others were refused", refused > 0, tally(others), "some");
    Rules { recovery: false, amplification: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
