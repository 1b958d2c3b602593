//! The kind of downstream that a simulation calls, and its calls.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use seawall::{
    Call, Downstream, Failure,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing, TagWriter},
    downstream::{Blame, EndpointAddress, OpenContext, OpenError, Reached, Symptom},
};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    log::Left,
    panics::inject,
    plan::Opening,
    world::{Kind, Verdict, World},
};

/// A pool of connections to a [`World`].
pub(super) struct Simulated(Arc<World>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct SimulatedSettings {
    address: String,
    endpoints: usize,
}

impl Downstream for Simulated {
    const KIND: &'static str = "simulated";
    type Settings = SimulatedSettings;

    async fn open(_: &Self::Settings, context: &OpenContext) -> Result<Self, OpenError> {
        let world =
            context.extension::<Arc<World>>().ok_or_else(|| OpenError::new("it has no world to be in"))?;
        let opening = world.opening();
        world.opened(opening.is_none());
        match opening {
            None => Ok(Self(Arc::clone(&world))),
            Some(Opening::Fails) => Err(OpenError::new("nobody is there")),
            Some(Opening::Hangs) => pending().await,
            Some(Opening::Panics) => inject("opening a pool"),
        }
    }

    async fn check(&self) -> Result<(), Failure> {
        if self.0.is_sick() { Err(Failure::new(Blame::Downstream, "it is not well")) } else { Ok(()) }
    }

    async fn close(&self) {
        self.0.closed();
    }

    fn endpoints(settings: &Self::Settings) -> Vec<EndpointAddress> {
        match settings.endpoints {
            0 | 1 => vec![EndpointAddress::new(settings.address.clone())],
            several => (0..several)
                .map(|place| EndpointAddress::new(format!("{}{}{place}", settings.address, PLACE)))
                .collect(),
        }
    }
}

/// What stands between an address and an endpoint's place.
const PLACE: char = '#';

/// Whether an attempt goes to the first of several endpoints.
fn goes_to_first(attempt: &Attempt) -> bool {
    let place = |endpoint: &EndpointAddress| {
        endpoint.to_string().rsplit_once(PLACE).is_some_and(|(_, place)| place == "0")
    };
    attempt.endpoint().is_some_and(place)
}

/// What a call asks for.
pub(super) struct Message {
    /// The call's own number, which comes back with the reply.
    pub(super) nonce: u64,
    /// The thing it is about.
    pub(super) key: u64,
    /// When its caller gives up.
    pub(super) deadline: Instant,
    pub(super) trap: Option<Trap>,
    pub(super) world: Arc<World>,
    /// Whether dropping it panics: in the mailbox of a shard, that is the end of the shard.
    pub(super) armed: Arc<AtomicBool>,
}

/// Where the call's own code panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trap {
    Traits,
    Key,
    Tags,
    BeforeSent,
    AfterSent,
    Decode,
    OnDrop,
    Judge,
    Fallback,
}

impl Trap {
    pub(super) const ALL: [Self; 9] = [
        Self::Traits,
        Self::Key,
        Self::Tags,
        Self::BeforeSent,
        Self::AfterSent,
        Self::Decode,
        Self::OnDrop,
        Self::Judge,
        Self::Fallback,
    ];
}

impl Message {
    fn spring(&self, trap: Trap) {
        if self.trap == Some(trap) {
            inject("code of a call");
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if self.armed.load(Ordering::Relaxed) {
            self.armed.store(false, Ordering::Relaxed);
            inject("a shard");
        }
    }
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) service: usize,
    pub(super) nonce: u64,
    pub(super) key: u64,
    /// How often the thing had been written when it was read.
    pub(super) version: u64,
}

/// What a kept reply weighs.
const REPLY_BYTES: usize = 300;

impl Simulated {
    async fn serve(&self, kind: Kind, message: &Message, attempt: &Attempt) -> Result<Reply, Failure> {
        let world = &*self.0;
        world.begin(kind, message.nonce, attempt.number());
        let mut visit = Visit { world, kind, nonce: message.nonce, left: Left::Dropped };
        if message.trap == Some(Trap::BeforeSent) {
            visit.panics();
        }
        match world.connect() {
            Ok(takes) if takes.is_zero() => {}
            Ok(takes) => sleep(takes).await,
            Err(takes) => {
                sleep(takes).await;
                let refused = Failure::new(Blame::Downstream, "nobody listens").symptom(Symptom::Connect);
                return Err(visit.ends(Left::Refused, refused.reached(Reached::No)));
            }
        }
        attempt.mark_sent();
        // What others wait for too has the service's time, not its first caller's.
        let deadline = if kind == Kind::Look { attempt.deadline() } else { message.deadline };
        let fate = world.arrive(kind, message.nonce, message.key, deadline, goes_to_first(attempt));
        if message.trap == Some(Trap::AfterSent) {
            visit.panics();
        }
        let bomb = Bomb { armed: message.trap == Some(Trap::OnDrop) };
        if fate.verdict == Verdict::Hang {
            pending::<()>().await;
        }
        if !fate.after.is_zero() {
            sleep(fate.after).await;
        }
        if bomb.armed {
            visit.left = Left::Panicked;
        }
        match fate.verdict {
            Verdict::Reply if message.trap == Some(Trap::Decode) => visit.panics(),
            Verdict::Reply => {
                attempt.set_reply_bytes(REPLY_BYTES);
                if !bomb.armed {
                    visit.left = Left::Replied;
                }
                let Message { nonce, key, .. } = *message;
                Ok(Reply { service: world.service, nonce, key, version: fate.version })
            }
            Verdict::Fail => {
                let failure = Failure::new(Blame::Downstream, "it broke down").symptom(Symptom::Reset);
                Err(visit.ends(Left::Failed, failure))
            }
            Verdict::AskForLess => {
                // Before it has done anything.
                let refused = Failure::new(Blame::Overload, "it is asked too much").reached(Reached::No);
                Err(visit.ends(Left::Overloaded, refused))
            }
            Verdict::Panic | Verdict::Hang => visit.panics(),
        }
    }
}

/// An attempt at the downstream, which learns of its end whatever becomes of it.
struct Visit<'a> {
    world: &'a World,
    kind: Kind,
    nonce: u64,
    left: Left,
}

impl Visit<'_> {
    fn ends(&mut self, left: Left, failure: Failure) -> Failure {
        if self.left != Left::Panicked {
            self.left = left;
        }
        failure
    }

    fn panics(&mut self) -> ! {
        self.left = Left::Panicked;
        inject("an attempt")
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.world.leave(self.kind, self.nonce, self.left);
    }
}

/// Panics when it is dropped.
struct Bomb {
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.armed && !std::thread::panicking() {
            inject("an attempt as it ends");
        }
    }
}

/// A read that is not kept.
pub(super) struct Get(pub(super) Message);

/// A read that is.
pub(super) struct Look(pub(super) Message);

/// A write.
pub(super) struct Put(pub(super) Message);

/// A read whose answer nobody waits for.
pub(super) struct Tell(pub(super) Message);

impl Call<Simulated> for Tell {
    type Reply = Reply;
    const NAME: &'static str = Kind::Tell.name();

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    async fn attempt(&self, downstream: &Simulated, attempt: &Attempt) -> Result<Reply, Failure> {
        downstream.serve(Kind::Tell, &self.0, attempt).await
    }
}

impl Call<Simulated> for Get {
    type Reply = Reply;
    const NAME: &'static str = Kind::Get.name();

    fn traits(&self) -> CallTraits {
        self.0.spring(Trap::Traits);
        CallTraits::IDEMPOTENT
    }

    fn judge(&self, _: &Reply) -> Result<(), Failure> {
        if self.0.trap == Some(Trap::Judge) {
            self.0.world.misjudged(Kind::Get);
        }
        self.0.spring(Trap::Judge);
        Ok(())
    }

    async fn attempt(&self, downstream: &Simulated, attempt: &Attempt) -> Result<Reply, Failure> {
        downstream.serve(Kind::Get, &self.0, attempt).await
    }
}

impl Call<Simulated> for Look {
    type Reply = Reply;
    const NAME: &'static str = Kind::Look.name();

    fn traits(&self) -> CallTraits {
        self.0.spring(Trap::Traits);
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<Reply>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        self.0.spring(Trap::Key);
        key.value(&self.0.key);
        Cacheable::Yes
    }

    fn tags(&self, tags: &mut TagWriter) {
        self.0.spring(Trap::Tags);
        tags.tag(format_args!("thing:{}", self.0.key));
    }

    async fn attempt(&self, downstream: &Simulated, attempt: &Attempt) -> Result<Reply, Failure> {
        downstream.serve(Kind::Look, &self.0, attempt).await
    }
}

impl Call<Simulated> for Put {
    type Reply = Reply;
    const NAME: &'static str = Kind::Put.name();

    fn invalidates(&self, tags: &mut TagWriter) {
        self.0.spring(Trap::Tags);
        tags.tag(format_args!("thing:{}", self.0.key));
    }

    async fn attempt(&self, downstream: &Simulated, attempt: &Attempt) -> Result<Reply, Failure> {
        downstream.serve(Kind::Put, &self.0, attempt).await
    }
}
