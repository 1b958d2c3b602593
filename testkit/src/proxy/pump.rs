//! One direction of one connection.
//!
//! A reader and a writer with a bounded queue between them: a delay must put bytes off without slowing their flow,
//! so the reader stamps each read with the time it is due and reads on. What depends on the position in the stream
//! (cut, corruption) and loss are decided by the reader; what depends on delivery (stall, bandwidth, slices) by the
//! writer. Both look at the plan anew for each read and each write, so a change holds from the next byte on.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task;
use tokio::time::{self, Instant};

use super::plan::{Direction, Plan};
use super::random::Random;
use super::stats::State;
use super::{Cut, End, Flow, FlowStats};

const READ_BYTES: usize = 16 * 1024;
const QUEUED_READS: usize = 64;
/// With a bandwidth, bytes go out in portions of this much time: short enough to look like a slow line.
const PORTION: Duration = Duration::from_millis(20);

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The sender's FIN was passed on.
    Finished,
    /// The sender is gone and the receiver is not to know.
    Lost,
    /// The whole connection is to end.
    Over(End),
}

enum Item {
    Bytes { due: Instant, bytes: Bytes },
    Fin { due: Instant },
    Cut { due: Instant, how: End },
}

/// What both halves of a pump know.
pub(super) struct Line {
    pub(super) direction: Direction,
    pub(super) plan: watch::Receiver<Plan>,
    pub(super) state: watch::Sender<State>,
}

impl Line {
    fn flow(&self) -> Flow {
        self.plan.borrow().flow(self.direction).clone()
    }

    fn count(&self, change: impl FnOnce(&mut FlowStats)) {
        self.state.send_modify(|state| change(self.direction.of(&mut state.stats)));
    }
}

/// Moves bytes until this direction ends.
pub(super) async fn pump(
    line: &Line,
    mut random: Random,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
) -> Ended {
    let (queue, queued) = mpsc::channel(QUEUED_READS);
    let jitter = Random::of(random.up_to(u64::MAX), 0, 0);
    let reading = read(line, jitter, from, queue);
    let writing = write(line, random, to, queued);
    tokio::pin!(reading, writing);
    // The writer ends last, by the queue's end, unless the receiver is gone: then nobody is left to read for.
    tokio::select! {
        biased;
        ended = &mut writing => ended,
        () = &mut reading => writing.await,
    }
}

async fn read(line: &Line, mut jitter: Random, mut from: impl AsyncRead + Unpin, queue: mpsc::Sender<Item>) {
    let mut offset = 0_u64;
    let mut last_due = Instant::now();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        let read = from.read_buf(&mut buffer).await;
        let flow = line.flow();
        let late = jitter.up_to(u64::try_from(flow.jitter.as_micros()).unwrap_or(u64::MAX));
        last_due = last_due.max(Instant::now() + flow.delay + Duration::from_micros(late));
        let due = last_due;

        let item = match read {
            Ok(0) | Err(_) if flow.lossy => return,
            Ok(0) => Item::Fin { due },
            Err(_) => Item::Cut { due, how: End::Reset },
            Ok(read) => {
                line.count(|count| count.bytes_read += read as u64);
                let mut bytes = buffer.split();
                corrupt(&mut bytes, offset, flow.corrupt_at);
                let cut = cut(&mut bytes, offset, flow.cut);
                offset += read as u64;
                if !flow.lossy
                    && !bytes.is_empty()
                    && queue.send(Item::Bytes { due, bytes: bytes.freeze() }).await.is_err()
                {
                    return;
                }
                match cut {
                    Some(how) => Item::Cut { due, how },
                    None => continue,
                }
            }
        };
        // If the writer is gone, so is the connection.
        let _ = queue.send(item).await;
        return;
    }
}

/// Inverts the byte at that offset of the stream, if it is among these.
fn corrupt(bytes: &mut [u8], offset: u64, at: Option<u64>) {
    let index = at.and_then(|at| usize::try_from(at.checked_sub(offset)?).ok());
    if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
        *byte = !*byte;
    }
}

/// Shortens these bytes to what comes before the cut, if it is among them or at their end.
fn cut(bytes: &mut BytesMut, offset: u64, cut: Option<Cut>) -> Option<End> {
    let cut = cut?;
    let left = usize::try_from(cut.after.saturating_sub(offset)).unwrap_or(usize::MAX);
    (left <= bytes.len()).then(|| {
        bytes.truncate(left);
        cut.how
    })
}

async fn write(
    line: &Line,
    mut random: Random,
    mut to: impl AsyncWrite + Unpin,
    mut queued: mpsc::Receiver<Item>,
) -> Ended {
    let mut plan = line.plan.clone();
    while let Some(item) = queued.recv().await {
        let (Item::Bytes { due, .. } | Item::Fin { due } | Item::Cut { due, .. }) = &item;
        time::sleep_until(*due).await;
        flowing(line, &mut plan).await;
        match item {
            Item::Bytes { bytes, .. } => {
                if deliver(line, &mut plan, &mut random, &mut to, bytes).await.is_err() {
                    return Ended::Over(End::Reset);
                }
            }
            Item::Fin { .. } => {
                return if to.shutdown().await.is_ok() { Ended::Finished } else { Ended::Over(End::Reset) };
            }
            Item::Cut { how, .. } => return Ended::Over(how),
        }
    }
    Ended::Lost
}

async fn deliver(
    line: &Line,
    plan: &mut watch::Receiver<Plan>,
    random: &mut Random,
    to: &mut (impl AsyncWrite + Unpin),
    mut bytes: Bytes,
) -> io::Result<()> {
    while !bytes.is_empty() {
        flowing(line, plan).await;
        let flow = line.flow();
        let mut most = bytes.len();
        if let Some(sizes) = &flow.slice {
            let spread = sizes.end().saturating_sub(*sizes.start()) as u64;
            most = most.min(sizes.start() + random.up_to(spread) as usize);
        }
        if let Some(bandwidth) = flow.bandwidth {
            let portion = bandwidth as u128 * PORTION.as_millis() / 1000;
            most = most.min(usize::try_from(portion).unwrap_or(usize::MAX));
        }
        let piece = bytes.split_to(most.max(1));
        // Counted before the receiver can have them, so that it never has more than is counted.
        line.count(|count| {
            count.bytes_written += piece.len() as u64;
            count.writes += 1;
        });
        to.write_all(&piece).await?;
        match flow.bandwidth {
            Some(bandwidth) => {
                time::sleep(Duration::from_secs_f64(piece.len() as f64 / bandwidth as f64)).await
            }
            // The receiver gets a chance to read this piece before the next one joins it.
            None if flow.slice.is_some() => task::yield_now().await,
            None => {}
        }
    }
    Ok(())
}

/// Waits while nothing is to be delivered.
async fn flowing(line: &Line, plan: &mut watch::Receiver<Plan>) {
    let moves = |plan: &Plan| {
        let flow = plan.flow(line.direction);
        !flow.stalled && flow.bandwidth != Some(0)
    };
    // The channel closes with the proxy, which drops this task as well.
    let _ = plan.wait_for(moves).await;
}
