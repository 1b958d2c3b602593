//! The downstream that costs are measured against: it is ready at once, so that what is left is seawall's own.

use seawall::{
    Call, Downstream, Failure, Runtime, Service,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing},
    downstream::{EndpointAddress, OpenContext, OpenError},
    policy::blame::Blame,
};

/// A downstream that is ready at once.
#[derive(Debug)]
pub struct Ready;

/// It has no settings.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct Nothing {}

impl Downstream for Ready {
    const KIND: &'static str = "ready";
    type Settings = Nothing;

    async fn open(_: &Nothing, _: &OpenContext) -> Result<Self, OpenError> {
        Ok(Self)
    }

    fn endpoints(_: &Nothing) -> Vec<EndpointAddress> {
        Vec::new()
    }
}

/// A call that is never kept.
#[derive(Debug)]
pub struct Get(pub u64);

impl Call<Ready> for Get {
    type Reply = u64;
    const NAME: &'static str = "Get";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    async fn attempt(&self, _: &Ready, _: &Attempt) -> Result<u64, Failure> {
        Ok(self.0 + 1)
    }
}

/// A call whose replies are kept.
#[derive(Debug)]
pub struct Kept(pub u64);

impl Call<Ready> for Kept {
    type Reply = u64;
    const NAME: &'static str = "Kept";

    fn sharing() -> Option<Sharing<u64>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&self.0);
        Cacheable::Yes
    }

    async fn attempt(&self, _: &Ready, _: &Attempt) -> Result<u64, Failure> {
        Ok(self.0)
    }
}

/// A call that always fails.
#[derive(Debug)]
pub struct Down;

impl Call<Ready> for Down {
    type Reply = u64;
    const NAME: &'static str = "Down";

    async fn attempt(&self, _: &Ready, _: &Attempt) -> Result<u64, Failure> {
        Err(Failure::new(Blame::Downstream, "down"))
    }
}

const SETTINGS: &str = r#"
[services.ready]
kind = "ready"
[services.down]
kind = "ready"
timeout = "3s"
"#;

/// A runtime with two services of that kind, everything at its default.
#[derive(Debug)]
pub struct Fixture {
    /// The runtime, to be drained at the end.
    pub runtime: Runtime,
    /// Its breaker is closed, and a [`Kept`] reply is in its cache.
    pub ready: Service<Ready>,
    /// Its breaker is open.
    pub down: Service<Ready>,
}

impl Fixture {
    /// Starts it, warm.
    ///
    /// # Errors
    /// When a part does not do what it is measured for.
    pub async fn start() -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let builder = Runtime::builder().kind::<Ready>().parse(SETTINGS).map_err(|error| text(&error))?;
        let runtime = builder.start().await.map_err(|error| text(&error))?;
        let ready: Service<Ready> = runtime.service("ready").map_err(|error| text(&error))?;
        let down: Service<Ready> = runtime.service("down").map_err(|error| text(&error))?;
        ready.send(Get(1)).await.map_err(|error| text(&error))?;
        ready.send(Kept(1)).await.map_err(|error| text(&error))?;
        for _ in 0..10 {
            let _failed = down.send(Down).await;
        }
        match down.send(Down).await {
            Err(error) if error.is_rejection() => Ok(Self { runtime, ready, down }),
            other => Err(format!("the breaker should be open, and there came {other:?}")),
        }
    }
}
