//! What the server says of a session by the way.
//!
//! A session's state outlives the call that made it, and nothing in the client's API tells of it: a statement's text may be
//! anything, and asking the server costs a round trip. But the server says most of it unasked. After each request it
//! tells whether a transaction is open; it names each command that it completed; and it announces when it becomes or
//! ceases to be read-only. All of that is read here, as it passes: the type and length of each message, and the first bytes
//! of three kinds of them. That costs some ten nanoseconds a message, and no round trip.
//!
//! What it does not say: what a `SELECT` did by a function, as `set_config` or `pg_advisory_lock` do. Known ones are
//! found in the statement's text, see `statements`.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

/// What is known of one session. Written by the connection's task, read by whoever has the session.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// `I`, `T` or `E` of the last answer that ended; 0 before the first.
    status: AtomicU8,
    left: AtomicU8,
    rolled_back: AtomicBool,
    commits: AtomicU64,
    standby: AtomicBool,
    read_only: AtomicBool,
}

/// What statements may have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Left {
    Nothing,
    /// What a reset takes back: parameters, a role, temporary tables, locks, channels, cursors.
    Session,
    /// Named statements, which a reset would take from our own cache as well.
    Statements,
}

impl Facts {
    /// Whether a transaction is open.
    pub(crate) fn in_transaction(&self) -> bool {
        matches!(self.status.load(Relaxed), b'T' | b'E')
    }

    /// Whether the transaction that ended last was rolled back, as one is that has failed, whatever is asked for.
    pub(crate) fn was_rolled_back(&self) -> bool {
        self.rolled_back.load(Relaxed)
    }

    /// How often a transaction was committed by a statement that says so.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    pub(crate) fn left(&self) -> Left {
        match self.left.load(Relaxed) {
            0 => Left::Nothing,
            1 => Left::Session,
            _ => Left::Statements,
        }
    }

    /// Says that something was left behind, for what the server does not tell.
    pub(crate) fn leave(&self, left: Left) {
        self.left.fetch_max(left as u8, Relaxed);
    }

    /// The session was reset.
    pub(crate) fn cleared(&self) {
        self.left.store(0, Relaxed);
    }

    /// Whether the server takes no writes now.
    pub(crate) fn is_read_only(&self) -> bool {
        self.standby.load(Relaxed) || self.read_only.load(Relaxed)
    }

    fn completed(&self, tag: &[u8]) {
        let word = tag.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
        if matches!(word, b"COMMIT" | b"ROLLBACK") {
            self.rolled_back.store(word == b"ROLLBACK", Relaxed);
            self.commits.fetch_add(u64::from(word == b"COMMIT"), Relaxed);
        }
        let left = match word {
            b"SELECT" | b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE" | b"COPY" | b"FETCH" | b"MOVE"
            | b"SHOW" | b"BEGIN" | b"START" | b"COMMIT" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE"
            | b"LOCK" | b"EXPLAIN" | b"VALUES" | b"TRUNCATE" | b"NOTIFY" | b"ANALYZE" | b"VACUUM"
            | b"CALL" => return,
            b"PREPARE" | b"DEALLOCATE" | b"DISCARD" => Left::Statements,
            // SET, LISTEN, DECLARE CURSOR, CREATE (it may be temporary), DO, and whatever a later server brings.
            _ => Left::Session,
        };
        self.leave(left);
    }

    fn parameter(&self, body: &[u8]) {
        let mut words = body.split(|byte| *byte == 0);
        let (Some(name), Some(value)) = (words.next(), words.next()) else { return };
        match name {
            b"in_hot_standby" => self.standby.store(value == b"on", Relaxed),
            b"default_transaction_read_only" => self.read_only.store(value == b"on", Relaxed),
            _ => {}
        }
    }
}

/// Reads messages as they come in, in whatever pieces.
#[derive(Debug)]
pub(super) struct Scanner {
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the body that are still to come.
    rest: usize,
    body: [u8; KEPT],
    kept: usize,
}

/// A message's type, and its length with the length itself.
const HEADER: usize = 5;

/// `default_transaction_read_only`, `off`, and their ends are 34.
const KEPT: usize = 40;

impl Scanner {
    pub(super) fn new() -> Self {
        Self { header: [0; HEADER], have: 0, rest: 0, body: [0; KEPT], kept: 0 }
    }

    pub(super) fn read(&mut self, mut bytes: &[u8], facts: &Facts) {
        while !bytes.is_empty() || self.is_whole() {
            if self.have < HEADER {
                let (now, later) = bytes.split_at(bytes.len().min(HEADER - self.have));
                self.header[self.have..self.have + now.len()].copy_from_slice(now);
                self.have += now.len();
                bytes = later;
                if self.have < HEADER {
                    return;
                }
                let [_, length @ ..] = self.header;
                self.rest = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                self.kept = 0;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.rest));
            if self.is_of_interest() {
                let keep = now.len().min(KEPT - self.kept);
                self.body[self.kept..self.kept + keep].copy_from_slice(&now[..keep]);
                self.kept += keep;
            }
            self.rest -= now.len();
            bytes = later;
            if self.rest > 0 {
                return;
            }
            let body = &self.body[..self.kept];
            match self.header[0] {
                b'Z' => facts.status.store(body.first().copied().unwrap_or_default(), Relaxed),
                b'C' => facts.completed(body),
                b'S' => facts.parameter(body),
                _ => {}
            }
            self.have = 0;
        }
    }

    /// Whether a message without a body waits to be told.
    fn is_whole(&self) -> bool {
        self.have == HEADER && self.rest == 0
    }

    fn is_of_interest(&self) -> bool {
        matches!(self.header[0], b'Z' | b'C' | b'S')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("it is short").to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    /// What is known after these messages, whatever pieces they come in.
    fn read(messages: &[Vec<u8>], pieces: usize) -> Facts {
        let facts = Facts::default();
        let mut scanner = Scanner::new();
        for piece in messages.concat().chunks(pieces) {
            scanner.read(piece, &facts);
        }
        facts
    }

    #[test]
    fn what_the_server_says_is_read_in_whatever_pieces() {
        let row = message(b'D', &[7; 300]);
        let messages = [
            message(b'2', b""),
            row,
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"T"),
            message(b'S', b"in_hot_standby\0on\0"),
            message(b'S', b"application_name\0a name that is much too long to be kept as a whole\0"),
            message(b'3', b""),
        ];
        for pieces in [1, 2, 3, 5, 7, 64, 10_000] {
            let facts = read(&messages, pieces);
            assert!(facts.in_transaction() && facts.is_read_only(), "in pieces of {pieces}");
            assert_eq!(facts.left(), Left::Nothing);
        }
    }

    #[test]
    fn commands_leave_what_they_leave() {
        for (tag, left) in [
            ("INSERT 0 1", Left::Nothing),
            ("COMMIT", Left::Nothing),
            ("SET", Left::Session),
            ("LISTEN", Left::Session),
            ("CREATE TABLE", Left::Session),
            ("DECLARE CURSOR", Left::Session),
            ("PREPARE", Left::Statements),
            ("DISCARD ALL", Left::Statements),
            ("WHATEVER COMES", Left::Session),
        ] {
            let facts = read(&[message(b'C', format!("{tag}\0").as_bytes())], 4);
            assert_eq!(facts.left(), left, "{tag}");
        }
    }

    #[test]
    fn a_server_that_takes_writes_again_says_so() {
        let read_only = |value: &[u8]| {
            message(b'S', &[b"default_transaction_read_only\0".as_slice(), value, b"\0"].concat())
        };
        assert!(read(&[read_only(b"on")], 8).is_read_only());
        assert!(!read(&[read_only(b"on"), read_only(b"off")], 8).is_read_only());
    }
}
