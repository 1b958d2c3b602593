use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tokio::time::Instant;
use toml::Value;

use crate::config::{ConfigErrors, Layers};

/// A setting that code overrides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Override {
    /// The setting, in full: `services.users.bulkhead.max_in_flight`.
    pub key: String,
    /// What it is, as TOML; a secret is its reference.
    pub value: String,
    /// Who set it.
    pub by: String,
    /// Why.
    pub because: String,
    /// When it was set, by the wall clock.
    #[serde(serialize_with = "rfc3339")]
    pub since: SystemTime,
    /// When it ends, by the wall clock as it was when it was set: for people to read. It ends by the runtime's own.
    #[serde(serialize_with = "rfc3339")]
    pub until: SystemTime,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
}

impl Override {
    /// Where the setting comes from, as errors and `explain` say it behind "override by".
    pub(super) fn origin(&self) -> String {
        let until = humantime::format_rfc3339_seconds(self.until);
        format!("{}, because {}, until {until}", self.by, self.because)
    }
}

/// An override, and what it takes to apply and end it.
#[derive(Clone)]
pub(super) struct Entry {
    /// From the root of all settings: `services`, the service, and so on.
    pub(super) keys: Vec<String>,
    pub(super) value: Value,
    pub(super) ends: Instant,
    pub(super) about: Override,
}

impl Entry {
    pub(super) fn is_of(&self, service: &str) -> bool {
        self.keys.get(1).is_some_and(|its| its == service)
    }
}

/// What the services' settings are made of: the files as they were last read, and what overrides them.
pub(in crate::runtime) struct InForce {
    pub(super) base: Layers,
    /// The oldest first: of two that say the same, the later wins.
    pub(super) entries: Vec<Entry>,
}

impl InForce {
    pub(in crate::runtime) fn new(base: Layers) -> Self {
        Self { base, entries: Vec::new() }
    }

    /// How many overrides there are.
    pub(in crate::runtime) fn count(&self) -> usize {
        self.entries.len()
    }

    /// All of them, the oldest first.
    pub(in crate::runtime) fn overrides(&self) -> Vec<Override> {
        self.entries.iter().map(|entry| entry.about.clone()).collect()
    }

    /// Other settings, and on top of them those overrides whose service they still have.
    pub(in crate::runtime) fn over(&self, base: &Layers) -> Result<Layers, ConfigErrors> {
        let services = base.services();
        lay(base, self.entries.iter().filter(|entry| services.iter().any(|service| entry.is_of(service))))
    }
}

/// Settings, and overrides on top of them.
pub(super) fn lay<'a>(
    base: &Layers,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<Layers, ConfigErrors> {
    entries.into_iter().try_fold(base.clone(), |layers, entry| {
        let keys: Vec<&str> = entry.keys.iter().map(String::as_str).collect();
        layers.with_override(&keys, &entry.value, &entry.about.origin())
    })
}
