//! What this process holds: memory, descriptors, threads, processor time. Read from `/proc`, which is what a system
//! would go by that kills for memory.

use std::fs;
use std::time::Duration;

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resources {
    pub(crate) rss: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

impl Resources {
    pub(crate) fn now() -> Self {
        Self { rss: status("VmRSS") * 1024, descriptors: descriptors(), threads: status("Threads") as usize }
    }
}

/// A line of `/proc/self/status`, as a number.
fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The most memory that this process has had.
pub(crate) fn peak_rss() -> u64 {
    status("VmHWM") * 1024
}

/// Forgets the most memory that this process has had, so that a peak is the peak of what follows.
pub(crate) fn forget_peak() {
    // Where the kernel does not know it, the peak is of the whole run, which only makes the judgement harder.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map(|entries| entries.count()).unwrap_or_default()
}

/// Sockets of this process in CLOSE_WAIT: the other side is gone, and nobody here has noticed.
pub(crate) fn close_wait() -> usize {
    let own: Vec<String> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let in_close_wait = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 08 is CLOSE_WAIT; the tenth field is the socket's inode.
        fields.get(3) == Some(&"08") && fields.get(9).is_some_and(|inode| own.iter().any(|one| one == inode))
    });
    in_close_wait.count()
}

/// Processor time that this process has used.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
