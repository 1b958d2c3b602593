use std::fmt::Write as _;

/// The keys of one service's part of the tier.
pub(super) struct Keys {
    namespace: String,
    group: String,
}

impl Keys {
    pub(super) fn of(namespace: &str, group: &str) -> Self {
        Self { namespace: escaped(namespace), group: escaped(group) }
    }

    /// Where an entry lies.
    pub(super) fn entry(&self, key: &[u8]) -> Vec<u8> {
        self.key('v', key)
    }

    /// Where its lease does.
    pub(super) fn lease(&self, key: &[u8]) -> Vec<u8> {
        self.key('l', key)
    }

    /// Where an epoch does.
    pub(super) fn epoch(&self, name: &str) -> Vec<u8> {
        self.key('e', name.as_bytes())
    }

    /// What is written when an epoch is taken away, for those who track it.
    pub(super) fn news(&self, epoch: &str) -> Vec<u8> {
        self.key('n', epoch.as_bytes())
    }

    fn key(&self, what: char, name: &[u8]) -> Vec<u8> {
        let mut key = format!("{}:{what}:{{{}}}:", self.namespace, self.group).into_bytes();
        key.extend_from_slice(name);
        key
    }
}

/// Where all news of a fleet is.
pub(super) fn news_of(namespace: &str) -> String {
    format!("{}:n:", escaped(namespace))
}

/// The service and the epoch that a key of news is about.
pub(super) fn read<'a>(key: &'a [u8], prefix: &str) -> Option<(String, &'a str)> {
    let rest = std::str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?;
    let (group, epoch) = rest.strip_prefix('{')?.split_once("}:")?;
    Some((unescaped(group)?, epoch))
}

/// A name in which nothing can pose as what separates names: whatever it consists of, its key is its own.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            escaped.push(byte.into());
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02x}");
        }
    }
    escaped
}

fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_of_a_service_has_one_hash_tag() {
        let keys = Keys::of("fl{ee}t", "us}er:s");
        for key in [keys.entry(b"}{"), keys.lease(b"}"), keys.epoch("t1"), keys.news("t1")] {
            let text = String::from_utf8(key).expect("text");
            let tag = text.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
            assert_eq!(tag, Some("us%7der%3as"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn news_is_read_as_it_was_written(namespace in ".*", group in ".*", epoch in "[a-z0-9]*") {
            let news = Keys::of(&namespace, &group).news(&epoch);
            prop_assert_eq!(read(&news, &news_of(&namespace)), Some((group, &*epoch)));
        }

        #[test]
        fn no_two_names_share_a_key(one in ("[a-c:{}%]{0,4}", "[a-c:{}%]{0,4}", "[a-c:{}%]{0,4}"), other in ("[a-c:{}%]{0,4}", "[a-c:{}%]{0,4}", "[a-c:{}%]{0,4}")) {
            let key = |(namespace, group, key): &(String, String, String)| Keys::of(namespace, group).entry(key.as_bytes());
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }
    }
}
