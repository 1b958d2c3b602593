//! Connections: made, shared, watched and replaced.
//!
//! The parts, each of which fails by itself in the libraries below: [`Dialer`] makes one connection within a limit;
//! [`Link`] is one that many commands share, and knows whether it answers; [`Lanes`] keeps a thread's few of them in
//! order, in the background, so that no call pays for what broke before it; [`Dedicated`] lends one to a command that
//! blocks, and closes it if the command does not end.

mod dedicated;
mod dialer;
mod figures;
mod lanes;
mod link;
mod manager;

pub(crate) use dedicated::{Dedicated, Places};
pub(crate) use dialer::Dialer;
pub(crate) use figures::Figures;
pub(crate) use lanes::Lanes;
pub(crate) use link::Link;
use manager::LinkManager;
