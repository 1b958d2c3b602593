//! What the modules share.

use std::{fs, path::PathBuf};

use seawall::{
    Runtime,
    config::{ConfigErrors, Layers, Names},
    runtime::{Builder, StartError},
    service::{CallSettings, ServiceSettings},
};
use seawall_testkit::virtual_time;

use crate::kind::{Downstreams, Vault, VaultSettings};

/// A service with all that its kind requires; further settings go behind it.
pub(crate) const USERS: &str = "[services.users]
kind = \"vault\"
url = \"https://users.internal\"
token = { env = \"PATH\" }
";

fn builder() -> Builder {
    Runtime::builder().kind::<Vault>().current_thread()
}

/// What a whole runtime says against these settings.
pub(crate) fn refused(settings: impl Into<String>) -> String {
    refused_by(builder(), settings.into())
}

/// The same, with more settings in the service `users`.
pub(crate) fn users_refused(settings: &str) -> String {
    refused(format!("{USERS}{settings}"))
}

/// The same, for code that has registered its service and calls.
pub(crate) fn registered_refused(settings: &str) -> String {
    refused_by(builder().services::<Downstreams>(), format!("{USERS}{settings}"))
}

fn refused_by(builder: Builder, settings: String) -> String {
    outcome(builder, settings).expect_err("the settings are taken").to_string()
}

/// A runtime starts on these settings.
pub(crate) fn taken(settings: &str) {
    outcome(builder(), settings.to_owned()).unwrap_or_else(|errors| panic!("{errors}"));
}

/// Starts a runtime on settings that may be right.
pub(crate) fn refused_or_taken(settings: String) {
    let _ = outcome(builder(), settings);
}

fn outcome(builder: Builder, settings: String) -> Result<(), ConfigErrors> {
    virtual_time(async move || match builder.parse(settings)?.start().await {
        Ok(_) => Ok(()),
        Err(StartError::Config(errors)) => Err(errors),
        Err(other) => panic!("it failed otherwise: {other}"),
    })
}

/// What `explain` says of `users`, one line a setting; only of the keys that contain one of these.
pub(crate) fn explained(settings: &str, keys: &[&str]) -> String {
    let builder = builder().services::<Downstreams>();
    let settings = format!("{USERS}{settings}");
    let explanation = virtual_time(async move || {
        let started = builder.parse(settings).expect("it is TOML").start().await;
        let runtime = started.unwrap_or_else(|error| panic!("{error}"));
        runtime.explain_settings("users").expect("it is there").to_string()
    });
    let wanted = |line: &&str| keys.iter().any(|key| line.contains(key));
    explanation.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
}

/// The names that code has registered.
pub(crate) fn names() -> Names {
    let mut names = Names::default();
    names.call("users", "GetUser").call("users", "PutUser").service("redis-main");
    names
}

/// Layers of one text and variables.
pub(crate) fn layers(settings: &str, variables: &[(&str, &str)]) -> Result<Layers, ConfigErrors> {
    Layers::parse(settings, owned(variables), &names())
}

pub(crate) fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// All that layers say of the service `users`.
pub(crate) struct Read {
    pub(crate) service: ServiceSettings,
    pub(crate) call: CallSettings,
    pub(crate) own: VaultSettings,
}

/// Reads the service `users` under these variables.
pub(crate) fn users_under(settings: &str, variables: &[(&str, &str)]) -> Result<Read, ConfigErrors> {
    let layers = layers(&format!("{USERS}{settings}"), variables)?;
    let scope = layers.service("users", "vault", "")?;
    let mut errors = ConfigErrors::new();
    let mut reader = scope.reader(&mut errors);
    let read = (reader.read(), reader.read(), reader.read());
    reader.finish(&[]);
    match read {
        (Some(service), Some(call), Some(own)) => errors.or(Read { service, call, own }),
        _ => Err(errors),
    }
}

/// What is said against these variables.
pub(crate) fn variables_refused(variables: &[(&str, &str)]) -> String {
    match users_under("", variables) {
        Err(errors) => errors.to_string(),
        Ok(_) => panic!("the variables are taken"),
    }
}

/// A directory of settings files, removed at the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// One with these files; `name` is the test's own.
    pub(crate) fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the target's directory can be written");
        for (file, content) in files {
            fs::write(path.join(file), content).expect("it can be written");
        }
        Self(path)
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.0
    }

    pub(crate) fn load(
        &self,
        environment: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Layers, ConfigErrors> {
        Layers::load(&self.0, environment, owned(variables), &names())
    }

    /// What is said against them; the directory is `config`.
    pub(crate) fn refused(&self, environment: Option<&str>) -> String {
        let errors = self.load(environment, &[]).expect_err("the files are taken").to_string();
        errors.replace(&self.0.display().to_string(), "config")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
