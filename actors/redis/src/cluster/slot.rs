use redis::Cmd;

const SLOTS: u16 = 16_384;

/// The slot of a command's first key; `None` where it has none.
///
/// Where the key stands is known of the commands that have it elsewhere than first. A mistake costs one redirection and no
/// more: it is the node that knows what a key is.
pub(crate) fn of(command: &Cmd) -> Option<u16> {
    let words: Vec<&[u8]> = command
        .args_iter()
        .filter_map(|argument| match argument {
            redis::Arg::Simple(word) => Some(word),
            _ => None,
        })
        .collect();
    let name = words.first()?;
    let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    let after = |count: usize| match **words.get(count)? == *b"0" {
        true => None,
        false => words.get(count + 1),
    };
    let key = if is(&["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "BLMPOP", "BZMPOP"]) {
        after(2)
    } else if is(&["LMPOP", "ZMPOP", "SINTERCARD", "ZINTERCARD", "ZDIFF", "ZINTER", "ZUNION"]) {
        after(1)
    } else if is(&["XREAD", "XREADGROUP"]) {
        let streams = words.iter().position(|word| word.eq_ignore_ascii_case(b"STREAMS"))?;
        words.get(streams + 1)
    } else if is(&["BITOP", "MEMORY", "OBJECT", "XGROUP", "XINFO"]) {
        words.get(2)
    } else if is(&[
        "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "ECHO", "FLUSHALL", "INFO", "PING", "SCAN", "SCRIPT",
        "TIME",
    ]) {
        None
    } else {
        words.get(1)
    };
    key.map(|key| of_key(key))
}

/// The slot of a key: that of what stands between its first braces, if anything does.
fn of_key(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|&byte| byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the specification of Redis Cluster says. Bit by bit: a key is short.
fn crc16(bytes: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ POLYNOMIAL }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_words(words: &[&str]) -> Option<u16> {
        let mut command = Cmd::new();
        words.iter().for_each(|word| _ = command.arg(word));
        of(&command)
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of_key(b"foo"), 12_182);
        assert_eq!(of_key(b"{user1000}.following"), of_key(b"user1000"));
        assert_eq!(of_key(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(of_key(b"foo{{bar}}zap"), of_key(b"{bar"));
    }

    #[test]
    fn a_key_is_found_where_it_stands() {
        let foo = Some(12_182);
        assert_eq!(of_words(&["get", "foo"]), foo);
        assert_eq!(of_words(&["EVALSHA", "x", "1", "foo", "y"]), foo);
        assert_eq!(of_words(&["EVAL", "return 1", "0", "foo"]), None);
        assert_eq!(of_words(&["XREAD", "COUNT", "1", "streams", "foo", "0"]), foo);
        assert_eq!(of_words(&["OBJECT", "ENCODING", "foo"]), foo);
        assert_eq!(of_words(&["ping"]), None);
        assert_eq!(of_words(&["SMEMBERS"]), None);
    }
}
