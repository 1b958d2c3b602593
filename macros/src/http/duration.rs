use std::time::Duration;

use syn::LitStr;

/// As long as settings may ask for.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The text of a duration, as settings write it.
///
/// # Errors
/// For text that is none.
pub(super) fn duration(text: &LitStr) -> syn::Result<String> {
    let value = text.value();
    let problem = match humantime::parse_duration(&value) {
        Ok(duration) if duration <= LONGEST => return Ok(value),
        Ok(_) => "longer than a year",
        Err(_) => "no duration",
    };
    let message = format!("{problem}; write one with its unit: \"30s\", \"500ms\", \"1m 30s\"");
    Err(syn::Error::new(text.span(), message))
}
