use std::{fs, io, io::Read as _, path::Path};

use super::{diagnostics::ConfigErrors, origin::Origin};

/// The largest settings file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Reads the files of a directory, the strongest last: each one's name and text. Those that are not there are left out.
pub(super) fn read(
    directory: &Path,
    environment: Option<&str>,
    errors: &mut ConfigErrors,
) -> Vec<(String, String)> {
    let environment = environment.filter(|environment| !environment.is_empty());
    let mut names = vec!["default"];
    match environment {
        Some("default" | "local") | None => {}
        Some(environment) if is_name(environment) => names.push(environment),
        Some(environment) => errors.add(
            Origin::Variable("SEAWALL_ENV".to_owned()),
            "",
            format!("{environment:?} cannot be an environment's name: it is of letters, digits, - and _"),
        ),
    }
    names.push("local");
    let wrong = |errors: &mut ConfigErrors, path: &Path, message: String| {
        errors.add(path.display().to_string().as_str(), "", message);
    };
    if !directory.is_dir() {
        let is = if directory.exists() { "it is no directory" } else { "there is no such directory" };
        wrong(errors, directory, format!("{is}; settings are read from its default.toml"));
        return Vec::new();
    }
    let mut files = Vec::new();
    let before = errors.len();
    for name in &names {
        let path = directory.join(format!("{name}.toml"));
        match read_one(&path) {
            Ok(Some(text)) => files.push((path.display().to_string(), text)),
            Ok(None) if Some(*name) == environment => {
                wrong(errors, &path, format!("there is no such file, and SEAWALL_ENV={name} asks for it"));
            }
            Ok(None) => {}
            Err(problem) => wrong(errors, &path, problem),
        }
    }
    if files.is_empty() && errors.len() == before {
        let names = names.iter().map(|name| format!("{name}.toml")).collect::<Vec<_>>().join(", ");
        wrong(errors, directory, format!("it holds no settings: none of {names} is there"));
    }
    files
}

fn is_name(environment: &str) -> bool {
    environment.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A file's text; `None` if there is no such file.
fn read_one(path: &Path) -> Result<Option<String>, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    // Looked at before it is opened: opening a pipe would wait for somebody to write.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(metadata) if metadata.is_dir() => return Err("it is a directory, not a file".to_owned()),
        Ok(_) => return Err("it is no regular file".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than the {} KiB that settings may have", LARGEST >> 10));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..byte].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("it is not UTF-8: line {line}, byte {byte} of the file")
    })?;
    // What was cut short must not pass for settings that turn everything off.
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err("it is empty; delete it, or say in a comment that nothing is meant to be set".to_owned());
    }
    Ok(Some(text))
}
