//! Keys as settings write them: names with dots between, in quotes where a name is no bare one.

/// The key of `name` within the table at `parent`.
pub(super) fn join(parent: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let name = if bare { name.to_owned() } else { format!("\"{}\"", name.escape_debug()) };
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}

/// A text from settings, as errors show it in quotes: on one line, not endless, and without the password of an address.
pub(super) fn shown(text: &str) -> String {
    format!("\"{}\"", tamed(text))
}

/// The same without quotes.
pub(super) fn tamed(text: &str) -> String {
    const LONGEST: usize = 100;
    let text = without_password(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

/// `scheme://user:password@host` with `...` in place of the password.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        Some((user, password)) => {
            let after = &rest[user.len() + 1 + password.len()..];
            format!("{scheme}://{user}:...{after}")
        }
        None => text.to_owned(),
    }
}
