use seawall::{
    Downstream, Failure,
    downstream::{
        Blame, EndpointAddress, OpenContext, OpenError, SharedTier, Symptom, TierFound, TierGet,
        TierInvalidate, TierKept, TierLease, TierLeased, TierNews, TierPut, TierRelease, Tiering,
    },
};
use serde::Deserialize;
use tokio::time::Instant;

use super::TierStore;

/// A kind of tier that keeps replies in a [`TierStore`], given by `Builder::extension`: several runtimes may have the same.
#[derive(Debug)]
pub struct ScriptedTier(TierStore);

/// `kind = "scripted-tier"` has an address that means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ScriptedTierSettings {
    /// Any text.
    pub address: String,
}

fn store(context: &OpenContext) -> Option<TierStore> {
    context.extension::<TierStore>().map(|store| (*store).clone())
}

impl Downstream for ScriptedTier {
    const KIND: &'static str = "scripted-tier";
    type Settings = ScriptedTierSettings;

    async fn open(_: &Self::Settings, context: &OpenContext) -> Result<Self, OpenError> {
        let missing = || OpenError::new("it has no store: give it one with `Builder::extension`");
        store(context).map(Self).ok_or_else(missing)
    }

    fn tiering() -> Option<Tiering<Self>> {
        Some(Tiering::new())
    }

    fn endpoints(settings: &Self::Settings) -> Vec<EndpointAddress> {
        vec![EndpointAddress::new(settings.address.as_str())]
    }
}

impl SharedTier for ScriptedTier {
    async fn get(&self, ask: &TierGet, _: Instant) -> Result<TierFound, Failure> {
        self.0.answer(|store| &mut store.gets).await?;
        Ok(self.0.get(ask))
    }

    async fn lease(&self, ask: &TierLease, _: Instant) -> Result<TierLeased, Failure> {
        self.0.answer(|store| &mut store.leases).await?;
        Ok(self.0.lease(ask))
    }

    async fn put(&self, ask: &TierPut, _: Instant) -> Result<TierKept, Failure> {
        self.0.answer(|store| &mut store.puts).await?;
        Ok(self.0.put(ask))
    }

    async fn release(&self, ask: &TierRelease, _: Instant) -> Result<(), Failure> {
        self.0.answer(|store| &mut store.releases).await?;
        self.0.release(ask);
        Ok(())
    }

    async fn invalidate(&self, ask: &TierInvalidate, _: Instant) -> Result<(), Failure> {
        self.0.answer(|store| &mut store.invalidations).await?;
        self.0.invalidate(ask);
        Ok(())
    }

    async fn watch(_: &Self::Settings, context: &OpenContext, namespace: &str, news: &TierNews) -> Failure {
        if let Some(store) = store(context)
            && let Some(mut watching) = store.watch(namespace)
        {
            news.connected();
            while let Some(told) = watching.next().await {
                match told {
                    Some((group, epoch)) => news.invalidated(&group, &epoch),
                    None => news.flushed(),
                }
            }
        }
        Failure::new(Blame::Downstream, "the script cut its news").symptom(Symptom::Reset)
    }
}
