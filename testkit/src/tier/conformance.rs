use std::{sync::Arc, time::Duration};

use seawall::downstream::{
    SharedTier, Stamp, TierFound, TierGet, TierInvalidate, TierKept, TierLease, TierLeased, TierPlace,
    TierPut, TierRelease,
};
use tokio::time::{Instant, sleep};

/// Holds a kind of tier to what keeps old replies from being served: it answers each question in one step, and forgets
/// nothing that it must know. `namespace` is one in which nothing lies.
///
/// ```no_run
/// # async fn example<Memcached: seawall::downstream::SharedTier>(tier: Memcached) {
/// seawall_testkit::tier_conformance(&tier, "conformance").await;
/// # }
/// ```
///
/// # Panics
/// If it breaks a rule, with the rule's text; or if it fails to answer.
pub async fn tier_conformance<D: SharedTier>(tier: &D, namespace: &str) {
    let asking = Asking { tier, namespace: namespace.into() };
    let [users, orders] =
        ["users", "orders"].map(|group| asking.place(group, b"a key: of any\0bytes{}", &["s", "t1"]));

    asking.says(
        "an empty place has no entry and no epochs",
        asking.get(&users).await == TierFound { entry: None, epochs: vec![None, None] },
    );
    let epochs = asking.granted(&users, 1).await;
    asking.says("a lease makes the epochs that are missing", epochs == [stamp(1), stamp(1)]);
    let held = asking.lease(&users, 2, None, false).await;
    let is_held = matches!(held, TierLeased::Held(left) if left > Duration::ZERO && left <= EXCLUSIVE);
    asking.says("a lease that is held is nobody else's, and says for how long", is_held);
    let again = asking.lease(&users, 1, None, false).await;
    asking.says(
        "but who did not hear that he has it may ask again",
        again == TierLeased::Granted(epochs.clone()),
    );
    let elsewhere = asking.lease(&orders, 3, None, false).await;
    asking.says("two groups share nothing", elsewhere == TierLeased::Granted(vec![stamp(3), stamp(3)]));
    asking.says("who does not hold the lease keeps nothing", !asking.put(&users, 2, &epochs).await);
    asking.says("who does, keeps his entry", asking.put(&users, 1, &epochs).await);
    asking.says("and hears so again, where he did not hear it", asking.put(&users, 1, &epochs).await);
    let found = asking.get(&users).await;
    let entry = found.entry.clone().unwrap_or_default();
    asking.says("what was kept is found, whole", entry.whole && entry.bytes == bytes(1));
    asking.says("with its epochs", found.epochs == [Some(stamp(1)), Some(stamp(1))]);
    asking
        .says("and does not stay for longer than it was to", entry.left.is_none_or(|left| left <= LIFETIME));
    let small = asking.tier.get(&TierGet { place: Arc::clone(&users), largest: 20 }, asking.until()).await;
    let small = small.unwrap_or_else(|failure| panic!("a look failed: {failure}")).entry.unwrap_or_default();
    asking.says("of one that is too large no more than its stamp", !small.whole && small.bytes == stamp(1));

    let known = asking.lease(&users, 4, None, false).await;
    let is_found = matches!(known, TierLeased::Found(found) if found.entry.as_ref() .is_some_and(|entry| entry.bytes == bytes(1)));
    asking.says("an entry that is not known is answered in place of a lease", is_found);
    let known = asking.lease(&users, 4, Some(stamp(1)), false).await;
    asking.says("one that is known is no hindrance", known == TierLeased::Granted(vec![stamp(1), stamp(1)]));
    let seized = asking.lease(&users, 5, None, true).await;
    asking.says("a lease can be seized", matches!(seized, TierLeased::Granted(_)));
    asking.says("and is lost to who had it", !asking.put(&users, 4, &epochs).await);

    asking.invalidate("users", "t1", Duration::ZERO).await;
    asking.says("an epoch that was taken away is missing", asking.get(&users).await.epochs[1].is_none());
    asking.says("a load that began before is not kept", !asking.put(&users, 5, &epochs).await);
    let epochs = asking.seized(&users, 6).await;
    asking.says("the next has an epoch of its own", epochs == [stamp(1), stamp(6)]);
    asking.invalidate("users", "t1", Duration::ZERO).await;
    let again = asking.seized(&users, 7).await;
    asking.says("and so has the one after", again == [stamp(1), stamp(7)]);
    asking.says("an epoch is not the same because a lease is", !asking.put(&users, 7, &epochs).await);

    asking.release(&users, 6).await;
    let held = asking.lease(&users, 8, Some(stamp(1)), false).await;
    asking.says("who does not hold a lease cannot give it back", matches!(held, TierLeased::Held(_)));
    asking.release(&users, 7).await;
    let free = asking.lease(&users, 8, Some(stamp(1)), false).await;
    asking.says("one that was given back is free", matches!(free, TierLeased::Granted(_)));
    sleep(EXCLUSIVE + EXCLUSIVE / 4).await;
    let over = asking.lease(&users, 9, Some(stamp(1)), false).await;
    asking.says("one whose time is over is free", matches!(over, TierLeased::Granted(_)));
    asking.release(&users, 9).await;

    asking.invalidate("users", "t1", EXCLUSIVE).await;
    asking.invalidate("users", "t1", Duration::ZERO).await;
    let unsettled = asking.lease(&users, 10, Some(stamp(1)), false).await;
    asking.says(
        "an epoch that is held is made by nobody, though it be taken away again",
        unsettled == TierLeased::Unsettled,
    );
    sleep(EXCLUSIVE + EXCLUSIVE / 4).await;
    let settled = asking.lease(&users, 11, Some(stamp(1)), false).await;
    asking.says("until its time is over", matches!(settled, TierLeased::Granted(_)));
}

const EXCLUSIVE: Duration = Duration::from_millis(400);
const LIFETIME: Duration = Duration::from_secs(60);

fn stamp(number: u8) -> Stamp {
    [number; 16]
}

fn bytes(number: u8) -> Vec<u8> {
    [&stamp(number)[..], b"a reply, in an envelope of the core's"].concat()
}

struct Asking<'a, D> {
    tier: &'a D,
    namespace: Arc<str>,
}

impl<D: SharedTier> Asking<'_, D> {
    #[track_caller]
    fn says(&self, rule: &str, is_so: bool) {
        assert!(is_so, "{} breaks a rule of tiers: {rule}", D::KIND);
    }

    fn until(&self) -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn place(&self, group: &str, key: &[u8], epochs: &[&str]) -> Arc<TierPlace> {
        Arc::new(TierPlace {
            namespace: Arc::clone(&self.namespace),
            group: group.into(),
            key: key.into(),
            epochs: epochs.iter().map(|epoch| Box::from(*epoch)).collect(),
        })
    }

    async fn get(&self, place: &Arc<TierPlace>) -> TierFound {
        let ask = TierGet { place: Arc::clone(place), largest: 1 << 20 };
        self.tier.get(&ask, self.until()).await.unwrap_or_else(|failure| panic!("a look failed: {failure}"))
    }

    async fn lease(
        &self,
        place: &Arc<TierPlace>,
        number: u8,
        known: Option<Stamp>,
        seize: bool,
    ) -> TierLeased {
        let ask = TierLease {
            get: TierGet { place: Arc::clone(place), largest: 1 << 20 },
            known: known.map(Vec::from),
            stamp: stamp(number),
            exclusive: EXCLUSIVE,
            lifetime: LIFETIME,
            seize,
        };
        self.tier
            .lease(&ask, self.until())
            .await
            .unwrap_or_else(|failure| panic!("a lease failed: {failure}"))
    }

    async fn granted(&self, place: &Arc<TierPlace>, number: u8) -> Vec<Stamp> {
        match self.lease(place, number, None, false).await {
            TierLeased::Granted(epochs) => epochs,
            other => panic!("{} gave no lease of an empty place: {other:?}", D::KIND),
        }
    }

    async fn seized(&self, place: &Arc<TierPlace>, number: u8) -> Vec<Stamp> {
        match self.lease(place, number, None, true).await {
            TierLeased::Granted(epochs) => epochs,
            other => panic!("{} let a lease not be seized: {other:?}", D::KIND),
        }
    }

    async fn put(&self, place: &Arc<TierPlace>, number: u8, epochs: &[Stamp]) -> bool {
        let ask = TierPut {
            place: Arc::clone(place),
            stamp: stamp(number),
            epochs: epochs.to_vec(),
            bytes: bytes(number),
            lifetime: LIFETIME,
        };
        let kept = self.tier.put(&ask, self.until()).await;
        kept.unwrap_or_else(|failure| panic!("a put failed: {failure}")) == TierKept::Kept
    }

    async fn release(&self, place: &Arc<TierPlace>, number: u8) {
        let ask = TierRelease { place: Arc::clone(place), stamp: stamp(number) };
        self.tier
            .release(&ask, self.until())
            .await
            .unwrap_or_else(|failure| panic!("a release failed: {failure}"));
    }

    async fn invalidate(&self, group: &str, epoch: &str, held: Duration) {
        let ask = TierInvalidate {
            namespace: Arc::clone(&self.namespace),
            group: group.into(),
            epochs: vec![epoch.into()],
            held,
        };
        let invalidated = self.tier.invalidate(&ask, self.until()).await;
        invalidated.unwrap_or_else(|failure| panic!("an invalidation failed: {failure}"));
    }
}
