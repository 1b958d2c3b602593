use std::{collections::BTreeMap, error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

use actix::Actor;
use parking_lot::{Mutex, RwLock};

use super::{
    Inner, Registry, Runtime, Services, judge,
    kind::{Kind, KindOf, Kinds},
    loader::{Loader, Origin},
    overrides::InForce,
};
use crate::{
    config::ConfigErrors,
    downstream::{Downstream, Extensions},
    service::{Environment, Func, Lanes, Place, RuntimeSettings, StartupMode, place},
    supervise::{Adopt, Supervisor},
};

/// What a runtime is made of.
pub struct Builder {
    kinds: Kinds,
    registry: Registry,
    origin: Origin,
    extensions: BTreeMap<String, Extensions>,
    variables: Vec<(String, String)>,
    current_thread: bool,
    seed: u64,
    wall: Option<Duration>,
}

impl Builder {
    pub(super) fn new() -> Self {
        let builder = Self {
            kinds: Kinds::default(),
            registry: Registry::default(),
            origin: Origin::Nowhere,
            extensions: BTreeMap::new(),
            variables: Vec::new(),
            current_thread: false,
            seed: fresh_seed(),
            wall: None,
        };
        builder.kind::<Func>()
    }

    /// Makes a kind of downstream known.
    #[must_use]
    pub fn kind<D: Downstream>(mut self) -> Self {
        let kind: Arc<dyn Kind> = Arc::new(KindOf::<D>::new());
        self.kinds.insert(D::KIND, kind);
        self
    }

    /// Makes the services and calls that `S` names known, so that settings for others are errors.
    #[must_use]
    pub fn services<S: Services>(mut self) -> Self {
        S::register(&mut self.registry);
        self
    }

    /// Gives a service's kind something from code: a hook, say, that signs each request.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(mut self, service: &str, extension: T) -> Self {
        self.extensions.entry(service.to_owned()).or_default().insert(extension);
        self
    }

    /// Sets a variable as if the process had been started with it, in place of one that it was: for what is known only
    /// once the program runs, such as the port of a server that a test has started.
    ///
    /// ```
    /// # fn port() -> u16 { 8080 }
    /// seawall::Runtime::builder()
    ///     .variable("SEAWALL__SERVICES__USERS__URL", format!("http://127.0.0.1:{}", port()));
    /// ```
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Takes the settings from the files of a directory, and the variables `SEAWALL__...`.
    ///
    /// # Errors
    /// If the files cannot be read, or are no TOML: nothing that they say could be judged. All else that is wrong is told
    /// at once when the runtime starts, for until then kinds, services and variables may be added by which it is right.
    pub fn load(mut self, directory: impl Into<PathBuf>) -> Result<Self, ConfigErrors> {
        self.origin = Origin::Directory(directory.into());
        self.origin.files()?;
        Ok(self)
    }

    /// Takes the settings from TOML text, and the variables `SEAWALL__...`.
    ///
    /// # Errors
    /// If it is no TOML. All else that is wrong is told at once when the runtime starts, as of [`load`](Self::load).
    pub fn parse(mut self, text: impl Into<String>) -> Result<Self, ConfigErrors> {
        self.origin = Origin::Text(text.into());
        self.origin.files()?;
        Ok(self)
    }

    /// Keeps everything on the thread that starts it: for tests in virtual time, and programs of one thread. Calls can
    /// then be made only from threads that run local tasks, and blocked threads are not watched.
    #[must_use]
    pub fn current_thread(mut self) -> Self {
        self.current_thread = true;
        self
    }

    /// Takes all randomness from this seed, so that a run can be repeated.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What the wall clock shows when the runtime starts, as the time since 1970, in place of the system's: for tests of
    /// clocks that are wrong. It says how old replies are that processes share, and nothing else.
    #[must_use]
    pub fn wall_clock(mut self, since_1970: Duration) -> Self {
        self.wall = Some(since_1970);
        self
    }

    /// Judges the settings and starts all services.
    ///
    /// # Errors
    /// Everything that is wrong with the settings; a service that is required and cannot be opened; or that this thread
    /// has no async runtime.
    pub async fn start(self) -> Result<Runtime, StartError> {
        let loader = Loader {
            origin: self.origin,
            registry: self.registry,
            extensions: self.extensions,
            variables: self.variables,
        };
        let (layers, errors) = loader.layers().map_err(StartError::Config)?;
        let (mut settings, telemetry, judged) =
            judge::whole(&layers, &self.kinds, &loader, |_| Vec::new(), errors)
                .map_err(StartError::Config)?;
        let lanes = if self.current_thread {
            settings.watchdog = std::time::Duration::ZERO;
            0
        } else {
            settings.arbiters.count()
        };
        let environment = Environment::new(&settings, Lanes::new("seawall", lanes), self.seed);
        let environment = Arc::new(environment.with_wall(self.wall));
        environment.generation.add_one();
        environment.events.set_logged(telemetry.log_transitions);
        let control = Lanes::new("seawall-supervisor", usize::from(!self.current_thread));
        let supervisor = start_supervisor(&environment, &settings, &control).await?;
        let services = judged
            .into_iter()
            .map(|judged| {
                let owned = judged.kind.create(&environment, judged.settings);
                supervisor.do_send(Adopt(Arc::clone(&owned).supervised()));
                owned.attend(&control);
                (Arc::clone(owned.name()), owned)
            })
            .collect();
        let inner = Inner {
            environment,
            settings,
            kinds: self.kinds,
            loader,
            services: RwLock::new(services),
            in_force: Mutex::new(InForce::new(layers)),
            supervisor,
            published: Mutex::default(),
            control,
            telemetry,
        };
        let runtime = Runtime { inner: Arc::new(inner) };
        let publish = runtime.inner.telemetry.publish;
        if !publish.is_zero() {
            runtime.publish_every(publish).map_err(StartError::Thread)?;
        }
        runtime.open_at_start().await?;
        Ok(runtime)
    }
}

async fn start_supervisor(
    environment: &Arc<Environment>,
    settings: &RuntimeSettings,
    control: &Lanes,
) -> Result<actix::Addr<Supervisor>, StartError> {
    let watchdog = (!settings.watchdog.is_zero()).then_some(settings.watchdog);
    let supervisor = Supervisor::new(environment, watchdog);
    if control.count() == 0 {
        return match place() {
            Place::Here => Ok(supervisor.start()),
            Place::Elsewhere | Place::Nowhere => Err(StartError::NoLocalTasks),
        };
    }
    let (address, started) = tokio::sync::oneshot::channel();
    control
        .run(0, move || {
            let _ = address.send(supervisor.start());
        })
        .map_err(StartError::Thread)?;
    started
        .await
        .map_err(|_| StartError::Thread(std::io::Error::other("the supervisor's thread ended at once")))
}

impl Runtime {
    /// Publishes metrics on the supervisor's thread, until the runtime ends.
    fn publish_every(&self, interval: Duration) -> std::io::Result<()> {
        let inner = Arc::downgrade(&self.inner);
        let publish = async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(inner) = inner.upgrade() else { return };
                inner.published.lock().publish(&inner);
            }
        };
        if self.inner.control.count() == 0 {
            drop(actix_rt::spawn(publish));
            return Ok(());
        }
        self.inner.control.run(0, move || drop(actix_rt::spawn(publish)))
    }

    /// Opens on this thread what is to be opened at the start; waits for what is eager.
    async fn open_at_start(&self) -> Result<(), StartError> {
        if place() == Place::Nowhere {
            return Err(StartError::NoLocalTasks);
        }
        let services: Vec<_> = self.inner.services.read().values().cloned().collect();
        for owned in &services {
            if owned.startup().mode != StartupMode::Lazy || owned.startup().required {
                owned.open_here();
            }
        }
        for owned in &services {
            let startup = owned.startup();
            if startup.mode != StartupMode::Eager && !startup.required {
                continue;
            }
            if let Err(error) = owned.opened_here().await
                && startup.required
            {
                return Err(StartError::Required { service: Arc::clone(owned.name()), error });
            }
        }
        Ok(())
    }
}

/// A seed that another process does not have: the standard library's own, made for its hash tables.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Why a runtime could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are wrong.
    Config(ConfigErrors),
    /// A service that is required could not be opened.
    Required {
        /// The service.
        service: Arc<str>,
        /// Why.
        error: crate::downstream::OpenError,
    },
    /// A thread of the runtime's own could not be started.
    Thread(std::io::Error),
    /// The thread that it is started on has no async runtime that it could use.
    NoLocalTasks,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => write!(f, "{errors}"),
            Self::Required { service, .. } => write!(f, "{service} is required and could not be opened"),
            Self::Thread(_) => f.write_str("a thread of the runtime could not be started"),
            Self::NoLocalTasks => f.write_str(
                "a runtime starts on a thread with an async runtime; one that keeps to its thread needs an actix \
                 system, arbiter, or a LocalSet there",
            ),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Required { error, .. } => Some(error),
            Self::Thread(error) => Some(error),
            Self::Config(_) | Self::NoLocalTasks => None,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("kinds", &self.kinds.keys())
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
