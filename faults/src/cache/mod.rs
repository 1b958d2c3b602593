//! What goes wrong around kept replies.

mod expiry_wave;
mod shared;
mod stale;
mod stampede;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vec![stampede::K1, stampede::K2, stampede::K3, expiry_wave::K4, stale::K5];
    all.extend(shared::all());
    all
}
