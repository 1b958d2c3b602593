use std::{path::Path, sync::Arc};

use config::{Map, Value, ValueKind};
use serde::Serialize;

use super::{
    Scope,
    diagnostics::ConfigErrors,
    files,
    merge::{beaten, merge},
    names::Names,
    origin::{Mark, Origin},
    path,
    plain::plain,
    scope::{Part, Table, key_of},
    shape, text,
    tree::Tree,
    variables,
};

/// Settings of several sources, merged, each value knowing its origin.
///
/// Loading is a pure function of its arguments and the files, so that a reload is loading again. A clone shares all.
///
/// ```
/// use seawall::config::{ConfigErrors, Layers, Names};
///
/// #[derive(Default, serde::Deserialize)]
/// #[serde(default)]
/// struct Settings {
///     #[serde(with = "seawall::units::duration")]
///     timeout: std::time::Duration,
/// }
///
/// let variables = [("SEAWALL__SERVICES__USERS__TIMEOUT".to_owned(), "5s".to_owned())];
/// let layers = Layers::parse("[services.users]\ntimeout = \"3s\"", variables, &Names::default())?;
///
/// let scope = layers.service("users", "http", "")?;
/// let mut errors = ConfigErrors::new();
/// let mut reader = scope.reader(&mut errors);
/// let settings: Option<Settings> = reader.read();
/// reader.finish(&[]);
/// let settings = errors.or(settings)?.unwrap_or_default();
///
/// assert_eq!(settings.timeout.as_secs(), 5);
/// assert_eq!(scope.origin("timeout").to_string(), "variable SEAWALL__SERVICES__USERS__TIMEOUT");
/// # Ok::<(), ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Layers {
    tree: Arc<Tree>,
}

impl Layers {
    /// Loads `default.toml`, `{environment}.toml` and `local.toml` of a directory, then the variables `SEAWALL__...`. A
    /// file that is not there is no error, unless it is the environment's that was asked for, or there is none at all.
    ///
    /// # Errors
    /// Everything that is wrong with where they are and how they are written. What they say is judged when it is read.
    pub fn load(
        directory: &Path,
        environment: Option<&str>,
        variables: impl IntoIterator<Item = (String, String)>,
        names: &Names,
    ) -> Result<Self, ConfigErrors> {
        let (layers, errors) = Self::load_all(directory, environment, variables, names)?;
        errors.or(layers)
    }

    /// Reads settings from TOML text, and then the variables.
    ///
    /// # Errors
    /// Everything that is wrong with how they are written.
    pub fn parse(
        content: &str,
        variables: impl IntoIterator<Item = (String, String)>,
        names: &Names,
    ) -> Result<Self, ConfigErrors> {
        let (layers, errors) = Self::parse_all(content, variables, names)?;
        errors.or(layers)
    }

    /// What [`load`](Self::load) loads, and what is wrong with it that does not keep the rest from being judged.
    ///
    /// # Errors
    /// If files cannot be read, or are no TOML: nothing that they say could be judged then.
    pub(crate) fn load_all(
        directory: &Path,
        environment: Option<&str>,
        variables: impl IntoIterator<Item = (String, String)>,
        names: &Names,
    ) -> Result<(Self, ConfigErrors), ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let files = files::read(directory, environment, &mut errors);
        Self::merge(&files, variables, names, errors)
    }

    /// The same of what [`parse`](Self::parse) reads.
    ///
    /// # Errors
    /// If the text is no TOML.
    pub(crate) fn parse_all(
        content: &str,
        variables: impl IntoIterator<Item = (String, String)>,
        names: &Names,
    ) -> Result<(Self, ConfigErrors), ConfigErrors> {
        let files = [("settings".to_owned(), content.to_owned())];
        Self::merge(&files, variables, names, ConfigErrors::new())
    }

    fn merge(
        files: &[(String, String)],
        variables: impl IntoIterator<Item = (String, String)>,
        names: &Names,
        mut errors: ConfigErrors,
    ) -> Result<(Self, ConfigErrors), ConfigErrors> {
        let mut layers: Vec<_> =
            files.iter().map(|(name, content)| text::parse(content, name, &mut errors)).collect();
        if !errors.is_empty() {
            // Without all files, names would seem unknown that are not.
            return Err(errors);
        }
        let written = merge(layers.clone());
        variables::judge_names(&written, names, &mut errors);
        let variables = variables::read(variables, &written, names, &mut errors);
        let merged = if variables.is_empty() { written } else { merge([written, variables.clone()]) };
        layers.push(variables);
        shape::judge(&merged, &mut errors);
        let beaten: Vec<_> = layers.into_iter().map(|layer| beaten(layer, &merged)).collect();
        let tree = Tree { merged: Arc::new(merged), beaten: Arc::new(beaten), overrides: Map::new() };
        Ok((Self { tree: Arc::new(tree) }, errors))
    }

    /// The same settings, and one more on top of all: code sets it at run time. `None` and `false` turn off.
    ///
    /// It is stronger than any file at any scope: `services.users.timeout` set here holds for all calls of the service,
    /// also for those with a timeout of their own; only an override at a call is stronger. What it says is judged when it
    /// is read.
    ///
    /// # Errors
    /// If there is no such section, or `value` is nothing that settings can hold.
    pub fn with_override(
        &self,
        keys: &[&str],
        value: &impl Serialize,
        by: &str,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let origin = Origin::Override(by.to_owned());
        let value = match plain(value) {
            Ok(value) => text::from_plain(value, &origin, &key_of(keys)),
            Err(error) => {
                errors.add(origin, key_of(keys), format!("no setting can be this: {error}"));
                return Err(errors);
            }
        };
        let over = keys.iter().rev().fold(value, |value, key| {
            let table = Map::from_iter([((*key).to_owned(), value.clone())]);
            Value::new(value.origin().map(str::to_owned).as_ref(), table)
        });
        let ValueKind::Table(over) = over.kind else {
            errors.add(origin, "", "an override is of one setting, and needs its keys");
            return Err(errors);
        };
        let mut tree = (*self.tree).clone();
        tree.overrides = merge([tree.overrides, over]);
        shape::judge(&tree.overrides, &mut errors);
        errors.or(Self { tree: Arc::new(tree) })
    }

    /// The names of all services that have settings.
    pub fn services(&self) -> Vec<String> {
        self.names(&["services"])
    }

    /// The names of all calls of a service that have settings of their own, be it by an override.
    pub fn calls(&self, service: &str) -> Vec<String> {
        let at = ["services", service, "calls"];
        let mut names = self.names(&at);
        names.extend(
            path::table(&self.tree.overrides, &at).into_iter().flat_map(|calls| calls.keys().cloned()),
        );
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names of all kinds that have settings, known or not.
    pub fn kinds(&self) -> Vec<String> {
        self.names(&["kinds"])
    }

    /// One of the sections that are the runtime's own: `runtime`, `telemetry`.
    pub fn section(&self, name: &str) -> Scope {
        Scope::new(name.to_owned(), Arc::clone(&self.tree), vec![written(&[name]), overridden(&[name])])
    }

    /// Whether a section is there at all.
    pub fn has_section(&self, name: &str) -> bool {
        self.tree.merged.contains_key(name)
    }

    /// What all services of a kind inherit: the kind's defaults, `[defaults]` and `[kinds.K]`, which alone is its own.
    ///
    /// # Errors
    /// If the kind's defaults are no TOML.
    pub fn kind(&self, kind: &str, kind_defaults: &str) -> Result<Scope, ConfigErrors> {
        let at = ["kinds", kind];
        let mut errors = ConfigErrors::new();
        let defaults =
            text::parse_own(kind_defaults, &format!("defaults of kind {kind}"), &key_of(&at), &mut errors);
        let cascade = vec![
            Part { table: Table::Text(Arc::new(defaults)), own: false },
            Part { own: false, ..written(&["defaults"]) },
            written(&at),
        ];
        errors.or(Scope::new(key_of(&at), Arc::clone(&self.tree), cascade))
    }

    /// A service's settings: the kind's defaults, `[defaults]`, `[kinds.K]`, its own, and overrides.
    ///
    /// # Errors
    /// If the kind's defaults are no TOML.
    pub fn service(&self, name: &str, kind: &str, kind_defaults: &str) -> Result<Scope, ConfigErrors> {
        let at = ["services", name];
        let mut errors = ConfigErrors::new();
        let defaults =
            text::parse_own(kind_defaults, &format!("defaults of kind {kind}"), &key_of(&at), &mut errors);
        let cascade = vec![
            Part { table: Table::Text(Arc::new(defaults)), own: true },
            written(&["defaults"]),
            written(&["kinds", kind]),
            written(&at),
            overridden(&at),
        ];
        errors.or(Scope::new(key_of(&at), Arc::clone(&self.tree), cascade))
    }

    /// A call's settings: its service's, its own derive's, its own, and overrides.
    ///
    /// # Errors
    /// If the derive's settings are no TOML.
    pub fn call(
        &self,
        service: &Scope,
        service_name: &str,
        call: &str,
        derived: &str,
    ) -> Result<Scope, ConfigErrors> {
        let at = ["services", service_name, "calls", call];
        let mut errors = ConfigErrors::new();
        let derived = text::parse_own(derived, &format!("derive of {call}"), &key_of(&at), &mut errors);
        let own = vec![
            Part { table: Table::Text(Arc::new(derived)), own: true },
            written(&at),
            Part { own: false, ..overridden(&at[..2]) },
            overridden(&at),
        ];
        errors.or(service.within(key_of(&at), own))
    }

    /// The kind that a service says it is of, if it says so in text.
    pub fn kind_of(&self, service: &str) -> Option<String> {
        match &path::find(&self.tree.merged, &["services", service, "kind"])?.kind {
            ValueKind::String(kind) => Some(kind.clone()),
            _ => None,
        }
    }

    /// Whether something is written at these keys.
    pub fn has(&self, keys: &[&str]) -> bool {
        path::find(&self.tree.merged, keys).is_some()
    }

    /// Adds an error about what is written at these keys, such as `["services", "users", "calls", "GetUsr"]`; where nothing
    /// is, at the table where it could be.
    pub fn error(&self, errors: &mut ConfigErrors, keys: &[&str], message: impl Into<String>) {
        let around = (1..=keys.len()).rev().find_map(|len| path::find(&self.tree.merged, &keys[..len]));
        let origin = around.and_then(Mark::of).map(|mark| mark.origin).unwrap_or_default();
        errors.add(origin, key_of(keys), message);
    }

    fn names(&self, table: &[&str]) -> Vec<String> {
        // What is no table was complained about, and is not to be judged as one.
        let mut names: Vec<_> = path::table(&self.tree.merged, table)
            .into_iter()
            .flatten()
            .filter(|(_, value)| matches!(value.kind, ValueKind::Table(_)))
            .map(|(name, _)| name.clone())
            .collect();
        names.sort_unstable();
        names
    }
}

fn written(at: &[&str]) -> Part {
    Part { table: Table::Written(at.iter().map(|key| (*key).to_owned()).collect()), own: true }
}

fn overridden(at: &[&str]) -> Part {
    Part { table: Table::Override(at.iter().map(|key| (*key).to_owned()).collect()), own: true }
}
