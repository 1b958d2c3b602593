//! The server closes each connection right behind its reply, without a word: the next request may already be on its way.

use crate::harness::load::is_write;
use crate::harness::{Bed, Manner, Report, Rules, Settings, Stage};

crate::scenario!(N12, "connections closed right behind each reply", beside, play);

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let fault = async |bed: &Bed| bed.origin.behave(Manner { closes: true, ..Manner::default() });
    let outcome = bed.run(fault, async |bed: &Bed| bed.origin.behave(Manner::default())).await;
    let mut report = Report::default();
    let reads = outcome.faulty().filter(|record| !is_write(record.nonce));
    let (all, failed) =
        reads.fold((0, 0), |(all, failed), record| (all + 1, failed + usize::from(!record.is_answer())));
    report.at_most("reads that failed", failed, all / 1000);
    let peak = outcome.origin.peak_connections();
    report.at_most("connections at the peak", peak, 66);
    Rules { attempts_arrive: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
