use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

/// Decodes JSON, or says where it is not what it should be. The text repeats nothing of the body, which may be secret:
/// neither values, which serde's own messages quote, nor keys that do not look like fields.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if body.is_empty() {
        return Err("its body is empty".into());
    }
    // The path is traced only once it is known to be wanted: tracing costs about as much as decoding.
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) => trace(body),
    }
}

fn trace<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (path, error) = (text(error.path()), error.into_inner());
        let place = format!("line {}, column {}", error.line(), error.column());
        match error.classify() {
            Category::Syntax => format!("its body is no JSON, at {place}"),
            Category::Eof => format!("its body ends too early, at {place}"),
            Category::Data | Category::Io => match reason(&error) {
                Some(reason) => format!("at `{path}`, {reason} ({place})"),
                None => format!("at `{path}` ({place})"),
            },
        }
    })?;
    deserializer.end().map_err(|error| {
        format!("its body goes on after the JSON, at line {}, column {}", error.line(), error.column())
    })?;
    Ok(value)
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                text.push('.');
                let plain = name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
                text.push_str(if plain { name } else { "*" });
            }
            Segment::Unknown => text.push_str(".?"),
        }
    }
    match text.strip_prefix('.') {
        Some(text) => text.into(),
        None if text.is_empty() => "the top".into(),
        None => text,
    }
}

/// The part of serde's message that comes from the type. What stands between "invalid type:" and "expected" is the
/// body's, but for its first word; after "unknown" it is the body's, too.
fn reason(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
    if message.starts_with("missing field `") || message.starts_with("duplicate field `") {
        return Some(message.into());
    }
    if let Some(rest) = message.strip_prefix("unknown ") {
        let what = rest.split(' ').next()?;
        return matches!(what, "field" | "variant").then(|| format!("a {what} that is not known"));
    }
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .or_else(|| message.strip_prefix("invalid length "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let found = found.split([' ', ',']).next()?;
    let known = ["string", "integer", "floating", "boolean", "null", "sequence", "map", "character", "unit"];
    Some(match known.contains(&found) {
        true => format!("expected {expected}, found {found}"),
        false => format!("expected {expected}"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only decoded")]
    struct User {
        name: String,
        #[serde(default)]
        ages: Vec<u8>,
        #[serde(default)]
        by_key: BTreeMap<String, u8>,
    }

    fn problem(body: &str) -> String {
        decode::<User>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_place_is_named_and_the_body_is_not_repeated() {
        assert_eq!(
            problem(r#"{"name": "ann", "ages": [1, "secret, expected u8"]}"#),
            "at `ages[1]`, expected u8, found string (line 1, column 49)"
        );
        assert_eq!(problem("{}"), "at `the top`, missing field `name` (line 1, column 2)");
        assert_eq!(problem("<html>secret"), "its body is no JSON, at line 1, column 1");
        assert_eq!(problem(r#"{"name": "sec"#), "its body ends too early, at line 1, column 13");
        assert_eq!(problem(""), "its body is empty");
        let keyed = problem(r#"{"name": "ann", "by_key": {"ann@secret.org": "x"}}"#);
        assert!(keyed.starts_with("at `by_key.*`, expected u8, found string"), "{keyed}");
    }
}
