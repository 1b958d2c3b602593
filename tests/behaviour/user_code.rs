//! What users write may panic anywhere: it fails its own call, and nothing else.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use seawall::{
    Call, Failure,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing, TagWriter},
};
use seawall_testkit::{Ask, Echo, Scripted, virtual_time};

use crate::support::{end, fails, replies, start};

/// Where the code panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Traits,
    Key,
    Tags,
    Invalidates,
    Judge,
    Attempt,
}

struct Bad(At);

impl Bad {
    fn reach(&self, at: At) {
        assert!(self.0 != at, "user code panics in {at:?}");
    }
}

impl Call<Scripted> for Bad {
    type Reply = u64;
    const NAME: &'static str = "Bad";

    fn traits(&self) -> CallTraits {
        self.reach(At::Traits);
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<u64>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        self.reach(At::Key);
        key.value(&format!("{:?}", self.0));
        Cacheable::Yes
    }

    fn tags(&self, _: &mut TagWriter) {
        self.reach(At::Tags);
    }

    fn invalidates(&self, _: &mut TagWriter) {
        self.reach(At::Invalidates);
    }

    fn judge(&self, _: &u64) -> Result<(), Failure> {
        self.reach(At::Judge);
        Ok(())
    }

    async fn attempt(&self, _: &Scripted, _: &Attempt) -> Result<u64, Failure> {
        self.reach(At::Attempt);
        Ok(1)
    }
}

#[test]
fn a_panic_in_any_of_a_calls_functions_is_its_own_failure() {
    virtual_time(async || {
        let (runtime, users) = start("breaker = false", &replies()).await;
        for at in [At::Traits, At::Key, At::Tags, At::Invalidates, At::Judge, At::Attempt] {
            for _ in 0..200 {
                let error = users.send(Bad(at)).await.expect_err("it panics");
                let failure = error.failure().map(ToString::to_string).unwrap_or_default();
                assert!(failure.contains(&format!("panics in {at:?}")), "{at:?}: {error:?}");
            }
            users.send(Ask(1)).await.expect("others are well");
        }
        end(runtime).await;
    });
}

#[test]
fn a_panic_in_a_fallback_is_its_own_calls_failure() {
    virtual_time(async || {
        let (runtime, users) = start("breaker = false\nretry = false", &fails()).await;
        for _ in 0..1000 {
            let result = users.send(Ask(1)).fallback(|_| -> Echo { panic!("user code panics") }).await;
            assert!(result.expect_err("it panics").to_string().contains("user code panics"));
        }
        end(runtime).await;
    });
}

/// A write of its own future, which panics when it is dropped.
struct Leaves {
    pending: bool,
}

struct Ends {
    pending: bool,
}

impl Future for Ends {
    type Output = Result<u64, Failure>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.pending { Poll::Pending } else { Poll::Ready(Ok(1)) }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("user code panics as it ends");
        }
    }
}

impl Call<Scripted> for Leaves {
    type Reply = u64;
    const NAME: &'static str = "Leaves";

    fn attempt(&self, _: &Scripted, _: &Attempt) -> impl Future<Output = Result<u64, Failure>> {
        Ends { pending: self.pending }
    }
}

#[test]
fn a_future_that_panics_when_it_is_dropped_fails_its_own_call() {
    virtual_time(async || {
        let (runtime, users) = start("timeout = \"1s\"", &replies()).await;
        users.send(Ask(0)).await.expect("it is open");
        let mut events = runtime.events();
        let error = users.send(Leaves { pending: false }).await.expect_err("it panicked");
        assert!(format!("{error:?}").contains("user code panics as it ends"), "{error:?}");
        let error = users.send(Leaves { pending: true }).await.expect_err("it hangs");
        assert!(error.is_timeout(), "{error}");
        users.send(Ask(1)).await.expect("others go on");
        let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        assert!(told.is_empty(), "its shard lives: {told:?}");
        end(runtime).await;
    });
}
