use std::{fs, io, io::Read as _, path::Path, sync::Arc};

use config::{Map, Value, ValueKind};

use super::{
    Scope,
    diagnostics::ConfigErrors,
    key::{join, shown},
    names::Names,
    origin::Origin,
    shape, text,
    variables::{self, Known},
};

/// The sections that settings have.
pub(super) const TOP_LEVEL: [&str; 6] = ["runtime", "admin", "telemetry", "defaults", "kinds", "services"];

/// The largest settings file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Settings of several sources, merged, each value knowing its place.
///
/// Loading is a pure function of its arguments and the files, so that a reload is loading again. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    merged: Arc<Map<String, Value>>,
    /// The strongest last.
    layers: Arc<[Map<String, Value>]>,
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
                    format!(
                        "{} names no environment: a name has letters, digits, - and _ only, for it is a file's",
                        shown(environment)
                    ),
                );
            }
        }
        let mut layers = Vec::new();
        for file in &files {
            let path = directory.join(format!("{file}.toml"));
            let place = path.display().to_string();
            match read(&path) {
                Ok(Some(content)) => layers.push(text::parse(&content, &place, &mut errors)),
                Ok(None) if Some(file.as_str()) == environment => {
                    errors.add(&place, "", "there is no such file, and SEAWALL_ENV asks for it");
                }
                Ok(None) => {}
                Err(error) => errors.add(&place, "", error),
            }
        }
        if layers.is_empty() && errors.is_empty() {
            let message = if directory.is_dir() {
                let files: Vec<_> = files.iter().map(|file| format!("{file}.toml")).collect();
                format!("there are no settings in this directory: it has none of {}", files.join(", "))
            } else {
                "there is no such directory; settings are read from the files in it".to_owned()
            };
            errors.add(directory.display().to_string(), "", message);
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
        // Variables are matched against the names in the files: with a broken file, most would seem unknown.
        if errors.is_empty() {
            let known = Known::new(&layers, names);
            for (key, other) in known.ambiguous() {
                let place = layers.iter().find_map(|layer| at(layer, &key)).and_then(Origin::of);
                let message = format!("variables cannot tell it from {}; rename one of them", shown(other));
                errors.add(place.map_or(String::new(), |origin| origin.place), dotted(&key), message);
            }
            layers.push(variables::read(variables, &known, &mut errors));
        }
        let merged = merge(&layers);
        shape::judge(&merged, &mut errors);
        errors.or(Self { merged: Arc::new(merged), layers: layers.into() })
    }

    /// Whether a variable of this name is a setting: `SEAWALL__...`, in any case.
    pub fn is_setting(variable: &str) -> bool {
        variables::setting(variable).is_some()
    }

    /// The names of all services that have settings.
    pub fn services(&self) -> Vec<String> {
        self.names(&["services"])
    }

    /// The names of all calls of a service that have settings of their own.
    pub fn calls(&self, service: &str) -> Vec<String> {
        self.names(&["services", service, "calls"])
    }

    /// The names of all kinds that have settings.
    pub fn kinds(&self) -> Vec<String> {
        self.names(&["kinds"])
    }

    /// Adds an error about the value at a path, such as `["services", "users", "kind"]`; where there is none, it is
    /// placed at the table that it should be in.
    pub fn error(&self, errors: &mut ConfigErrors, path: &[&str], message: impl Into<String>) {
        errors.add(self.place(path), dotted(path), message);
    }

    /// Where the value at a path is written, or the innermost table around it.
    fn place(&self, path: &[&str]) -> String {
        let innermost = (1..=path.len()).rev().find_map(|length| at(&self.merged, &path[..length]));
        innermost.and_then(Origin::of).map_or(String::new(), |origin| origin.place)
    }

    fn names(&self, path: &[&str]) -> Vec<String> {
        let mut names = match at(&self.merged, path).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table.keys().cloned().collect(),
            _ => Vec::new(),
        };
        names.sort_unstable();
        names
    }

    /// One of the sections that are the runtime's own: `runtime`, `admin`, `telemetry`.
    pub fn section(&self, name: &str) -> Scope {
        Scope::new(name.to_owned(), self.place(&[name]), vec![self.table(&[name])], &self.layers)
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
        let path = ["services", name];
        errors.or(Scope::new(dotted(&path), self.place(&path), cascade, &self.layers))
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
        let path = ["services", service_name, "calls", call];
        errors.or(service.within(dotted(&path), self.place(&path), vec![derived, self.table(&path)]))
    }

    /// The kind that a service says it is of, if it says so in text.
    pub fn kind_of(&self, service: &str) -> Option<String> {
        match at(&self.merged, &["services", service, "kind"]).map(|kind| &kind.kind) {
            Some(ValueKind::String(kind)) => Some(kind.clone()),
            _ => None,
        }
    }

    /// Whether there is a value at a path.
    pub fn has(&self, path: &[&str]) -> bool {
        at(&self.merged, path).is_some()
    }

    /// The table at a path; empty where there is none.
    fn table(&self, path: &[&str]) -> Map<String, Value> {
        match at(&self.merged, path).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table.clone(),
            _ => Map::new(),
        }
    }
}

/// The value at a path.
fn at<'a>(tree: &'a Map<String, Value>, path: &[impl AsRef<str>]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = tree.get(first.as_ref())?;
    match (&value.kind, rest) {
        (_, []) => Some(value),
        (ValueKind::Table(table), rest) => at(table, rest),
        _ => None,
    }
}

fn dotted(path: &[impl AsRef<str>]) -> String {
    path.iter().fold(String::new(), |parent, name| join(&parent, name.as_ref()))
}

/// Merges layers, the strongest last: table by table, anything else whole.
pub(super) fn merge(layers: &[Map<String, Value>]) -> Map<String, Value> {
    layers.iter().fold(Map::new(), |mut merged, layer| {
        overlay(&mut merged, layer);
        merged
    })
}

fn overlay(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key).map(|value| &mut value.kind), &value.kind) {
            (Some(ValueKind::Table(under)), ValueKind::Table(over))
                if !(is_reference(under) && is_reference(over)) =>
            {
                overlay(under, over);
            }
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Whether a table refers to a secret. Of two, one replaces the other: merged they would say two places.
fn is_reference(table: &Map<String, Value>) -> bool {
    table.len() == 1 && (table.contains_key("env") || table.contains_key("file"))
}

/// A file's text; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    // Asked before it is opened: opening a pipe waits until somebody writes.
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if metadata.is_dir() {
        return Err("it is a directory; settings are read from a file".to_owned());
    }
    if !metadata.is_file() {
        return Err("it is no file; settings are read from a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than the {LARGEST} bytes that settings may be"));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("it is not UTF-8: line {line} has a byte, the file's {}th, that is no text", valid.len() + 1)
    })
}
