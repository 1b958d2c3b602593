use std::collections::{BTreeMap, BTreeSet};

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
        .map(|name| (strsim::damerau_levenshtein(&fold(&shortened(meant)), &fold(name)), name))
        // A third of it may differ, as rustc has it; and something must be left of it.
        .filter(|(distance, name)| {
            *distance < name.len() && *distance <= 1.max(name.len().max(meant.len()) / 3)
        })
        .min()
        .map(|(_, name)| name)
}

/// Names that are told to whoever wrote another, if the one he meant is not told.
const MOST_KNOWN: usize = 40;
/// Names that are told even so.
const FEW_KNOWN: usize = 8;

/// "unknown key `x`; did you mean `y`?", and what is known where it is not too much.
pub(crate) fn unknown<'a>(
    what: &str,
    meant: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let mut text = format!("unknown {what} `{}`", shortened(meant).escape_debug());
    let nearest = nearest(meant, known.clone());
    if let Some(nearest) = nearest {
        text.push_str(&format!("; did you mean `{nearest}`?"));
    }
    let known: BTreeSet<&str> = known.into_iter().collect();
    let most = if nearest.is_some() { FEW_KNOWN } else { MOST_KNOWN };
    match known.len() {
        0 => text.push_str("; none are known here"),
        1 if nearest.is_some() => {}
        len if len <= most => {
            let joint = if nearest.is_some() { " Known here" } else { "; known here" };
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            text.push_str(&format!("{joint}: {known}"));
        }
        _ => {}
    }
    text
}

/// The longest text that an error repeats, in characters.
const LONGEST: usize = 80;

/// Text that somebody wrote, cut to what an error repeats of it.
pub(super) fn shortened(text: &str) -> String {
    let text = without_password(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// `scheme://user:password@host` with `...` in place of the password: no settings should have it, and some will.
pub(crate) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#', '"']).next().unwrap_or_default();
    match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        Some((user, password)) => {
            let after = &rest[user.len() + 1 + password.len()..];
            format!("{scheme}://{user}:...{after}")
        }
        None => text.to_owned(),
    }
}

/// A name as variables write it: without case, `-` as `_`.
pub(super) fn fold(name: &str) -> String {
    name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}
