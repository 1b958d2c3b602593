use std::{collections::HashSet, error::Error, fmt, sync::Arc};

use super::{Runtime, judge, overrides};
use crate::{config::ConfigErrors, supervise::Adopt, telemetry::What};

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Services that are new.
    pub added: Vec<Arc<str>>,
    /// Services that are gone: their calls fail from now on.
    pub removed: Vec<Arc<str>>,
    /// How often settings were applied, the first time included.
    pub generation: u64,
}

/// Why new settings were refused. The old ones stay in force, whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReloadError {
    /// They are wrong.
    Config(ConfigErrors),
    /// A service is of another kind than before: that needs a restart.
    KindChanged {
        /// The service.
        service: Arc<str>,
    },
}

impl Runtime {
    /// Reads all settings again, judges them whole, and only then puts them in force. What did not change keeps its pool
    /// and state. `[runtime]` is read once, at the start.
    ///
    /// Overrides stay in force, and are judged with the new settings; those of a service that is gone end.
    ///
    /// # Errors
    /// If anything is wrong with them; then nothing changes. An override that does not go with the new settings is such an
    /// error too, at its own place: the reload is what is new, and whoever makes it is there to read it and to
    /// [`unset`](Self::unset) what stands in its way, while the override was set for a reason by somebody who may not be.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let environment = &self.inner.environment;
        self.try_reload().inspect_err(|error| {
            environment.refused_reloads.add_one();
            environment.events.emit(None, What::ReloadRefused { errors: error.to_string().into() });
        })
    }

    fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let inner = &self.inner;
        // Held to the end: reloads come one after the other.
        let mut services = inner.services.write();
        overrides::expire(inner, &services);
        let (base, errors) = inner.loader.layers().map_err(ReloadError::Config)?;
        let layers = inner.in_force.lock().over(&base).map_err(ReloadError::Config)?;
        let made = |name: &str| services.get(name).map_or_else(Vec::new, |owned| owned.state().made());
        let (_, _, judged) =
            judge::whole(&layers, &inner.kinds, &inner.loader, made, errors).map_err(ReloadError::Config)?;
        for one in &judged {
            if let Some(owned) = services.get(one.settings.name())
                && !one.settings.is_of_kind(owned.kind())
            {
                return Err(ReloadError::KindChanged { service: Arc::clone(one.settings.name()) });
            }
        }
        let mut reloaded = Reloaded::default();
        let kept: HashSet<Arc<str>> = judged.iter().map(|one| Arc::clone(one.settings.name())).collect();
        services.retain(|name, owned| {
            let stays = kept.contains(name);
            if !stays {
                owned.remove();
                reloaded.removed.push(Arc::clone(name));
            }
            stays
        });
        for one in judged {
            let name = Arc::clone(one.settings.name());
            match services.get(&name) {
                Some(owned) => owned.reload(one.settings),
                None => {
                    let owned = one.kind.create(&inner.environment, one.settings);
                    owned.attend(&inner.control);
                    services.insert(Arc::clone(&name), owned);
                    reloaded.added.push(Arc::clone(&name));
                }
            }
            if let Some(owned) = services.get(&name) {
                inner.supervisor.do_send(Adopt(Arc::clone(owned).supervised()));
            }
        }
        overrides::reloaded(inner, base);
        inner.environment.generation.add_one();
        reloaded.generation = inner.environment.generation.get();
        inner.environment.events.emit(None, What::Reloaded { generation: reloaded.generation });
        Ok(reloaded)
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => write!(f, "{errors}"),
            Self::KindChanged { service } => {
                write!(f, "service `{service}` is of another kind than before, which needs a restart")
            }
        }
    }
}

impl Error for ReloadError {}
