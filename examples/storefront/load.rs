//! Steady load: pages are asked for at their times, whether or not those before have been answered.
//!
//! (A load that waits for answers asks for less just when things go wrong, and so hides it.)

use std::{cell::Cell, rc::Rc, time::Duration};

use actix_web::rt::{self, task::JoinHandle};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// Pages a second. Each makes three calls.
const PAGES: u32 = 70;
const CALLS: u64 = 3;

/// How long a page is waited for: far longer than the shop ever takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the shop's users saw, in calls.
#[derive(Default)]
pub(crate) struct Tally {
    calls: Cell<u64>,
    fresh: Cell<u64>,
    cached: Cell<u64>,
    stale: Cell<u64>,
    fallback: Cell<u64>,
    failed: Cell<u64>,
    unanswered: Cell<u64>,
}

impl Tally {
    /// Counts under which a call stands exactly once, by their names.
    pub(crate) fn outcomes(&self) -> [(&'static str, u64); 6] {
        [
            ("fresh", self.fresh.get()),
            ("cached", self.cached.get()),
            ("stale", self.stale.get()),
            ("fallback", self.fallback.get()),
            ("failed", self.failed.get()),
            ("unanswered", self.unanswered.get()),
        ]
    }

    /// All calls asked for, those under way included.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.get()
    }

    fn answered(&self, origin: &str) {
        add(
            match origin {
                "fresh" => &self.fresh,
                "cached" => &self.cached,
                "stale" => &self.stale,
                "fallback" => &self.fallback,
                _ => &self.failed,
            },
            1,
        );
    }
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

/// Load that goes on until it is stopped.
pub(crate) struct Load {
    pub(crate) tally: Rc<Tally>,
    stop: watch::Sender<bool>,
    work: JoinHandle<()>,
    client: awc::Client,
    /// The shop's address.
    pub(crate) shop: String,
}

impl Load {
    pub(crate) fn start(shop: String) -> Self {
        let client = awc::Client::builder().timeout(PATIENCE).finish();
        let (tally, (stop, stopped)) = (Rc::new(Tally::default()), watch::channel(false));
        let work = rt::spawn(drive(client.clone(), shop.clone(), tally.clone(), stopped));
        Self { tally, stop, work, client, shop }
    }

    /// Asks for one page whose call panics.
    pub(crate) async fn haunt(&self) {
        add(&self.tally.calls, 1);
        let url = format!("{}/haunted", self.shop);
        let Ok(mut response) = self.client.get(url).send().await else {
            return add(&self.tally.unanswered, 1);
        };
        match response.json::<Part>().await {
            Ok(part) => self.tally.answered(&part.origin),
            Err(_) => add(&self.tally.failed, 1),
        }
    }

    /// Asks for no more pages, and waits for those under way.
    pub(crate) async fn end(self) -> Rc<Tally> {
        self.stop.send_replace(true);
        // It panics only where this example has a bug, and that has been printed.
        let _ = self.work.await;
        self.tally
    }
}

async fn drive(client: awc::Client, shop: String, tally: Rc<Tally>, mut stopped: watch::Receiver<bool>) {
    let mut times = interval(Duration::from_secs(1) / PAGES);
    times.set_missed_tick_behavior(MissedTickBehavior::Burst);
    // Bounded by patience: no more than `PAGES * PATIENCE` are ever under way.
    let mut pages = tokio::task::JoinSet::new();
    for number in 0_u64.. {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = times.tick() => {}
        }
        while pages.try_join_next().is_some() {}
        // Fifty users and two hundred products, in an order that repeats neither soon.
        let url = format!("{shop}/users/{}/products/{}", number * 7 % 50, number * 13 % 200);
        pages.spawn_local(page(client.clone(), url, tally.clone()));
    }
    while pages.join_next().await.is_some() {}
}

async fn page(client: awc::Client, url: String, tally: Rc<Tally>) {
    add(&tally.calls, CALLS);
    let Ok(mut response) = client.get(url).send().await else { return add(&tally.unanswered, CALLS) };
    if !response.status().is_success() {
        return add(&tally.failed, CALLS);
    }
    match response.json::<Page>().await {
        Ok(page) => {
            [page.user, page.price, page.reviews].iter().for_each(|part| tally.answered(&part.origin))
        }
        Err(_) => add(&tally.failed, CALLS),
    }
}

#[derive(Deserialize)]
struct Page {
    user: Part,
    price: Part,
    reviews: Part,
}

#[derive(Deserialize)]
struct Part {
    origin: String,
}
