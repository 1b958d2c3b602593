//! Virtual time: an hour of backoff in a test of milliseconds.
//!
//! tokio's paused clock jumps to the next timer whenever nothing else can run. actix's actors need a `System` and its
//! local task set around them too, and both need a thread whose thread-locals no earlier test has touched, or two runs
//! of one seed differ. [`virtual_time`] sets up all three.
//!
//! While the clock is paused nothing may wait for another thread or for a socket: the clock does not know of it and
//! jumps on. That rules out the servers and proxies of this crate; script the downstream instead.

use std::thread;
use std::time::Duration;

use actix_rt::System;
use tokio::runtime::Builder;
use tokio::time;

/// How far a test's clock may run. With nothing else left to happen the clock jumps here at once, so that a deadlock
/// fails the test instead of hanging it.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);

/// Runs `test` in virtual time, inside an actix `System`, on a thread of its own, and returns what it returns.
///
/// Actors, `actix_rt::spawn` and `tokio::task::spawn_local` work in it, and so do `tokio::time::{sleep, advance}`.
///
/// ```
/// use std::time::Duration;
/// use tokio::time::{Instant, sleep};
///
/// let waited = seawall_testkit::virtual_time(async || {
///     let start = Instant::now();
///     sleep(Duration::from_secs(3600)).await;
///     start.elapsed()
/// });
/// assert_eq!(waited, Duration::from_secs(3600));
/// ```
///
/// # Panics
/// With the test's own panic; or when 30 days of virtual time have passed: everything waits for everything then, or
/// for a thread or socket, which virtual time cannot see.
#[track_caller]
pub fn virtual_time<F, T>(test: F) -> T
where
    F: AsyncFnOnce() -> T + Send,
    T: Send,
{
    let ended = thread::scope(|scope| {
        let thread = thread::Builder::new().name("virtual-time".to_owned()).spawn_scoped(scope, || {
            let system = System::with_tokio_rt(|| {
                Builder::new_current_thread()
                    .enable_all()
                    .start_paused(true)
                    .build()
                    .unwrap_or_else(|error| panic!("no runtime for virtual time: {error}"))
            });
            system.block_on(async { time::timeout(HORIZON, test()).await })
        });
        thread.unwrap_or_else(|error| panic!("no thread for virtual time: {error}")).join()
    });
    match ended {
        Ok(Ok(value)) => value,
        Ok(Err(_)) => panic!(
            "the test still waits after {} days of virtual time: for itself, or for a thread or socket, which virtual \
             time cannot see",
            HORIZON.as_secs() / (24 * 3600)
        ),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[test]
    fn local_tasks_share_the_virtual_clock() {
        let (elapsed, woken) = virtual_time(async || {
            let start = Instant::now();
            let local = Rc::new(start);
            let task = actix_rt::spawn(async move {
                sleep(Duration::from_secs(60)).await;
                local.elapsed()
            });
            let other = tokio::task::spawn_local(sleep(Duration::from_secs(7200)));
            let woken = task.await.unwrap();
            other.await.unwrap();
            (start.elapsed(), woken)
        });
        assert_eq!((elapsed, woken), (Duration::from_secs(7200), Duration::from_secs(60)));
    }

    #[test]
    fn a_system_is_there_and_each_run_has_its_own() {
        let ids = [(); 2].map(|()| virtual_time(async || System::current().id()));
        assert_ne!(ids[0], ids[1]);
        assert!(!System::is_registered(), "the test's own thread was touched");
    }

    #[test]
    #[should_panic(expected = "the test still waits after 30 days")]
    fn a_deadlock_fails_at_once() {
        virtual_time(std::future::pending::<()>);
    }

    #[test]
    #[should_panic(expected = "its own words")]
    fn the_tests_panic_is_passed_on() {
        virtual_time(async || panic!("its own words"));
    }
}
