//! The scripts of the tier.
//!
//! Their flags say what each may do when the server is short of memory: to take an epoch away must always be possible, or
//! what is old would be served for as long as the shortage lasts.

use std::sync::LazyLock;

/// A script and its hash.
pub(super) struct Script {
    hash: redis::Script,
    source: String,
}

impl Script {
    fn new(source: &str) -> Self {
        // Nothing may stand before the first line, which says what the script may do.
        let source = source.trim_start().to_owned();
        Self { hash: redis::Script::new(&source), source }
    }

    pub(super) fn hash(&self) -> &str {
        self.hash.get_hash()
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }
}

/// Entry, then epochs; the largest entry that is wanted.
pub(super) static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
#!lua flags=no-writes
local size = redis.call('STRLEN', KEYS[1])
local entry, left = false, -2
if size > 0 then
    entry = redis.call('GETRANGE', KEYS[1], 0, size > tonumber(ARGV[1]) and 15 or -1)
    left = redis.call('PTTL', KEYS[1])
end
return {entry, size, left, redis.call('MGET', unpack(KEYS, 2))}
",
    )
});

/// Entry, lease, then epochs; the largest entry that is wanted, what a useless one begins with, the stamp, how long the lease
/// is good for, how much of that is after it was the holder's alone, and whether to seize it. Who asks twice with one stamp
/// did not hear the first answer, and has it.
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
#!lua
if ARGV[6] == '0' then
    local begins = redis.call('GETRANGE', KEYS[1], 0, 15)
    if begins ~= '' and begins ~= ARGV[2] then
        local size = redis.call('STRLEN', KEYS[1])
        local entry = redis.call('GETRANGE', KEYS[1], 0, size > tonumber(ARGV[1]) and 15 or -1)
        return {'found', {entry, size, redis.call('PTTL', KEYS[1]), redis.call('MGET', unpack(KEYS, 3))}}
    end
    local lease = redis.call('GET', KEYS[2])
    if lease then
        local held = redis.call('PTTL', KEYS[2]) - (tonumber(string.sub(lease, 17)) or 0)
        if held > 0 and string.sub(lease, 1, 16) ~= ARGV[3] then
            return {'held', held}
        end
    end
end
local epochs = redis.call('MGET', unpack(KEYS, 3))
for i = 1, #KEYS - 2 do
    if epochs[i] == 'held' then
        return {'unsettled'}
    end
end
for i = 1, #KEYS - 2 do
    if not epochs[i] then
        redis.call('SET', KEYS[i + 2], ARGV[3], 'PX', ARGV[4])
        epochs[i] = ARGV[3]
    end
end
redis.call('SET', KEYS[2], ARGV[3] .. ARGV[5], 'PX', ARGV[4])
return {'granted', epochs}
",
    )
});

/// Entry, lease, then epochs; the stamp, the entry, how long to keep it, and the epochs as they must be. An epoch that would
/// not outlive the entry is kept for twice as long, so that not every put has to. One that is there already was put, and its
/// answer lost.
pub(super) static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
#!lua
if redis.call('GETRANGE', KEYS[1], 0, 15) == ARGV[1] then
    return 1
end
local lease = redis.call('GET', KEYS[2])
if not lease or string.sub(lease, 1, 16) ~= ARGV[1] then
    return 0
end
local epochs = redis.call('MGET', unpack(KEYS, 3))
for i = 1, #KEYS - 2 do
    if epochs[i] ~= ARGV[i + 3] then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
for i = 3, #KEYS do
    if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[3]) then
        redis.call('PEXPIRE', KEYS[i], 2 * ARGV[3])
    end
end
redis.call('DEL', KEYS[2])
return 1
",
    )
});

/// Lease; the stamp.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
#!lua flags=allow-oom
local lease = redis.call('GET', KEYS[1])
if lease and string.sub(lease, 1, 16) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return 1
",
    )
});

/// Epochs, then as many keys of news; how long they are held. One that is held for longer stays so. Who tracks is told of a
/// key that was there for a moment like of any other.
pub(super) static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
#!lua flags=allow-oom
local held = tonumber(ARGV[1])
for i = 1, #KEYS / 2 do
    -- What is no string is nobody's epoch, and goes like any other.
    local is_held = redis.pcall('GET', KEYS[i]) == 'held'
    if held > 0 then
        if not is_held or redis.call('PTTL', KEYS[i]) < held then
            redis.call('SET', KEYS[i], 'held', 'PX', held)
        end
    elseif not is_held then
        redis.call('DEL', KEYS[i])
    end
    local news = KEYS[#KEYS / 2 + i]
    redis.call('SET', news, '')
    redis.call('DEL', news)
end
return 1
",
    )
});
