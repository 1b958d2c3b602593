use std::{error::Error, future::Future, sync::Arc, time::Duration};

use seawall::{Answer, Call, CallError, Origin, Priority, Service};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    books::End,
    kind::{Get, Look, Message, Put, Reply, Simulated, Tell, Trap},
    log::{Ending, Step},
    panics::inject,
    random::Random,
    run::Run,
    settings::DEADLINE,
    sights,
    weather::Weather,
    world::Kind,
};

/// Calls a service until the load ends, by the clock and whatever becomes of the calls.
pub(super) async fn call_on(run: Arc<Run>, place: usize, service: Service<Simulated>) {
    let mut random = Random::of(run.plan.seed, 200 + place as u64);
    let mut weather = Weather::of(&run.plan, place);
    let mut next = Instant::now();
    loop {
        let now = run.log.elapsed();
        next += random.interval(run.plan.services[place].callers.per_second * weather.flood(now));
        sleep_until(next).await;
        if run.log.elapsed() >= run.plan.load_ends {
            return;
        }
        let call = Planned::draw(&run, place, &mut random);
        let callers = run.plan.services[place].callers;
        if callers.tells > 0.0 && random.happens(callers.tells) {
            tell(&run, place, call.key, &service);
            continue;
        }
        let aborts = call.aborts;
        let (run, service) = (Arc::clone(&run), service.clone());
        let task = actix_rt::spawn(async move {
            for again in 0..=callers.again {
                if again > 0 {
                    run.books.sight("tried again by its caller");
                }
                let is_done = match call.kind {
                    Kind::Get | Kind::Tell => call.make(&run, &service, Get).await,
                    Kind::Look => call.make(&run, &service, Look).await,
                    Kind::Put => call.make(&run, &service, Put).await,
                };
                if is_done || run.log.elapsed() >= run.plan.load_ends {
                    return;
                }
            }
        });
        if let Some(after) = aborts {
            actix_rt::spawn(async move {
                sleep(after).await;
                task.abort();
            });
        }
    }
}

/// Sends a call whose answer nobody waits for.
fn tell(run: &Run, place: usize, key: u64, service: &Service<Simulated>) {
    let nonce = run.books.tell(place, run.log.elapsed());
    run.log.add(place, Step::Call(Kind::Tell.name(), nonce));
    run.books.sight("told");
    service.do_send(Tell(Message {
        nonce,
        key,
        deadline: Instant::now() + DEADLINE,
        trap: None,
        world: Arc::clone(&run.worlds[place]),
        armed: Arc::default(),
    }));
}

/// One call, and what its caller does with it.
struct Planned {
    place: usize,
    kind: Kind,
    key: u64,
    /// How long it has, where not as long as the service says.
    hurry: Option<Duration>,
    /// Whether it has that from a context, and does not ask for it itself.
    inherits: bool,
    /// Whether a kept reply will not do.
    refreshes: bool,
    /// When its caller goes away: it looks first whether there is an answer.
    patience: Option<Duration>,
    /// When its task is aborted, whatever has come for it by then.
    aborts: Option<Duration>,
    trap: Option<Trap>,
    fallback: Option<Fallback>,
    priority: Priority,
    tenant: Option<u64>,
}

/// What a caller's fallback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fallback {
    Value,
    Fails,
    Panics,
    Later,
    Hangs,
}

impl Planned {
    fn draw(run: &Run, place: usize, random: &mut Random) -> Self {
        let callers = &run.plan.services[place].callers;
        let which = random.unit();
        let kind = if which < callers.writes {
            Kind::Put
        } else if which < callers.writes + callers.lookups {
            Kind::Look
        } else {
            Kind::Get
        };
        // In the end only what the service does is to be seen.
        let calm = run.log.elapsed() >= run.plan.faults_end;
        let mut sometimes = |share: f64| random.happens(share) && !calm;
        let (cancels, trapped, hurried, falls_back) = (
            sometimes(callers.cancels),
            sometimes(callers.traps),
            sometimes(callers.hurried),
            sometimes(callers.fallbacks),
        );
        let by_abort = random.happens(0.5);
        Self {
            place,
            kind,
            key: random.below(callers.keys),
            hurry: hurried.then(|| random.pick(&[0, 1, 20, 100, 300])).map(Duration::from_millis),
            inherits: random.happens(0.5),
            refreshes: random.happens(0.02),
            patience: (cancels && !by_abort).then(|| random.millis(0, 600)),
            aborts: (cancels && by_abort).then(|| random.millis(0, 100)),
            trap: trapped.then(|| random.pick(&Trap::ALL)),
            fallback: falls_back.then(|| {
                random.pick(&[
                    Fallback::Value,
                    Fallback::Value,
                    Fallback::Later,
                    Fallback::Fails,
                    Fallback::Panics,
                    Fallback::Hangs,
                ])
            }),
            priority: Priority::ALL[random.weighted(&callers.priorities)],
            tenant: (callers.tenants > 0).then(|| random.below(callers.tenants)),
        }
    }

    /// Makes it; whether its caller is done with it, and tries no other.
    async fn make<C>(&self, run: &Run, service: &Service<Simulated>, call: impl FnOnce(Message) -> C) -> bool
    where
        C: Call<Simulated, Reply = Reply>,
    {
        let Self { place, kind, key, hurry, patience, trap, .. } = *self;
        let start = Instant::now();
        let deadline = start + hurry.unwrap_or(DEADLINE);
        let (nonce, known) = run.books.begin(place, key, run.log.elapsed(), deadline + GRACE);
        run.log.add(place, Step::Call(kind.name(), nonce));
        // Whoever goes away, is in a hurry or panics has himself to thank.
        let spoiled = patience.is_some() || self.aborts.is_some() || trap.is_some() || hurry.is_some();
        let mut entry =
            Entry { run, place, kind, nonce, start, priority: self.priority, spoiled, open: true };
        let message = Message {
            nonce,
            key,
            deadline,
            trap,
            world: Arc::clone(&run.worlds[place]),
            armed: Arc::default(),
        };
        let sending = service.send(call(message)).priority(self.priority);
        let sending = match self.tenant {
            Some(tenant) => sending.tenant(format!("tenant {tenant}")),
            None => sending,
        };
        let sending = if self.refreshes { sending.refresh() } else { sending };
        let sending = match hurry {
            Some(hurry) if !self.inherits => sending.deadline(hurry),
            _ => sending,
        };
        let panics = trap == Some(Trap::Fallback);
        let call = async {
            match self.fallback {
                None if !panics => patiently(patience, sending).await,
                fallback => {
                    let fallback =
                        if panics { Fallback::Panics } else { fallback.unwrap_or(Fallback::Value) };
                    patiently(patience, sending.fallback(move |_| fall_back(fallback, place))).await
                }
            }
        };
        let result = match hurry {
            Some(hurry) if self.inherits => seawall::within(hurry, call).await,
            _ => call.await,
        };
        let how = ending(result.as_ref());
        let took = entry.end(how);
        if let Some(Err(error)) = &result
            && let Some(reason) = error.reason()
        {
            run.books.sight(sights::of_refusal(reason));
        }
        if took > hurry.unwrap_or(DEADLINE) + GRACE {
            let text = format_args!("{nonce} ended {took:?} after it began, as {how:?}");
            run.violations.add("I1", text);
        }
        if let Some(Ok(answer)) = &result {
            self.judge(run, nonce, known, answer);
        }
        // A write that may have been made is not made again.
        let is_certain = kind != Kind::Put || how == Ending::Rejected;
        !(is_certain && matches!(how, Ending::Error | Ending::Timeout | Ending::Rejected))
    }

    /// Whether the answer is the one to this call.
    fn judge(&self, run: &Run, nonce: u64, known: u64, answer: &Answer<Reply>) {
        if answer.origin() == Origin::Fallback {
            return;
        }
        let Self { place, kind, key, .. } = *self;
        let reply = **answer;
        let own = kind == Kind::Look || reply.nonce == nonce;
        if !own || reply.key != key || reply.service != place {
            let text = format_args!("{nonce} of service {place} about {key} was answered by {reply:?}");
            run.violations.add("I2", text);
        }
        if reply.version < known {
            let text = format_args!(
                "{nonce} was answered by version {} of {key}, {:?}, after version {known} was known to be written",
                reply.version,
                answer.origin()
            );
            run.violations.add("I2", text);
        }
        if kind == Kind::Put {
            run.books.written(place, key, reply.version);
        }
    }
}

/// A call in its callers' books: it is ended once, as cancelled where its task goes away.
struct Entry<'a> {
    run: &'a Run,
    place: usize,
    kind: Kind,
    nonce: u64,
    start: Instant,
    priority: Priority,
    spoiled: bool,
    open: bool,
}

impl Entry<'_> {
    /// Ends it; how long it took.
    fn end(&mut self, how: Ending) -> Duration {
        let Self { run, place, kind, nonce, priority, spoiled, .. } = *self;
        self.open = false;
        let took = self.start.elapsed();
        run.books.end(place, kind, nonce, End { at: run.log.elapsed(), how, took, priority }, spoiled);
        run.books.sight(how.word());
        run.log.add(place, Step::End(nonce, how));
        took
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.open {
            self.end(Ending::Cancelled);
        }
    }
}

/// By how much a call may outlast its time.
const GRACE: Duration = Duration::from_millis(100);

fn fall_back(
    fallback: Fallback,
    service: usize,
) -> impl Future<Output = Result<Reply, Box<dyn Error + Send + Sync>>> + Send + 'static {
    if fallback == Fallback::Panics {
        inject("a fallback");
    }
    async move {
        match fallback {
            Fallback::Fails => return Err("there is nothing to fall back to".into()),
            Fallback::Later => sleep(Duration::from_millis(5)).await,
            Fallback::Hangs => std::future::pending().await,
            Fallback::Value | Fallback::Panics => {}
        }
        Ok(Reply { service, nonce: 0, key: 0, version: 0 })
    }
}

/// Waits for a call, or goes away after a while.
async fn patiently<T>(patience: Option<Duration>, call: impl Future<Output = T>) -> Option<T> {
    match patience {
        Some(patience) => timeout(patience, call).await.ok(),
        None => Some(call.await),
    }
}

/// How a call ended; `None` where its caller went away.
pub(super) fn ending(result: Option<&Result<Answer<Reply>, CallError>>) -> Ending {
    match result {
        None => Ending::Cancelled,
        Some(Ok(answer)) => match answer.origin() {
            Origin::Fresh => Ending::Fresh,
            Origin::Cached => Ending::Cached,
            Origin::Stale => Ending::Stale,
            Origin::Fallback => Ending::Fallback,
        },
        Some(Err(error)) if error.is_timeout() => Ending::Timeout,
        Some(Err(error)) if error.is_rejection() => Ending::Rejected,
        Some(Err(_)) => Ending::Error,
    }
}
