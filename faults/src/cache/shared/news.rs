//! What other processes change is not told for a while: the connection of the news is gone, or nothing comes over it.
//! Once it is back nothing old is served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use seawall_http::Http;
use seawall_testkit::{Direction, FaultProxy, RedisServer};

use super::{beside, settings};
use crate::harness::bed::RATE;
use crate::harness::load::{End, Shoot};
use crate::harness::store::clients;
use crate::harness::times::now;
use crate::harness::{Bed, Change, Report, Rules, Shared, Stage};

crate::scenario!(K14, "what other processes change is not told for a while", beside, play);

const KEYS: u64 = 20;

/// From when on nothing old may be served once the news is heard again.
const LATEST: Duration = Duration::from_secs(1);

/// How long it takes to be told of a change, on a thread that this stage itself stops to ask the server something.
const TOLD: Duration = Duration::from_millis(100);

/// The last write of each key: its serial number, and when it was done.
type Written = Arc<Mutex<HashMap<u64, (u64, Instant)>>>;

async fn play(mut stage: Stage) -> Report {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::seeded(server.addr(), stage.seed);
    stage.longer = Duration::from_secs(stage.either(0, 2));
    let mine = settings(&stage, &format!("redis://{}", proxy.addr()), "60s");
    let bed = Bed::start(&stage, mine).await;
    // The other process, which writes, has a line of its own.
    let theirs = bed.settings.clone().over(&format!("services.store.url = \"{}\"", server.url()));
    let writer = beside(&bed, &theirs.text()).await;
    let (written, old) = (Written::default(), Arc::<Mutex<Vec<(Instant, Duration)>>>::default());
    let shoot = reading(&bed, &written, &old);
    let part = Duration::from_millis(stage.either(5_000, 2_000));
    let change = writer.service::<Http>("subject").unwrap_or_else(|error| panic!("no service: {error}"));
    let (known, told) = (written.clone(), Arc::new(Mutex::new(0_usize)));
    let (counted, (stop, mut is_stopped)) = (told.clone(), tokio::sync::oneshot::channel::<()>());
    // Writes go on all the time, the whole run through.
    let writing = actix_rt::spawn(async move {
        for key in (0..KEYS).cycle() {
            tokio::select! {
                biased;
                _ = &mut is_stopped => return,
                () = tokio::time::sleep(Duration::from_millis(25)) => {}
            }
            if let Ok(answer) = change.send(Change { key }).await {
                known.lock().insert(key, (answer.serial, now()));
                *counted.lock() += 1;
            }
        }
    });
    let mut cut = 0;
    let mut between = None;
    let fault = async |_: &Bed| {
        // First: the connection is cut as often as it is made.
        let end = now() + part;
        while now() < end {
            let listening = |client: &str| {
                client.split(' ').any(|field| field.starts_with("flags=") && field.contains('t'))
            };
            for (id, client) in clients(&server) {
                if listening(&client) {
                    server.cli(&["CLIENT", "KILL", "ID", &id.to_string()]);
                    cut += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        between = Some(now());
        tokio::time::sleep(LATEST).await;
        // Then: it stays, and nothing comes.
        proxy.flow(Direction::ToClient, |flow| flow.lossy = true);
        tokio::time::sleep(part).await;
    };
    let outcome = bed.run_with(shoot, RATE, fault, async |_: &Bed| proxy.heal().await).await;
    let _ = stop.send(());
    let _ = writing.await;
    writer.drain().await;
    let mut report = Report::default();
    let old = old.lock();
    let (marks, between) = (outcome.marks, between.unwrap_or_else(now));
    report.at_least("writes of the other process", *told.lock(), 50);
    report.at_least("times it was cut", cut, 5);
    let noise = outcome.noise.longest(marks.fault, marks.end);
    let within = |from: Instant, to: Instant| {
        let ages = old.iter().filter(move |(at, _)| (from..to).contains(at)).map(|(_, age)| *age);
        ages.max().unwrap_or_default()
    };
    let again = between + LATEST;
    report.within("oldest before", within(marks.start, marks.fault), TOLD + noise);
    report.within("oldest while it was cut again and again", within(marks.fault, again), TOLD + noise);
    report.within("oldest while nothing came", within(again, marks.healed), LATEST + noise);
    let later = within(marks.healed + LATEST, marks.end + LATEST);
    report.within("oldest a second after it is back", later, TOLD + noise);
    report.note("old answers in all", old.len());
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    // The other process's requests are at the same server.
    let rules = Rules {
        attempts_arrive: false,
        amplification: false,
        writes: false,
        growth: 24 << 20,
        ..Rules::default()
    };
    rules.judge(&outcome, &mut report);
    report
}

/// Reads, and how old what they found was: by how much it was changed before they began.
fn reading(bed: &Bed, written: &Written, old: &Arc<Mutex<Vec<(Instant, Duration)>>>) -> Shoot {
    let (subject, written, old) = (bed.subject.clone(), written.clone(), old.clone());
    Arc::new(move |shot| {
        let (subject, written, old) = (subject.clone(), written.clone(), old.clone());
        Box::pin(async move {
            let key = shot.nonce % KEYS;
            let (before, began) = (written.lock().get(&key).copied(), now());
            let answer = subject.send(Shared { key }).await;
            if let (Ok(answer), Some((serial, at))) = (&answer, before)
                && answer.serial < serial
            {
                old.lock().push((began, began.saturating_duration_since(at)));
            }
            End::of(&answer, key)
        })
    })
}
