//! A request that is large: it is not copied for each attempt.

use bytes::Bytes;
use seawall_http::HttpCall;

use crate::harness::resources::{Resources, forget_peak, peak_rss};
use crate::harness::{Bed, Echo, Manner, Report, Rules, Settings, Stage};

crate::scenario!(C8, "a huge request, sent three times", beside, play);

const NONCE: u64 = 1 << 50;

#[derive(HttpCall)]
#[http(put = "/big/{nonce}", body = payload, reply = Echo)]
struct Put {
    nonce: u64,
    payload: Bytes,
}

async fn play(stage: Stage) -> Report {
    let size: u64 = stage.either(1 << 30, 32 << 20);
    let settings = Settings::reference(stage.full)
        .subject("timeout = \"30s\"\nbreaker = false\nretry.on = [\"response\"]");
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        bed.origin.behave(Manner::failing(500));
        let payload = Bytes::from(vec![b'x'; size as usize]);
        forget_peak();
        let with_payload = Resources::now().rss;
        let failed = bed.subject.send(Put { nonce: NONCE, payload }).await.is_err();
        (failed, peak_rss().saturating_sub(with_payload))
    };
    let ((failed, grown), outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.holds("the call failed, as its server said", failed, failed, "true");
    report.exactly("attempts at the server", outcome.arrivals.len(), 3);
    // The payload as it is written out; the payload itself is counted before.
    report.at_most("MiB grown beyond the payload", grown >> 20, (size >> 20) + 16);
    Rules { deadline: None, arrivals_are_stamped: false, ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}
