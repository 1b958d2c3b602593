use std::{fs, io, io::Read as _, path::Path};

use config::{Config, Map, Source, Value, ValueKind};

use super::{
    Scope,
    diagnostics::ConfigErrors,
    names::{Names, unknown},
    text,
    variables::{self, Known},
};

/// The sections that settings have.
pub(super) const TOP_LEVEL: [&str; 6] = ["runtime", "admin", "telemetry", "defaults", "kinds", "services"];

/// The largest settings file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Settings of several sources, merged, each value knowing its place.
///
/// Loading is a pure function of its arguments and the files, so that a reload is loading again.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    merged: Map<String, Value>,
    /// The strongest last.
    layers: Vec<Map<String, Value>>,
}

impl Layers {
    /// Loads `default.toml`, `{environment}.toml` and `local.toml` of a directory, then the variables `SEAWALL__...`. A
    /// file that is not there is no error, unless the environment that was asked for has none, or there is none at all.
    ///
    /// # Errors
    /// Everything that is wrong with where they are and how they are written. What they say is judged when it is read.
    pub fn load(
        directory: &Path,
        environment: Option<&str>,
        variables: impl IntoIterator<Item = (String, String)>,
        names: &Names,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let mut files = vec!["default".to_owned(), "local".to_owned()];
        if let Some(environment) = environment.filter(|environment| !environment.is_empty()) {
            if environment.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
                files.insert(1, environment.to_owned());
            } else {
                errors.add(
                    "variable SEAWALL_ENV",
                    "",
                    format!("`{environment}` is no environment's name: letters, digits, - and _ are"),
                );
            }
        }
        let mut layers = Vec::new();
        for file in &files {
            let path = directory.join(format!("{file}.toml"));
            let shown = path.display().to_string();
            match read(&path) {
                Ok(Some(content)) => layers.push(text::parse(&content, &shown, &mut errors)),
                Ok(None) if Some(file.as_str()) == environment => {
                    errors.add(&shown, "", "there is no such file, and SEAWALL_ENV asks for it");
                }
                Ok(None) => {}
                Err(error) => errors.add(&shown, "", error),
            }
        }
        if layers.is_empty() && errors.is_empty() {
            errors.add(
                directory.display().to_string(),
                "",
                "there are no settings: none of default.toml, {SEAWALL_ENV}.toml and local.toml is there",
            );
        }
        Self::finish(layers, variables, names, errors)
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
        let mut errors = ConfigErrors::new();
        let layers = vec![text::parse(content, "settings", &mut errors)];
        Self::finish(layers, variables, names, errors)
    }

    fn finish(
        mut layers: Vec<Map<String, Value>>,
        variables: impl IntoIterator<Item = (String, String)>,
        names: &Names,
        mut errors: ConfigErrors,
    ) -> Result<Self, ConfigErrors> {
        let known = Known::new(&layers.iter().collect::<Vec<_>>(), names);
        for (one, other) in known.ambiguous() {
            errors.add(
                "",
                format!("services.{other}"),
                format!("variables cannot tell it from `{one}`; rename one of them"),
            );
        }
        layers.push(variables::read(variables, &known, &mut errors));
        let merged = merge(&layers);
        for (key, value) in &merged {
            if !TOP_LEVEL.contains(&key.as_str()) {
                Scope::complain(&mut errors, value, key, unknown("section", key, TOP_LEVEL));
            } else if !matches!(value.kind, ValueKind::Table(_)) {
                Scope::complain(&mut errors, value, key, "it must be a table");
            }
        }
        errors.or(Self { merged, layers })
    }

    /// The names of all services that have settings.
    pub fn services(&self) -> Vec<String> {
        let mut names: Vec<_> = self.table(&["services"]).into_keys().collect();
        names.sort_unstable();
        names
    }

    /// The names of all calls of a service that have settings of their own.
    pub fn calls(&self, service: &str) -> Vec<String> {
        let mut names: Vec<_> = self.table(&["services", service, "calls"]).into_keys().collect();
        names.sort_unstable();
        names
    }

    /// One of the sections that are the runtime's own: `runtime`, `admin`, `telemetry`.
    pub fn section(&self, name: &str) -> Scope {
        Scope::new(name.to_owned(), vec![self.table(&[name])], &self.layers)
    }

    /// A service's settings: the kind's defaults, `[defaults]`, `[kinds.K]`, and its own.
    ///
    /// # Errors
    /// If the kind's defaults are no TOML.
    pub fn service(&self, name: &str, kind: &str, kind_defaults: &str) -> Result<Scope, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let defaults = text::parse(kind_defaults, &format!("defaults of kind {kind}"), &mut errors);
        let mut own = self.table(&["services", name]);
        own.remove("calls");
        let cascade = vec![defaults, self.table(&["defaults"]), self.table(&["kinds", kind]), own];
        errors.or(Scope::new(format!("services.{name}"), cascade, &self.layers))
    }

    /// A call's settings: its service's, its own derive's, and its own.
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
        let mut errors = ConfigErrors::new();
        let derived = text::parse(derived, &format!("derive of {call}"), &mut errors);
        let own = self.table(&["services", service_name, "calls", call]);
        let scope = service.within(format!("services.{service_name}.calls.{call}"), vec![derived, own]);
        errors.or(scope)
    }

    /// The kind that a service says it is of, if it says so in text.
    pub fn kind_of(&self, service: &str) -> Option<String> {
        match self.table(&["services", service]).get("kind").map(|kind| kind.kind.clone()) {
            Some(ValueKind::String(kind)) => Some(kind),
            _ => None,
        }
    }

    fn table(&self, path: &[&str]) -> Map<String, Value> {
        table_at(&self.merged, path)
    }
}

/// The table at a path; empty where there is none.
fn table_at(tree: &Map<String, Value>, path: &[&str]) -> Map<String, Value> {
    match path {
        [] => tree.clone(),
        [first, rest @ ..] => match tree.get(*first).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table_at(table, rest),
            _ => Map::new(),
        },
    }
}

/// Merges layers, the strongest last: table by table, anything else whole.
pub(super) fn merge(layers: &[Map<String, Value>]) -> Map<String, Value> {
    let builder =
        layers.iter().fold(Config::builder(), |builder, layer| builder.add_source(Layer(layer.clone())));
    // A source of ours never fails, and reading back what was just merged neither.
    builder.build_cloned().and_then(|merged| merged.collect()).unwrap_or_default()
}

#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }

    // Names are names: the crate would read a path into one with a dot or a bracket.
    fn collect_to(&self, cache: &mut Value) -> Result<(), config::ConfigError> {
        if !matches!(cache.kind, ValueKind::Table(_)) {
            cache.kind = ValueKind::Table(Map::new());
        }
        if let ValueKind::Table(table) = &mut cache.kind {
            overlay(table, &self.0);
        }
        Ok(())
    }
}

fn overlay(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key).map(|value| &mut value.kind), &value.kind) {
            (Some(ValueKind::Table(under)), ValueKind::Table(over)) => overlay(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A file's text; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>, String> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let is_directory = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    if is_directory {
        return Err("it is a directory; settings are read from a file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than the {LARGEST} bytes that settings may be"));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| format!("it is not UTF-8, from byte {} on", error.utf8_error().valid_up_to()))
}
