//! Redis downstreams for seawall, on redis and deadpool: the kind `"redis"`.
//!
//! A call is one of the typed commands ([`Get`], [`Set`], [`Incr`], ..), [`Command`] for any other, several at once
//! ([`Pipeline`], [`Transaction`], [`Script`]), or a type of one's own that asks for what it needs by [`Redis::send`].
//! Arguments go where they are meant to: each is sent with its length, as one.
//!
//! Errors become a [`Failure`](seawall::Failure) that says whose fault it was and whether trying again can help:
//!
#![doc = include_str!("failure/table.md")]
//!
//! "Reached: no" of an error of the server's means that it says that it did nothing; among several commands, or in a
//! script, it is "yes". A write whose outcome is not known says so.
//!
//! What a service is, its settings say: [`RedisSettings`].

mod call;
mod cluster;
mod downstream;
mod explain;
mod failure;
mod links;
mod push;
mod settings;
mod target;
mod tier;
mod tls;

pub use call::{
    Argument, Bytes, Command, Del, Expire, Get, HDel, HGet, HGetAll, HSet, Incr, MGet, Piped, Pipeline,
    Script, Set, Transaction,
};
pub use downstream::Redis;
pub use push::{Listener, Tracking};
pub use redis::{FromRedisValue, Value};
pub use settings::RedisSettings;
