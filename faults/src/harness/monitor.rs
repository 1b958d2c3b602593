//! Looks at the runtime's own snapshot again and again, for peaks that no end of a run shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use seawall::Runtime;

use super::resources::Resources;

const PERIOD: Duration = Duration::from_millis(10);

/// The most that was seen of each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peaks {
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
    pub(crate) active: usize,
    pub(crate) rss: u64,
    pub(crate) threads: usize,
}

/// The thread that looks.
#[derive(Debug)]
pub(crate) struct Monitor {
    stopped: Arc<AtomicBool>,
    peaks: Arc<Mutex<Peaks>>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    pub(crate) fn watch(runtime: &Runtime, service: &str) -> Self {
        let (stopped, peaks) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Peaks>>::default());
        let (told, kept) = (stopped.clone(), peaks.clone());
        let (runtime, service) = (runtime.clone(), service.to_owned());
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let snapshot = runtime.snapshot();
                let (resources, bulkhead) =
                    (Resources::now(), snapshot.service(&service).and_then(|service| service.bulkhead));
                {
                    let mut peaks = kept.lock();
                    if let Some(bulkhead) = bulkhead {
                        peaks.in_flight = peaks.in_flight.max(bulkhead.in_flight as usize);
                        peaks.waiting = peaks.waiting.max(bulkhead.waiting as usize);
                    }
                    peaks.active = peaks.active.max(snapshot.active);
                    peaks.rss = peaks.rss.max(resources.rss);
                    peaks.threads = peaks.threads.max(resources.threads);
                }
                // A thread of its own, which no runtime shares.
                #[allow(clippy::disallowed_methods)]
                std::thread::sleep(PERIOD);
            }
        });
        Self { stopped, peaks, thread: Some(thread) }
    }

    pub(crate) fn stop(mut self) -> Peaks {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        *self.peaks.lock()
    }
}
