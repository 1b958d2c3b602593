//! Real servers, started by the test on ports of their own and gone with it.
//!
//! What a client says of a server is only as good as the server it was said of. These are the real ones, in a temporary
//! folder each, killed by their id when dropped, frozen and woken by the test.

pub mod postgres;
mod redis;
mod redis_sets;
mod scratch;
mod until;

pub use redis::{RedisBuilder, RedisServer};
pub use redis_sets::{RedisCluster, RedisSentinels};
