use std::{future::Future, time::Duration};

use seawall::{
    Call, Downstream, Failure, Runtime, Service,
    downstream::{Blame, Reached},
};

/// How long any of the calls may take that are made here.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long a call may outlast its deadline.
const GRACE: Duration = Duration::from_millis(500);

/// A downstream of a kind under test, and calls to it.
pub trait Subject<D: Downstream> {
    /// A call that the downstream answers, and may be made twice.
    type Call: Call<D>;

    /// The settings of a service `subject` whose downstream is well: `kind = ..` and what else it needs.
    fn settings(&self) -> String;

    /// A call that the downstream answers.
    fn call(&self) -> Self::Call;

    /// Makes the downstream go away: nothing listens there any more.
    fn stop(&self) -> impl Future<Output = ()>;

    /// Makes it hang: what is sent there is never answered.
    fn freeze(&self) -> impl Future<Output = ()>;

    /// Makes it well again, after either.
    fn heal(&self) -> impl Future<Output = ()>;
}

/// Holds a kind to what the policies rely on. To be run on an actix `System`; the downstream is a real one, or close to it.
///
/// - A call to a downstream that is well succeeds.
/// - Refused connections fail fast, blamed on the downstream, with nothing reached.
/// - A downstream that hangs is given up at the deadline, by a timeout.
/// - After either the kind recovers by itself: no restart, no new handle.
/// - Calls whose callers go away hold nothing: more of them than the pool has connections do not use it up.
/// - The pool closes: a drain ends in time, with nothing cut off.
///
/// # Panics
/// With a text that says which of these the kind does not hold to.
pub async fn kind_conformance<D: Downstream>(subject: &impl Subject<D>) {
    let settings =
        format!("[services.subject]\nbreaker = false\nretry = false\ncache = false\n{}", subject.settings());
    let runtime = Runtime::builder()
        .kind::<D>()
        .parse(settings)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let service: Service<D> = runtime.service("subject").unwrap_or_else(|error| panic!("{error}"));

    succeeds(&service, subject, "a downstream that is well").await;

    subject.stop().await;
    let failure = failure(&service, subject, "a downstream that is gone").await;
    assert_eq!(
        failure.blame(),
        Blame::Downstream,
        "a refused connection is the downstream's fault: {failure:?}"
    );
    assert_eq!(failure.has_reached(), Reached::No, "what was refused has not reached it: {failure:?}");
    subject.heal().await;
    recovers(&service, subject, "after it was gone").await;

    subject.freeze().await;
    let began = tokio::time::Instant::now();
    let error = service.send(subject.call()).deadline(DEADLINE).await.err();
    let error = error.unwrap_or_else(|| panic!("a downstream that hangs gave an answer"));
    assert!(error.is_timeout(), "a downstream that hangs is a timeout: {error:?}");
    assert!(
        began.elapsed() < DEADLINE + GRACE,
        "a hang is given up at the deadline, not after {:?}",
        began.elapsed()
    );
    for _ in 0..100 {
        let gone =
            tokio::time::timeout(Duration::from_millis(5), service.send(subject.call()).deadline(DEADLINE));
        let _ = gone.await;
    }
    subject.heal().await;
    recovers(&service, subject, "after it hung, and a hundred callers had gone away").await;

    let drained = tokio::time::timeout(DEADLINE + GRACE, runtime.drain()).await;
    let drained = drained.unwrap_or_else(|_| panic!("the pool does not close"));
    assert_eq!(drained.cut_off, 0, "calls were still under way");
}

async fn succeeds<D: Downstream, S: Subject<D>>(service: &Service<D>, subject: &S, when: &str) {
    if let Err(error) = service.send(subject.call()).deadline(DEADLINE).await {
        panic!("{when}: {error}: {error:?}");
    }
}

async fn failure<D: Downstream, S: Subject<D>>(service: &Service<D>, subject: &S, when: &str) -> Failure {
    match service.send(subject.call()).deadline(DEADLINE).await {
        Ok(_) => panic!("{when} gave an answer"),
        Err(error) => match error.failure() {
            Some(failure) => failure.clone(),
            None => panic!("{when}: {error}: {error:?}"),
        },
    }
}

/// The first call may still find what broke; within a few, the kind must have found out.
async fn recovers<D: Downstream, S: Subject<D>>(service: &Service<D>, subject: &S, when: &str) {
    let mut last = None;
    for _ in 0..10 {
        match service.send(subject.call()).deadline(DEADLINE).await {
            Ok(_) => return,
            Err(error) => last = Some(error),
        }
    }
    panic!("the kind does not recover {when}: {last:?}");
}
