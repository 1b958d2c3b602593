//! Judges all settings: types are the reader's to check, sense is `sense`'s.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{
    kind::{Kind, Kinds, KnownCall, Settings},
    loader::Loader,
    sense,
};
use crate::{
    config::{ConfigErrors, Layers, Scope, unknown},
    service::{CallSettings, RuntimeSettings, ServiceSettings, TelemetrySettings},
};

/// A service whose settings are right.
pub(super) struct Judged {
    pub(super) kind: Arc<dyn Kind>,
    pub(super) settings: Settings,
}

/// Judges all settings, with which `errors` are wrong already. `made` tells the calls of a service that code has made so far.
pub(super) fn whole(
    layers: &Layers,
    kinds: &Kinds,
    loader: &Loader,
    made: impl Fn(&str) -> Vec<KnownCall>,
    mut errors: ConfigErrors,
) -> Result<(RuntimeSettings, TelemetrySettings, Vec<Judged>), ConfigErrors> {
    let runtime = runtime(layers, &mut errors);
    let telemetry = telemetry(layers, &mut errors);
    let known = || kinds.keys().copied();
    for kind in layers.kinds() {
        match kinds.get(kind.as_str()) {
            Some(kind) => kind.judge_section(layers, &mut errors),
            None => layers.error(&mut errors, &["kinds", &kind], unknown("kind", &kind, known())),
        }
    }
    defaults(layers, &mut errors);
    let names = loader.registry.names();
    let mut judged = Vec::new();
    for name in layers.services() {
        if names.services().next().is_some() && !names.services().any(|wanted| wanted == name) {
            let message = format!(
                "{} (code that registers its services binds no other)",
                unknown("service", &name, names.services())
            );
            layers.error(&mut errors, &["services", &name], message);
        }
        let Some(kind) = kind_of(layers, kinds, &name, &mut errors) else {
            without_kind(layers, &name, &mut errors);
            continue;
        };
        if let Some(settings) = kind.judge(layers, &name, loader, &made(&name), &mut errors) {
            judged.push(Judged { kind: Arc::clone(kind), settings });
        }
    }
    errors.or((runtime, telemetry, judged))
}

fn runtime(layers: &Layers, errors: &mut ConfigErrors) -> RuntimeSettings {
    let scope = layers.section("runtime");
    let settings: RuntimeSettings = section(&scope, errors);
    if settings.event_buffer == 0 || settings.event_buffer > 1 << 20 {
        scope.error(errors, "event_buffer", "it must be from 1 to 1048576 events");
    }
    if settings.concurrent_reopens == 0 || settings.concurrent_reopens > sense::MOST_CONNECTIONS {
        scope.error(
            errors,
            "concurrent_reopens",
            format!("it must be from 1 to {} pools", sense::MOST_CONNECTIONS),
        );
    }
    settings
}

fn telemetry(layers: &Layers, errors: &mut ConfigErrors) -> TelemetrySettings {
    let scope = layers.section("telemetry");
    let settings: TelemetrySettings = section(&scope, errors);
    sense::telemetry(&settings, &scope, errors);
    settings
}

/// What is wrong with `[defaults]` is told although no service inherits it. Which keys a kind has of its own, its services
/// know: others are not judged here.
fn defaults(layers: &Layers, errors: &mut ConfigErrors) {
    let scope = layers.section("defaults");
    let mut reader = scope.reader(errors).partial();
    let service = reader.read::<ServiceSettings>();
    let calls = reader.read::<CallSettings>();
    sense::inherited(service.as_ref(), calls.as_ref(), layers, &scope, errors);
}

fn section<T: Default + DeserializeOwned>(scope: &Scope, errors: &mut ConfigErrors) -> T {
    let mut reader = scope.reader(errors);
    let settings = reader.read().unwrap_or_default();
    reader.finish(&[]);
    settings
}

fn kind_of<'a>(
    layers: &Layers,
    kinds: &'a Kinds,
    name: &str,
    errors: &mut ConfigErrors,
) -> Option<&'a Arc<dyn Kind>> {
    let known = || kinds.keys().copied();
    let path = ["services", name, "kind"];
    let message = match layers.kind_of(name) {
        Some(kind) => match kinds.get(kind.as_str()) {
            Some(kind) => return Some(kind),
            None => format!("{} (kinds are made known by `Builder::kind`)", unknown("kind", &kind, known())),
        },
        None => {
            let known = known().map(|kind| format!("\"{kind}\"")).collect::<Vec<_>>().join(", ");
            let wrong = if layers.has(&path) { "is no text" } else { "is missing" };
            format!("`kind` {wrong}: say what kind of downstream it is, one of {known}")
        }
    };
    layers.error(errors, &path, message);
    None
}

/// Of a service without a kind, at least what does not depend on it is judged.
fn without_kind(layers: &Layers, name: &str, errors: &mut ConfigErrors) {
    let Ok(scope) = layers.service(name, "", "") else { return };
    let mut reader = scope.reader(errors);
    // A kind that is no text was complained about.
    let service = layers.kind_of(name).and_then(|_| reader.read::<ServiceSettings>());
    let defaults = reader.read::<CallSettings>();
    sense::inherited(service.as_ref(), defaults.as_ref(), layers, &scope, errors);
}
