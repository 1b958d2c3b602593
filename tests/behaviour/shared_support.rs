//! Several processes that share a tier: each a runtime of its own, on one thread and in one virtual time.

use seawall::{
    Runtime, Service,
    runtime::{SharedSnapshot, TierSnapshot},
};
use seawall_testkit::{Behaviour, Scripted, ScriptedTier, TierStore};

use tokio::time::sleep;

use crate::support::{end, ms, settle};

/// One process: a service `users` whose replies are kept in the service `tier`.
pub(crate) struct Process {
    pub(crate) runtime: Runtime,
    pub(crate) users: Service<Scripted>,
}

impl Process {
    /// With these settings of the cache; `shared = "tier"` where they are none.
    pub(crate) async fn start(store: &TierStore, behaviour: &Behaviour, cache: &str) -> Self {
        Self::start_with(store, behaviour, "", cache).await
    }

    /// And with these of the service.
    pub(crate) async fn start_with(
        store: &TierStore,
        behaviour: &Behaviour,
        service: &str,
        cache: &str,
    ) -> Self {
        Self::start_at(store, behaviour, service, cache, 1_800_000_000).await
    }

    /// And with this time on its wall clock.
    pub(crate) async fn start_at(
        store: &TierStore,
        behaviour: &Behaviour,
        service: &str,
        cache: &str,
        wall_s: u64,
    ) -> Self {
        let cache = if cache.is_empty() { "shared = \"tier\"" } else { cache };
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .kind::<ScriptedTier>()
            .extension("users", behaviour.clone())
            .extension("tier", store.clone())
            .parse(format!(
                "[services.tier]\nkind = \"scripted-tier\"\n[services.users]\nkind = \"scripted\"\n{service}\n\
                 cache = {{ {cache} }}"
            ))
            .expect("the settings are TOML")
            .current_thread()
            .seed(7)
            .wall_clock(std::time::Duration::from_secs(wall_s))
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let users = runtime.service("users").expect("it is there");
        // Until the news is heard, what is kept in memory is flushed once.
        settle().await;
        Self { runtime, users }
    }

    /// Nothing is under way, no place taken, in neither service.
    pub(crate) async fn end(self) {
        // What is told to the tier may be on its way.
        for _ in 0..100 {
            settle().await;
            if self.runtime.snapshot().active == 0 && pending(&self) == 0 {
                break;
            }
            sleep(ms(1)).await;
        }
        end(self.runtime).await;
    }
}

/// What its look-ups in the tier came to.
pub(crate) fn figures(process: &Process) -> SharedSnapshot {
    let snapshot = process.runtime.snapshot();
    let users = snapshot.service("users").expect("it is there");
    users.call("Lookup").expect("called").shared.expect("it has a tier")
}

/// What the tier is doing as such.
pub(crate) fn tier(process: &Process) -> TierSnapshot {
    let snapshot = process.runtime.snapshot();
    snapshot.service("tier").expect("it is there").tier.clone().expect("it is one")
}

/// Invalidations that the tier has not heard of.
pub(crate) fn pending(process: &Process) -> usize {
    tier(process).pending
}
