use std::collections::{BTreeMap, BTreeSet};

use super::key::tamed;

/// The names that code has registered: services, and the calls of each.
#[derive(Clone, Debug, Default)]
pub struct Names {
    services: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    /// Registers a service.
    pub fn service(&mut self, name: &str) -> &mut Self {
        self.services.entry(name.to_owned()).or_default();
        self
    }

    /// Registers a call of a service.
    pub fn call(&mut self, service: &str, call: &str) -> &mut Self {
        self.services.entry(service.to_owned()).or_default().insert(call.to_owned());
        self
    }

    /// The services that are registered; empty where none are.
    pub fn services(&self) -> impl Iterator<Item = &str> + Clone {
        self.services.keys().map(String::as_str)
    }

    /// The calls registered for a service; empty where none are.
    pub fn calls(&self, service: &str) -> impl Iterator<Item = &str> {
        self.services.get(service).into_iter().flatten().map(String::as_str)
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'a>(meant: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&fold(meant), &fold(name)), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// "unknown ..., did you mean `x`?", and what is known where it is not too much.
pub(crate) fn unknown<'a>(
    what: &str,
    meant: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let mut text = format!("unknown {what} `{}`", tamed(meant));
    if let Some(nearest) = nearest(meant, known.clone()) {
        text.push_str(&format!("; did you mean `{nearest}`?"));
        return text;
    }
    let known: BTreeSet<&str> = known.into_iter().collect();
    match known.len() {
        0 => text.push_str("; none are known here"),
        1..=40 => {
            text.push_str("; known here: ");
            text.push_str(&known.into_iter().collect::<Vec<_>>().join(", "));
        }
        _ => {}
    }
    text
}

/// A name as variables write it: without case, `-` as `_`.
pub(super) fn fold(name: &str) -> String {
    name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}
