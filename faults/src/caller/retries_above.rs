//! A caller that retries on top of what the service's own policy retries: the budget is the service's, not a call's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::load::{End, Shoot};
use crate::harness::{Bed, Get, Manner, Report, Rules, Settings, Stage};

crate::scenario!(C15, "retries on top of retries", beside, play);

/// Calls that were under way when counting began.
const IN_FLIGHT: usize = 8;

async fn play(stage: Stage) -> Report {
    let settings = Settings::reference(stage.full)
        .subject("breaker = false\nretry.on = [\"connect\", \"reset\", \"timeout\", \"response\"]");
    let bed = Bed::start(&stage, settings).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let (subject, counted) = (bed.subject.clone(), sent.clone());
    let shoot: Shoot = Arc::new(move |shot| {
        let (subject, sent) = (subject.clone(), counted.clone());
        Box::pin(async move {
            sent.fetch_add(1, Ordering::SeqCst);
            let mut result = subject.send(Get { nonce: shot.nonce }).await;
            for _ in 0..3 {
                if result.is_ok() {
                    break;
                }
                sent.fetch_add(1, Ordering::SeqCst);
                result = subject.send(Get { nonce: shot.nonce }).await;
            }
            End::of(&result, shot.nonce)
        })
    });
    let (before, at_fault) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let fault = async |bed: &Bed| {
        bed.origin.settle();
        before.store(sent.load(Ordering::SeqCst), Ordering::SeqCst);
        at_fault.store(bed.origin.requests(), Ordering::SeqCst);
        bed.origin.behave(Manner::failing(500));
    };
    let figures = std::cell::Cell::new((0, 0));
    let heal = async |bed: &Bed| {
        bed.origin.settle();
        let calls = sent.load(Ordering::SeqCst) - before.load(Ordering::SeqCst);
        figures.set((calls, bed.origin.requests() - at_fault.load(Ordering::SeqCst)));
        bed.origin.behave(Manner::default());
    };
    let seconds = stage.during().as_secs_f64();
    let outcome = bed.run_with(shoot, crate::harness::bed::RATE, fault, heal).await;
    let (calls, attempts) = figures.get();
    let mut report = Report::default();
    report.at_least("calls during the fault", calls, 1000.min(calls.max(1)));
    // What the budget had saved up before the fault is of the calls within its window then.
    let saved = 0.2 * crate::harness::bed::RATE * stage.before().as_secs_f64().min(10.0);
    let bound = (1.2 * calls as f64 + 10.0 * seconds.max(10.0) + saved).ceil() as usize + IN_FLIGHT;
    report.holds(
        "attempts at the server",
        attempts <= bound,
        format!("{attempts} of {calls} calls"),
        format!("<= {bound}"),
    );
    let rules = Rules {
        deadline: Some(crate::harness::settings::DEADLINE * 4),
        amplification: false,
        books: false,
        ..Rules::default()
    };
    rules.judge(&outcome, &mut report);
    report
}
