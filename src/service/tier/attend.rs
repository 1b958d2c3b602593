use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use tokio::{select, time::sleep};

use super::Tier;
use crate::{
    call::{Context, chain},
    downstream::{Downstream, Failure, TierNews},
    service::{Environment, Opening, Shared, panic_text},
};

/// How long to wait before a tier is listened to again, and told again what it did not hear; twice as long each time.
const SOON: Duration = Duration::from_millis(20);
/// And at most: what was invalidated elsewhere is served for no longer than this once the tier is back.
const LATER: Duration = Duration::from_millis(500);

/// How long a tier has to hear of what was invalidated.
const TELLING: Duration = Duration::from_millis(300);

/// Attends to the tier that is this service, from when a call wants it until the runtime stops or the service is gone: hears
/// its news, and tells it ours.
pub(crate) async fn attend<D: Downstream>(
    service: Weak<Shared<D>>,
    tier: Arc<Tier>,
    environment: Arc<Environment>,
) {
    let mut stopped = pin!(environment.stopped());
    while !tier.is_wanted() {
        select! {
            biased;
            () = &mut stopped => return,
            () = tier.first_wanted.notified() => {}
        }
    }
    let news = TierNews::new(Arc::clone(&tier) as _);
    // One at a time on this thread, so that neither waits for the other's backoff.
    let telling = Context::new().in_scope(tell(&tier));
    let hearing = hear::<D>(&service, &tier, &news);
    select! {
        biased;
        () = stopped => {}
        () = hearing => {}
        () = telling => {}
    }
    news.lost();
}

/// Listens until the service is gone.
async fn hear<D: Downstream>(service: &Weak<Shared<D>>, tier: &Arc<Tier>, news: &TierNews) {
    let mut wait = SOON;
    loop {
        let Some(opening) = service.upgrade().and_then(|service| service.opening()) else { return };
        let before = tier.flushes();
        let changed = tier.changed.notified();
        let failure = select! {
            biased;
            () = changed => None,
            failure = watch::<D>(&opening, tier, news) => Some(failure),
        };
        news.lost();
        let Some(failure) = failure else { continue };
        tracing::debug!(target: "seawall", service = %tier.service(), error = %failure, "the tier's news ended");
        // It was heard for a while: this is another failure.
        if tier.flushes() > before {
            wait = SOON;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LATER);
    }
}

async fn watch<D: Downstream>(opening: &Opening<D>, tier: &Tier, news: &TierNews) -> Failure {
    let Some(tiering) = D::tiering() else { return std::future::pending().await };
    let mut watching = (tiering.watch)(&opening.settings, &opening.context, tier.namespace(), news);
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| watching.as_mut().poll(context));
        catch_unwind(poll).unwrap_or_else(|payload| {
            Poll::Ready(Failure::panicked("listening to a tier", panic_text(&*payload)))
        })
    })
    .await
}

/// Tells the tier what waits in the outbox, for ever.
async fn tell(tier: &Tier) {
    let (mut wait, mut failed) = (SOON, None);
    let mut is_warned = false;
    loop {
        let posted = tier.posted.notified();
        let Some(batch) = tier.next_batch(failed.as_ref()) else {
            (failed, is_warned) = (None, false);
            posted.await;
            continue;
        };
        match tier.tell(&batch, TELLING).await {
            Ok(()) => wait = SOON,
            Err(error) => {
                if let (Some(error), false) = (error, is_warned) {
                    is_warned = true;
                    let (service, error) = (tier.service(), chain(&error));
                    tracing::warn!(
                        target: "seawall", %service, of = %batch.group, %error,
                        "the tier does not hear what was invalidated, and is told again until it does"
                    );
                }
                failed = Some(batch.group);
                sleep(wait).await;
                wait = (wait * 2).min(LATER);
            }
        }
    }
}
