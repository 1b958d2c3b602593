//! Misbehaving servers, fault proxies, scripted downstreams and mocks for tests with seawall.
