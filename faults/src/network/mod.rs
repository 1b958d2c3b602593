//! What goes wrong on the way.

mod accept_queue;
mod blackhole;
mod broken;
mod flapping;
mod half_closed;
mod headers;
mod keep_alive;
mod lines;
mod nodelay;
mod redirects;
mod refused;
mod retry_after;
mod storm;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        refused::N1,
        blackhole::N2,
        accept_queue::N3,
        broken::N5,
        broken::N7,
        broken::N8,
        broken::N9,
        broken::N10,
        half_closed::N11,
        keep_alive::N12,
        broken::N13,
        broken::N15,
        headers::N16,
        broken::N17,
        redirects::N18,
        broken::N20,
        lines::N21,
        lines::N22,
        lines::N23,
        lines::N24,
        lines::N25,
        flapping::N26,
        storm::N28,
        nodelay::N31,
        retry_after::N32,
    ]
}
