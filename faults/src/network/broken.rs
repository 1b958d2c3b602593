//! Servers that break the protocol. While the fault is on, each does the same to every request; before and after it
//! answers well, on the same port.

use std::time::Duration;

use seawall_testkit::{Request, Script};

use crate::harness::hostile::echo_bytes;
use crate::harness::load::{End, tally};
use crate::harness::rules::TIMER;
use crate::harness::settings::DEADLINE;
use crate::harness::{Bed, Hostile, Outcome, Report, Rules, Settings, Stage};

crate::scenario!(N5, "fewer bytes than the length promises", beside, truncated);
crate::scenario!(N7, "a body that ends with its connection", beside, close_delimited);
crate::scenario!(N8, "headers that trickle in", beside, slow_headers);
crate::scenario!(N9, "a body that trickles in", beside, slow_body);
crate::scenario!(N10, "a body that never comes", beside, hang_after_headers);
crate::scenario!(N13, "answers that are no HTTP", beside, garbage);
crate::scenario!(N15, "an answer that nobody asked for behind each", beside, unsolicited);
crate::scenario!(N17, "framing that contradicts itself", beside, framing);
crate::scenario!(N20, "compressed bodies that are damaged", beside, damaged);

/// How long the trickle pauses.
const TRICKLE: Duration = Duration::from_millis(100);

/// Stages one, and holds what is common to all against it.
async fn stage_it(
    stage: &Stage,
    rules: Rules,
    fault: impl Fn(u64, &Request) -> Option<Script> + Send + Sync + 'static,
) -> (Report, Outcome) {
    let bed = Bed::hostile(stage, Settings::reference(stage.full), Hostile::start(fault)).await;
    let outcome = bed.run_hostile().await;
    let mut report = Report::default();
    // A server in this process keeps what it was sent, and its sockets count with the client's.
    Rules { growth: 32 << 20, attempts_arrive: false, ..rules }.judge(&outcome, &mut report);
    (report, outcome)
}

/// No call may be answered while the fault is on, and no connection be used again after such an answer.
fn all_bad(report: &mut Report, outcome: &Outcome) {
    report.exactly("bad answers taken for good", outcome.answered_meanwhile(), 0);
    report.note("how calls ended", tally(outcome.faulty()));
    report.exactly("connections used again after it", reused(outcome), 0);
}

fn reused(outcome: &Outcome) -> usize {
    // A connection that bore a request while the fault was on and another later.
    let within = outcome.marks.broken..outcome.marks.mending;
    let faulty = outcome.arrivals.iter().filter(|one| within.contains(&one.at));
    let mut connections: Vec<u64> = faulty.map(|one| one.connection).collect();
    let uses = connections.len();
    connections.sort_unstable();
    connections.dedup();
    uses - connections.len()
}

fn on_time(report: &mut Report, outcome: &Outcome) {
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.end);
    let slowest = outcome.records.iter().filter_map(|record| record.elapsed()).max().unwrap_or(Duration::MAX);
    report.within("slowest call", slowest, DEADLINE + TIMER + noise);
}

async fn truncated(stage: Stage) -> Report {
    // What comes would decode: only its length tells that it is not the whole.
    let short = |nonce, _: &Request| {
        let body = format!(r#"{{"nonce":{nonce},"serial":0}}"#);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len() + 10);
        Some(Script::new().write(head + &body).close())
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), short).await;
    all_bad(&mut report, &outcome);
    report.exactly("entries in the cache", outcome.snapshot.cache.entries, 0);
    report
}

async fn close_delimited(stage: Stage) -> Report {
    let until_closed = |nonce, _: &Request| {
        let body = format!(r#"{{"nonce":{nonce},"serial":0}}"#);
        Some(
            Script::new()
                .write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{body}"))
                .close(),
        )
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), until_closed).await;
    // The whole body or an error that says why; what decodes is not empty.
    let empty =
        outcome.faulty().filter(|record| matches!(record.end(), Some(End::Answer { right: false, .. })));
    report.exactly("empty bodies taken for good", empty.count(), 0);
    report.note("how calls ended", tally(outcome.faulty()));
    report
}

async fn slow_headers(stage: Stage) -> Report {
    let trickle = |nonce, _: &Request| Some(Script::new().write_sliced(echo_bytes(nonce), 1, TRICKLE));
    let (mut report, outcome) = stage_it(&stage, Rules::default(), trickle).await;
    all_bad(&mut report, &outcome);
    on_time(&mut report, &outcome);
    report
}

async fn slow_body(stage: Stage) -> Report {
    let trickle = |nonce, _: &Request| {
        let whole = echo_bytes(nonce);
        let (head, body) = whole.split_at(whole.len() - 20);
        Some(Script::new().write(head).write_sliced(body, 1, TRICKLE))
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), trickle).await;
    all_bad(&mut report, &outcome);
    on_time(&mut report, &outcome);
    report
}

async fn hang_after_headers(stage: Stage) -> Report {
    let hang = |_: u64, _: &Request| {
        Some(Script::new().write("HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n").swallow())
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), hang).await;
    all_bad(&mut report, &outcome);
    on_time(&mut report, &outcome);
    let later = outcome.marks.healed + DEADLINE + Duration::from_millis(100) + outcome.settings.open_time * 2;
    let stuck = outcome.recovered().filter(|record| record.started > later && !record.is_answer());
    report.exactly("healthy calls that found no place", stuck.count(), 0);
    report
}

async fn garbage(stage: Stage) -> Report {
    let rubbish = |nonce: u64, _: &Request| {
        let bytes: &[u8] = match nonce % 5 {
            0 => b"HTTP/9.9 200 OK\r\ncontent-length: 0\r\n\r\n",
            1 => b"\x00\xff\xfe\x13garbage\r\n\r\n",
            2 => b"HTTP/1.1 abc Never\r\n\r\n",
            3 => b"\n\n\nno line of a status\n\n",
            _ => b"HTTP/1.1 200 OK\r\ncontent\x00-length: 2\r\n\r\n{}",
        };
        Some(Script::new().write(bytes).close())
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), rubbish).await;
    all_bad(&mut report, &outcome);
    report
}

async fn unsolicited(stage: Stage) -> Report {
    let twice = |nonce, _: &Request| {
        let (asked, other) = (echo_bytes(nonce), echo_bytes(nonce ^ 1));
        Some(Script::new().write(asked + &other))
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), twice).await;
    // The answer that was asked for is good; what stands behind it is nobody's.
    let wrong = outcome
        .records
        .iter()
        .filter(|record| matches!(record.end(), Some(End::Answer { right: false, .. })));
    report.exactly("answers to another's question", wrong.count(), 0);
    report.at_least("calls answered meanwhile", outcome.answered_meanwhile(), 1);
    // What awc has read beyond the answer it forgets with its buffer, so that the connection is in step all the same.
    report.note("connections used again after it", reused(&outcome));
    report
}

async fn framing(stage: Stage) -> Report {
    let contradicting = |nonce: u64, _: &Request| {
        let body = format!(r#"{{"nonce":{nonce},"serial":0}}"#);
        let length = body.len();
        let head = match nonce % 6 {
            0 => format!("content-length: {length}\r\ncontent-length: 3\r\n\r\n{body}"),
            1 => format!(
                "content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            ),
            2 => format!("content-length: +{length}\r\n\r\n{body}"),
            3 => format!("content-length: {length}, 6\r\n\r\n{body}"),
            4 => format!("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{body}"),
            _ => format!("content-length: -1\r\n\r\n{body}"),
        };
        Some(
            Script::new()
                .write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}"))
                .close(),
        )
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), contradicting).await;
    all_bad(&mut report, &outcome);
    report
}

async fn damaged(stage: Stage) -> Report {
    let flawed = |nonce: u64, _: &Request| {
        let body = format!(r#"{{"nonce":{nonce},"serial":0}}"#);
        let mut zipped = gzip(body.as_bytes());
        if nonce.is_multiple_of(2) {
            // In the middle of what was compressed.
            let middle = zipped.len() / 2;
            zipped[middle] ^= 0x10;
        } else {
            zipped.truncate(zipped.len() - 6);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            zipped.len()
        );
        Some(Script::new().write([head.as_bytes(), &zipped].concat()))
    };
    let (mut report, outcome) = stage_it(&stage, Rules::default(), flawed).await;
    report.exactly("damaged answers taken for good", outcome.answered_meanwhile(), 0);
    report.note("how calls ended", tally(outcome.faulty()));
    report
}

/// A gzip stream of one stored block: what a compressor makes of what cannot be made smaller.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    let length = bytes.len() as u16;
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}
