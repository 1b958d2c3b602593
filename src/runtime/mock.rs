use std::sync::Arc;

use super::kind::read_call;
use crate::{
    config::{ConfigErrors, Layers, Names},
    downstream::Downstream,
    service::{CallSettings, Environment, Lanes, Rules, RuntimeSettings, Service, ServiceSettings, State},
};

/// A service whose attempts `rules` answer, without any runtime, pool or network: what `testkit::mock` gives to tests of
/// handlers.
///
/// Without `settings` no policy is asked. With them (TOML at a service's level, `""` for the defaults) calls go through the
/// real policies, in virtual time where tokio's clock is paused.
///
/// # Errors
/// Everything that is wrong with the settings.
pub fn mock<D: Downstream>(
    name: &str,
    rules: Arc<Rules>,
    settings: Option<&str>,
) -> Result<Service<D>, ConfigErrors> {
    let environment = Arc::new(Environment::new(&RuntimeSettings::default(), Lanes::new("", 0), 0));
    let text = settings.map_or_else(String::new, |settings| {
        // A mock is for tests, where faults are meant.
        format!("[defaults]\n{settings}\n[runtime]\nallow_faults = true")
    });
    let layers = Layers::parse(&text, [], &Names::default())?;
    let scope = layers.service(name, D::KIND, "")?;
    let mut errors = ConfigErrors::new();
    let mut reader = scope.reader(&mut errors);
    let service = reader.read::<ServiceSettings>();
    let defaults = reader.read::<CallSettings>();
    reader.finish(&[]);
    let (service, defaults) = errors.or((service, defaults))?;
    let defaults = if settings.is_some() { defaults.unwrap_or_default() } else { CallSettings::bare() };
    let (owned, bare) = (name.to_owned(), settings.is_none());
    let source = move |call: &'static str, derived: &'static str| {
        if bare {
            return Ok(CallSettings::bare());
        }
        let mut errors = ConfigErrors::new();
        let settings = read_call(&layers, &scope, &owned, call, derived, None, &mut errors);
        settings.filter(|_| errors.is_empty()).map(|(_, settings)| settings).ok_or_else(|| errors.to_string())
    };
    let (service, source) = (service.unwrap_or_default(), Arc::new(source));
    // A mock has no endpoints: its rules know of none.
    let state = State::new(name.into(), environment, service, defaults, Vec::new(), source);
    Ok(Service::mocked(Arc::new(state), rules))
}
