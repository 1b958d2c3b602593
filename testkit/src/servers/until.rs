use std::{panic::Location, time::Duration};

use tokio::{sync::oneshot, time};

use crate::worker::Worker;

/// Between looks at what no server tells by itself.
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`, which is asked on a thread of its own and in real time, whatever the test's clock.
///
/// # Panics
/// The future, after 20 s: with `what` was awaited.
#[track_caller]
pub(crate) fn until(
    what: String,
    mut holds: impl FnMut() -> bool + Send + 'static,
) -> impl Future<Output = ()> {
    let from = Location::caller();
    async move {
        let worker = Worker::start("until");
        let (tell, told) = oneshot::channel();
        worker.spawn(async move {
            let looking = async {
                while !holds() {
                    time::sleep(LOOK).await;
                }
            };
            let _ = tell.send(time::timeout(PATIENCE, looking).await.is_ok());
        });
        if told.await != Ok(true) {
            panic!("waited {} s at {from} for {what}", PATIENCE.as_secs());
        }
    }
}
