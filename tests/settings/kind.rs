//! A kind with settings of every sort, and calls of it.

use std::{collections::BTreeMap, time::Duration};

use seawall::{
    Call, Downstream, Failure, Service,
    call::Attempt,
    config::Secret,
    downstream::{EndpointAddress, OpenContext, OpenError},
    runtime::{Binder, Registry, Services},
    units::{ByteSize, Ratio, duration},
};
use serde::{Deserialize, Serialize};

/// A kind that opens at once and answers nothing.
pub(crate) struct Vault;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct VaultSettings {
    pub(crate) url: String,
    pub(crate) token: Secret,
    #[serde(default)]
    pub(crate) engine: Engine,
    #[serde(default)]
    pub(crate) mirrors: Vec<Mirror>,
    #[serde(default)]
    pub(crate) limits: Option<Limits>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    #[default]
    Kv,
    Transit,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Mirror {
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) weight: u8,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) size: ByteSize,
    pub(crate) share: Ratio,
    #[serde(with = "duration")]
    pub(crate) lease: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: ByteSize::mib(1), share: Ratio::percent(50), lease: Duration::from_secs(60) }
    }
}

impl Downstream for Vault {
    const KIND: &'static str = "vault";
    const DEFAULTS: &'static str = "timeout = \"4s\"\nretry = { attempts = 4 }";
    type Settings = VaultSettings;

    fn explain(settings: &VaultSettings) -> impl Serialize {
        settings
    }

    async fn open(_: &VaultSettings, _: &OpenContext) -> Result<Self, OpenError> {
        Ok(Self)
    }

    fn endpoints(settings: &VaultSettings) -> Vec<EndpointAddress> {
        vec![EndpointAddress::new(settings.url.clone())]
    }
}

pub(crate) struct Read;

impl Call<Vault> for Read {
    type Reply = ();
    const NAME: &'static str = "Read";
    const SETTINGS: &'static str = "timeout = \"7s\"\nretry = { backoff = \"7ms\" }";

    async fn attempt(&self, _: &Vault, _: &Attempt) -> Result<(), Failure> {
        Ok(())
    }
}

pub(crate) struct Write;

impl Call<Vault> for Write {
    type Reply = ();
    const NAME: &'static str = "Write";

    async fn attempt(&self, _: &Vault, _: &Attempt) -> Result<(), Failure> {
        Ok(())
    }
}

/// What code wants: one service with both calls.
pub(crate) struct Downstreams {
    pub(crate) _users: Service<Vault>,
}

impl Services for Downstreams {
    fn register(registry: &mut Registry) {
        registry.service::<Vault>("users").call::<Read>().call::<Write>();
    }

    fn bind(binder: &Binder<'_>) -> Self {
        Self { _users: binder.service("users") }
    }
}
