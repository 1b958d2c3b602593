//! What stands between the socket and awc while an answer's head comes.
//!
//! awc misreads what it was not made for: an interim answer (103, say) it takes for the final one, a body that ends with
//! its connection for none; and in both cases it puts the connection back while the rest is still to come on it, and
//! gives that to whoever asks next. So it is shown a head only when that is whole, and found to be one that it reads
//! right:
//!
//! - interim answers are left out, as if they had never come;
//! - an answer that says `connection: close` and not how long its body is, is shown as one of HTTP/1.0, whose bodies awc
//!   reads to the connection's end;
//! - a head that is too large, or does not say where its body ends, is an error at once, and its connection is closed.
//!
//! A head that comes in one piece, as nearly all do, is looked over where it lies. From its end on nothing is looked at.

use std::{error::Error, fmt, io, mem, task::Poll};

use seawall::units::ByteSize;
use tokio::io::ReadBuf;

/// Where an answer stands:
///
/// - `Fresh => Head` when the request begins to be written: what comes before is no answer to it;
/// - `Head => Shown` when its head is whole, and lay in awc's buffer, or else
/// - `Head => Showing => Shown` when it was collected here.
#[derive(Default)]
pub(super) enum Guard {
    #[default]
    Fresh,
    Head(Collected),
    /// What was collected, and how much of it awc has.
    Showing(Vec<u8>, usize),
    Shown,
}

/// What has come of a head that is not whole.
#[derive(Default)]
pub(super) struct Collected {
    bytes: Vec<u8>,
    /// How far it was looked over, to the end of a line.
    seen: Lines,
    /// Bytes of interim answers.
    left_out: usize,
}

/// An answer's head that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// It is larger than allowed, what came before it included.
    TooLarge(ByteSize),
    /// It is none of HTTP/1.
    NoHttp,
    /// It is one of another protocol, which nobody asked for.
    Switching,
    /// It says twice how long its body is.
    TwoLengths,
    /// It does not say where its body ends.
    NoLength,
}

impl Guard {
    /// A request begins to be written.
    pub(super) fn expect(&mut self) {
        if matches!(self, Self::Fresh) {
            *self = Self::Head(Collected::default());
        }
    }

    /// Reads for awc.
    pub(super) fn poll_read(
        &mut self,
        buf: &mut ReadBuf<'_>,
        limit: ByteSize,
        mut read: impl FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        loop {
            let collected = match self {
                Self::Fresh | Self::Shown => return read(buf),
                Self::Showing(bytes, shown) => {
                    let rest = &bytes[*shown..];
                    let fits = rest.len().min(buf.remaining());
                    buf.put_slice(&rest[..fits]);
                    *shown += fits;
                    if *shown == bytes.len() {
                        *self = Self::Shown;
                    }
                    return Poll::Ready(Ok(()));
                }
                Self::Head(collected) => collected,
            };
            let before = buf.filled().len();
            match read(buf) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            let came = &mut buf.filled_mut()[before..];
            if came.is_empty() {
                // The end. What there is of a head is awc's to complain of.
                *self = match mem::take(&mut collected.bytes) {
                    bytes if bytes.is_empty() => return Poll::Ready(Ok(())),
                    bytes => Self::Showing(bytes, 0),
                };
                continue;
            }
            if collected.bytes.is_empty() {
                let (begin, whole) = collected.look_over(came, limit)?;
                if whole {
                    came.copy_within(begin.., 0);
                    let kept = came.len() - begin;
                    buf.set_filled(before + kept);
                    *self = Self::Shown;
                    return Poll::Ready(Ok(()));
                }
                collected.bytes = came[begin..].to_vec();
            } else {
                let mut bytes = mem::take(&mut collected.bytes);
                bytes.extend_from_slice(came);
                match collected.look_over(&mut bytes, limit)? {
                    (begin, true) => *self = Self::Showing(bytes, begin),
                    (begin, false) => {
                        bytes.drain(..begin);
                        collected.bytes = bytes;
                    }
                }
            }
            buf.set_filled(before);
        }
    }
}

impl Collected {
    /// Looks over what has come, from where it was left: where the head begins that is no interim one, and whether it is
    /// whole.
    fn look_over(&mut self, bytes: &mut [u8], limit: ByteSize) -> Result<(usize, bool), BadHead> {
        let mut begin = 0;
        loop {
            let head = &mut bytes[begin..];
            // Garbage without an end is not waited for.
            if !head.iter().zip(STATUS_LINE).all(|(came, expected)| came == expected) {
                return Err(BadHead::NoHttp);
            }
            let whole = self.seen.read(head);
            let length = if whole { self.seen.end } else { head.len() };
            if self.left_out + begin + length > limit.as_usize() {
                return Err(BadHead::TooLarge(limit));
            }
            if !whole {
                self.left_out += begin;
                return Ok((begin, false));
            }
            let lines = mem::take(&mut self.seen);
            match lines.judge(head)? {
                Judged::Final => return Ok((begin, true)),
                Judged::Interim => begin += lines.end,
            }
        }
    }
}

/// How every answer begins that awc reads.
const STATUS_LINE: &[u8] = b"HTTP/1.";

enum Judged {
    Interim,
    Final,
}

/// What the lines of a head say, as far as they have been read.
#[derive(Clone, Copy, Default)]
struct Lines {
    /// The end of the last line that was read.
    end: usize,
    length: bool,
    coded: bool,
    close: bool,
}

impl Lines {
    /// Reads on in a head; whether that is whole.
    fn read(&mut self, head: &[u8]) -> bool {
        while let Some(length) = head[self.end..].iter().position(|byte| *byte == b'\n') {
            let line = &head[self.end..self.end + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.end += length + 1;
            match line.first() {
                None => return true,
                Some(b'c' | b'C') => {
                    self.length |= value(line, b"content-length").is_some();
                    self.close |= value(line, b"connection").is_some_and(|value| {
                        value
                            .split(|byte| *byte == b',')
                            .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
                    });
                }
                Some(b't' | b'T') => {
                    self.coded |= value(line, b"transfer-encoding")
                        .is_some_and(|value| !value.trim_ascii().eq_ignore_ascii_case(b"identity"));
                }
                _ => {}
            }
        }
        false
    }

    /// Judges a head that is whole, and makes it one that awc reads right.
    fn judge(&self, head: &mut [u8]) -> Result<Judged, BadHead> {
        let Some(([minor, b' '], status)) = head[STATUS_LINE.len()..].split_first_chunk_mut() else {
            return Err(BadHead::NoHttp);
        };
        let modern = *minor == b'1';
        match status {
            [b'1', b'0', b'1', ..] => Err(BadHead::Switching),
            [b'1', ..] => Ok(Judged::Interim),
            _ if self.length && self.coded => Err(BadHead::TwoLengths),
            // There are no chunks in HTTP/1.0: who sends them there has another idea of where this ends.
            _ if self.coded && !modern => Err(BadHead::NoHttp),
            [b'2', b'0', b'4', ..] | [b'3', b'0', b'4', ..] => Ok(Judged::Final),
            _ if self.length || self.coded || !modern => Ok(Judged::Final),
            _ if self.close => {
                *minor = b'0';
                Ok(Judged::Final)
            }
            _ => Err(BadHead::NoLength),
        }
    }
}

/// A header's value, if it has this name.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    rest.trim_ascii_start().strip_prefix(b":")
}

impl BadHead {
    /// Finds it again in what awc made of it.
    pub(crate) fn find(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<BadHead> for io::Error {
    fn from(bad: BadHead) -> Self {
        Self::new(io::ErrorKind::InvalidData, bad)
    }
}

impl Error for BadHead {}

impl fmt::Display for BadHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => {
                write!(f, "the answer's head is larger than {limit} (`http.max_header`)")
            }
            Self::NoHttp => f.write_str("the answer is no valid HTTP"),
            Self::Switching => f.write_str("the answer changes to another protocol, which was not asked for"),
            Self::TwoLengths => {
                f.write_str("the answer says twice how long its body is, by length and in chunks")
            }
            Self::NoLength => f.write_str(
                "the answer does not say how long its body is: by length, in chunks, or by closing",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ByteSize = ByteSize::kib(1);

    /// What awc is shown of an answer that comes in these pieces, in buffers of this size.
    fn shown(pieces: &[&[u8]], room: usize) -> Result<Vec<u8>, BadHead> {
        let mut guard = Guard::default();
        guard.expect();
        let (mut rest, mut shown) = (pieces.iter().filter(|piece| !piece.is_empty()), Vec::new());
        let mut piece: &[u8] = &[];
        loop {
            let mut space = vec![0; room];
            let mut buf = ReadBuf::new(&mut space);
            let polled = guard.poll_read(&mut buf, LIMIT, |buf| {
                if piece.is_empty() {
                    piece = rest.next().copied().unwrap_or_default();
                }
                let (now, later) = piece.split_at(piece.len().min(buf.remaining()));
                buf.put_slice(now);
                piece = later;
                Poll::Ready(Ok(()))
            });
            match polled {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Ok(shown),
                Poll::Ready(Ok(())) => shown.extend_from_slice(buf.filled()),
                Poll::Ready(Err(error)) => return Err(BadHead::find(&error).unwrap()),
                Poll::Pending => unreachable!("the pieces are all there"),
            }
        }
    }

    #[test]
    fn it_is_all_the_same_how_an_answer_is_cut() {
        const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";
        for (came, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(), None),
            (format!("{INTERIM}{INTERIM}HTTP/1.1 204 No\n\n"), Some(Ok("HTTP/1.1 204 No\n\n"))),
            (
                "HTTP/1.1 200 OK\r\nconnection: a, close\r\n\r\nok".to_owned(),
                Some(Ok("HTTP/1.0 200 OK\r\nconnection: a, close\r\n\r\nok")),
            ),
            ("HTTP/1.1 200 OK\r\nconnection: closed\r\n\r\n".to_owned(), Some(Err(BadHead::NoLength))),
            ("HTTP/1.1 304 Not\r\netag: x\r\n\r\n".to_owned(), None),
            (format!("{INTERIM}HTTP/1.1 101 S\r\n\r\n"), Some(Err(BadHead::Switching))),
            ("HTTP/1.1".to_owned(), None),
            ("HTTP/2 200\r\n\r\n".to_owned(), Some(Err(BadHead::NoHttp))),
            (INTERIM.repeat(40), Some(Err(BadHead::TooLarge(LIMIT)))),
        ] {
            let bytes = came.as_bytes();
            let expected = expected.unwrap_or(Ok(&came)).map(|text| text.as_bytes().to_vec());
            for room in [1, 7, 8192] {
                let single: Vec<_> = bytes.chunks(1).collect();
                assert_eq!(shown(&single, room), expected, "{came:?} byte by byte");
                for first in 0..bytes.len() {
                    let (one, other) = bytes.split_at(first);
                    assert_eq!(shown(&[one, other], room), expected, "{came:?} cut at {first}");
                }
            }
        }
    }

    #[test]
    fn what_comes_before_a_request_is_no_answer_to_it() {
        let mut guard = Guard::default();
        let mut space = [0; 8];
        let mut buf = ReadBuf::new(&mut space);
        let read = guard.poll_read(&mut buf, LIMIT, |buf| {
            buf.put_slice(b"x");
            Poll::Ready(Ok(()))
        });
        assert!(matches!(read, Poll::Ready(Ok(()))));
        assert_eq!(buf.filled(), b"x", "it is not held back: a connection that has it is not used");
    }
}
