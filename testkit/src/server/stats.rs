/// What a server has seen so far. The client's own figures must agree with these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now, at this end.
    pub open: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
    /// Requests read.
    pub requests: u64,
    /// Heads or bodies that were no HTTP/1, or above the limits.
    pub malformed: u64,
    /// Bytes read, after TLS.
    pub bytes_read: u64,
    /// Bytes written, before TLS.
    pub bytes_written: u64,
}
