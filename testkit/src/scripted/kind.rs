use std::{future::pending, time::Duration};

use seawall::{
    Downstream, Failure,
    call::Attempt,
    downstream::{EndpointAddress, OpenContext, OpenError},
};
use serde::Deserialize;

use super::{Behaviour, Echo, Opening, Reaction};

/// A kind of downstream that does what its [`Behaviour`] says, given by `Builder::extension`.
#[derive(Debug)]
pub struct Scripted {
    behaviour: Behaviour,
    endpoints: Vec<EndpointAddress>,
}

/// `kind = "scripted"` has addresses that mean nothing: a reload that changes them opens another pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ScriptedSettings {
    /// Any text.
    pub address: String,
    /// Any texts, in place of one: an attempt is told which it is for by [`Asked::endpoint`](super::Asked::endpoint).
    pub endpoints: Vec<String>,
}

impl Downstream for Scripted {
    const KIND: &'static str = "scripted";
    type Settings = ScriptedSettings;

    async fn open(settings: &Self::Settings, context: &OpenContext) -> Result<Self, OpenError> {
        let behaviour = context
            .extension::<Behaviour>()
            .ok_or_else(|| OpenError::new("it has no behaviour: give it one with `Builder::extension`"))?;
        match behaviour.opening() {
            Opening::Succeeds => {
                Ok(Self { behaviour: (*behaviour).clone(), endpoints: Self::endpoints(settings) })
            }
            Opening::Fails => Err(OpenError::new("the script says no")),
            Opening::Panics => panic!("the script says so"),
            Opening::Hangs => pending().await,
        }
    }

    async fn check(&self) -> Result<(), Failure> {
        self.behaviour.checking()
    }

    async fn close(&self) {
        self.behaviour.closing().await;
    }

    fn endpoints(settings: &Self::Settings) -> Vec<EndpointAddress> {
        match settings.endpoints.as_slice() {
            [] => vec![EndpointAddress::new(settings.address.as_str())],
            several => several.iter().map(|address| EndpointAddress::new(address.as_str())).collect(),
        }
    }
}

impl Scripted {
    /// One attempt, as the script has it.
    pub(super) async fn attempt(
        &self,
        call: &'static str,
        id: u64,
        attempt: &Attempt,
    ) -> Result<Echo, Failure> {
        attempt.mark_sent();
        let known = attempt.endpoint().and_then(|named| self.endpoints.iter().position(|is| is == named));
        let (asked, mut reaction) =
            self.behaviour.reaction(call, id, attempt.number(), known.unwrap_or_default());
        while let Reaction::After(delay, then) = reaction {
            tokio::time::sleep(delay).await;
            reaction = *then;
        }
        match reaction {
            Reaction::Fail(failure) => {
                self.behaviour.finish();
                return Err(failure);
            }
            Reaction::Panic => panic!("the script says so"),
            Reaction::PanicOnDrop => {
                let _bomb = Bomb;
                tokio::task::yield_now().await;
            }
            Reaction::Hang => pending().await,
            Reaction::Block(time) => block(time),
            Reaction::Reply | Reaction::After(..) => {}
        }
        self.behaviour.finish();
        Ok(Echo { id, serial: asked.serial, number: asked.number })
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the script says so");
        }
    }
}

// The blocking is the fault that is staged.
#[allow(clippy::disallowed_methods)]
fn block(time: Duration) {
    std::thread::sleep(time);
}
