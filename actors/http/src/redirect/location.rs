use std::fmt;

use super::Refused;
use crate::wire::Target;

/// The longest `location` that is looked at. Servers take request lines of about this much.
const LONGEST: usize = 8 << 10;

/// What a `location` header says, taken apart by RFC 3986, section 4.2, and read strictly: what browsers mend (a
/// backslash for a slash, spaces, letters beyond ASCII) has more than one reading, and each client has its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    /// Path and query; the fragment is nobody's but a browser's.
    rest: &'a str,
}

impl<'a> Reference<'a> {
    /// # Errors
    /// For what cannot be read, and for schemes other than HTTP's.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refused> {
        let readable = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(readable) {
            return Err(Refused::Unreadable);
        }
        let text = text.split('#').next().unwrap_or_default();
        let (scheme, rest) = match text.find([':', '/', '?']) {
            Some(at) if text[at..].starts_with(':') => (Some(&text[..at]), &text[at + 1..]),
            _ => (None, text),
        };
        if !scheme
            .is_none_or(|scheme| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)))
        {
            return Err(Refused::Scheme);
        }
        let (authority, rest) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (Some(authority), rest)
            }
            None => (None, rest),
        };
        match (scheme, authority) {
            // `http:path`, which old clients took for a path.
            (Some(_), None) => Err(Refused::Unreadable),
            _ => Ok(Self { scheme, authority, rest }),
        }
    }

    /// The server that it names, as seen from this one.
    ///
    /// # Errors
    /// For one that has a user in it, or no valid host or port.
    pub(super) fn target(&self, from: &Target) -> Result<Target, Refused> {
        let Some(authority) = self.authority else { return Ok(from.clone()) };
        let own = if from.is_tls() { "https" } else { "http" };
        let scheme = self.scheme.map_or_else(|| own.to_owned(), str::to_ascii_lowercase);
        Target::parse(&format!("{scheme}://{authority}")).map_err(|_| Refused::Unreadable)
    }

    /// Path and query, as seen from this one.
    pub(super) fn path_and_query(&self, from: &str) -> String {
        let from_path = from.split('?').next().unwrap_or_default();
        let (path, query) = match self.rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.rest, None),
        };
        let mut whole = match (self.authority, path) {
            (None, "") => from_path.to_owned(),
            (None, path) if !path.starts_with('/') => {
                let folder = from_path.rfind('/').map_or("/", |end| &from_path[..=end]);
                without_dots(&format!("{folder}{path}"))
            }
            (_, path) => without_dots(path),
        };
        if let Some(query) = query {
            whole.push('?');
            whole.push_str(query);
        }
        whole
    }
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments = path.trim_start_matches('/').split('/');
    // Of a path that begins with several slashes, only the first begins it: `//host` would be another server to whoever
    // reads it as a reference.
    for segment in segments {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let ends_in_a_folder = matches!(path.rsplit('/').next(), Some("." | ".."));
    let slash = if ends_in_a_folder && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

impl fmt::Display for Reference<'_> {
    /// Only the server: path and query may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |target: Target| {
            if self.scheme.is_some() { target.to_string() } else { target.host().to_owned() }
        };
        let target = self.authority.map(|authority| {
            Target::parse(&format!("{}://{authority}", self.scheme.unwrap_or("http").to_ascii_lowercase()))
        });
        match target {
            None => f.write_str("a redirect to another path of its own"),
            Some(Ok(target)) => write!(f, "a redirect to {:.120}", shown(target)),
            Some(Err(_)) => f.write_str("a redirect to what is no server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(location: &str) -> Result<String, Refused> {
        let from = Target::parse("https://users.internal/").unwrap();
        let reference = Reference::parse(location)?;
        Ok(format!("{}{}", reference.target(&from)?, reference.path_and_query("/v2/users/7?x=1")))
    }

    #[test]
    fn a_reference_is_resolved_against_the_request() {
        for (location, whole) in [
            ("https://Users.internal/a?b=c#d", "https://users.internal:443/a?b=c"),
            ("HTTP://users.internal:8080", "http://users.internal:8080/"),
            ("//files.internal/x", "https://files.internal:443/x"),
            ("/a/./b/../c", "https://users.internal:443/a/c"),
            ("/../../..", "https://users.internal:443/"),
            ("/a/..", "https://users.internal:443/"),
            ("/a/b/.", "https://users.internal:443/a/b/"),
            ("8", "https://users.internal:443/v2/users/8"),
            ("../teams/", "https://users.internal:443/v2/teams/"),
            ("?page=2", "https://users.internal:443/v2/users/7?page=2"),
            ("#top", "https://users.internal:443/v2/users/7"),
            ("login?next=http://x/", "https://users.internal:443/v2/users/login?next=http://x/"),
            ("https://files.internal?x", "https://files.internal:443/?x"),
            ("https://files.internal//evil/@ann", "https://files.internal:443/evil/@ann"),
        ] {
            assert_eq!(resolved(location).as_deref(), Ok(whole), "{location}");
        }
    }

    #[test]
    fn what_has_two_readings_has_none() {
        for location in [
            "",
            "/a b",
            "/\\evil",
            "\\\\evil",
            "/a\r\nx: y",
            "/\u{e9}",
            "http:/x",
            "https:evil",
            "https://ann@evil/",
            "https://users.internal@evil/",
            "https://evil:99999/",
            "https:///x",
            "///x",
        ] {
            assert_eq!(resolved(location), Err(Refused::Unreadable), "{location:?}");
        }
        assert_eq!(resolved(&format!("/{}", "x".repeat(LONGEST))), Err(Refused::Unreadable));
        for location in ["file:///etc/passwd", "gopher://x/", "javascript:1", "ftp://users.internal/"] {
            assert_eq!(resolved(location), Err(Refused::Scheme), "{location}");
        }
    }

    #[test]
    fn only_the_server_is_shown() {
        let shown = |location| Reference::parse(location).unwrap().to_string();
        assert_eq!(shown("https://login.example/x?token=hunter2"), "a redirect to https://login.example:443");
        assert_eq!(shown("//login.example/x?token=hunter2"), "a redirect to login.example");
        assert_eq!(shown("/x?token=hunter2"), "a redirect to another path of its own");
        assert_eq!(shown("https://ann:hunter2@x/"), "a redirect to what is no server");
    }
}
