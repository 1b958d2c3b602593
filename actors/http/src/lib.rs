//! HTTP downstreams for seawall, on awc.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the kind that stands on it is not in the tree yet")
)]
mod wire;
