//! HTTP downstreams for seawall, on awc.
