use std::fmt;

/// Percent-encodes what is written to it: all but the unreserved characters of RFC 3986 (letters, digits and `-._~`).
///
/// Stricter than a path or query needs to be, since servers and proxies disagree about the rest: a `;`, a `+` or an
/// encoded `/` means something to some of them. Encoded, a value cannot be anything but a value.
pub(super) struct Encoded<'a>(pub(super) &'a mut String);

impl fmt::Write for Encoded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        encode(self.0, text, |byte| UNRESERVED[usize::from(byte)]);
        Ok(())
    }
}

/// Appends the literal part of a path, which keeps its slashes and its percent signs.
pub(super) fn literal(out: &mut String, text: &str) {
    encode(out, text, |byte| IN_A_PATH[usize::from(byte)]);
}

const UNRESERVED: [bool; 256] = letters_digits_and(b"-._~");
const IN_A_PATH: [bool; 256] = letters_digits_and(b"-._~/%:@!$&'()*+,;=");

const fn letters_digits_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut other = 0;
    while other < others.len() {
        table[others[other] as usize] = true;
        other += 1;
    }
    table
}

fn encode(out: &mut String, text: &str, keep: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !keep(byte)) {
        let (kept, odd) = rest.split_at(at);
        out.push_str(kept);
        // One character at a time, so that `rest` stays valid text.
        let next = odd.chars().next().map_or(odd.len(), char::len_utf8);
        for byte in odd[..next].bytes() {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        rest = &odd[next..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        let mut out = String::new();
        write!(Encoded(&mut out), "aZ09-._~ /?#%&=+;@:\r\n\0é").unwrap();
        assert_eq!(out, "aZ09-._~%20%2F%3F%23%25%26%3D%2B%3B%40%3A%0D%0A%00%C3%A9");
    }

    #[test]
    fn a_literal_keeps_its_slashes_and_nothing_that_ends_a_path() {
        let mut out = String::new();
        literal(&mut out, "/a/b%20c?d#e");
        assert_eq!(out, "/a/b%20c%3Fd%23e");
    }
}
