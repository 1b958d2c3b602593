//! The calls of this kind: one type for each of the commands that are used the most, [`Command`] for any other, and
//! [`Pipeline`], [`Transaction`] and [`Script`] for several at once.
//!
//! Arguments go out with their length before them, each as one: none can become two, and none can become an option, for
//! what is taken as an argument ([`Argument`]) is one value and never a list.

mod argument;
mod ask;
mod batch;
mod command;
mod generic;
mod hashes;
mod script;
mod strings;

pub use argument::{Argument, Bytes};
pub use batch::{Piped, Pipeline, Transaction};
pub use command::Command;
pub use generic::{Del, Expire};
pub use hashes::{HDel, HGet, HGetAll, HSet};
pub use script::Script;
pub use strings::{Get, Incr, MGet, Set};

pub(crate) use ask::{Ask, calls};
