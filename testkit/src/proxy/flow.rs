use std::ops::RangeInclusive;
use std::time::Duration;

/// The faults of one direction. The default forwards everything as it comes.
///
/// Offsets (`cut`, `corrupt_at`) count from the beginning of each connection, in this direction, as read by the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// Every byte comes so much later. In flight there are at most 64 reads of 16 KiB: beyond that, the delay bounds
    /// the throughput too.
    pub delay: Duration,
    /// Up to so much later still, anew for each read; the order stays.
    pub jitter: Duration,
    /// Bytes a second; `None` for no limit, and 0 for nothing at all.
    pub bandwidth: Option<u64>,
    /// Written in pieces of so many bytes, drawn from the range; each is a segment of its own (no Nagle), though a slow
    /// reader may find several at once.
    pub slice: Option<RangeInclusive<usize>>,
    /// Nothing is delivered; what comes meanwhile is kept, as far as buffers go, and delivered after: a frozen peer.
    pub stalled: bool,
    /// Whatever comes is read and thrown away, the end of the stream too: a partition one way.
    pub lossy: bool,
    /// The connection ends after so many bytes.
    pub cut: Option<Cut>,
    /// The byte at that offset is inverted.
    pub corrupt_at: Option<u64>,
}

/// Where a connection is cut, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Delivered before the cut, in bytes.
    pub after: u64,
    /// How both peers see it.
    pub how: End,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN.
    Close,
    /// With RST.
    Reset,
}
