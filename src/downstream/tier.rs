//! What a kind implements that can keep other services' replies: a shared cache tier.
//!
//! A tier is a store of bytes that several processes reach. The core decides what is kept, for how long, and whether it
//! may be served; a tier keeps bytes under keys, and answers five questions, each of them in one step that no other
//! process gets into. What makes it safe that many processes write to it is said here, once, for whoever writes another:
//!
//! - **Epochs.** Whatever can be invalidated (a key, a tag, a call, a service) has an epoch: a stamp that no other process ever
//!   makes. An entry carries those it was loaded in, and is good only as long as the tier has the same. To invalidate is to
//!   take an epoch away. One that is missing is as good as changed, so a tier may forget what it likes: eviction and a
//!   flush cost hits, never an old reply.
//! - **Leases.** Who loads a key holds its lease, a stamp of his own, and the tier tells him the epochs as they are then.
//!   His entry is taken only if the lease is still his and the epochs are the same: a slow load neither takes the place of a
//!   newer one nor brings back what a write has voided meanwhile. A lease can be taken over when its time is over, so one
//!   whose holder died costs no more than that.
//! - **News.** A tier tells each process what was invalidated, so that what it keeps in memory goes too; and when it may
//!   have missed some, so that all of it goes.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Downstream, Failure, OpenContext};

/// A kind that can keep other services' replies. It announces itself by [`Downstream::tiering`].
///
/// Each question is an attempt of the tier's own service, on a shard's thread: its pool, bulkhead, breaker, restarts and
/// metrics are that service's. The attempt is given up at its deadline, `until`, whatever the kind does.
pub trait SharedTier: Downstream {
    /// What is kept in a place, and the epochs as they are now: read after the entry, or at once with it.
    ///
    /// # Errors
    /// If the tier cannot say. It is a miss then.
    fn get(&self, ask: &TierGet, until: Instant) -> impl Future<Output = Result<TierFound, Failure>>;

    /// Takes the lease of a place, and makes the epochs that are missing; unless there is an entry other than the one that
    /// is known, or somebody holds the lease.
    ///
    /// # Errors
    /// If the tier cannot say. The reply is loaded then, and not kept in it.
    fn lease(&self, ask: &TierLease, until: Instant) -> impl Future<Output = Result<TierLeased, Failure>>;

    /// Keeps an entry and gives the lease back, if the lease is still the asker's and the epochs are those it was given.
    /// Epochs must outlive the entries that carry them.
    ///
    /// # Errors
    /// If the tier cannot say.
    fn put(&self, ask: &TierPut, until: Instant) -> impl Future<Output = Result<TierKept, Failure>>;

    /// Gives a lease back without an entry, if it is still the asker's.
    ///
    /// # Errors
    /// If the tier cannot say.
    fn release(&self, ask: &TierRelease, until: Instant) -> impl Future<Output = Result<(), Failure>>;

    /// Takes epochs away, be they there or not, and tells all who watch. It may be asked twice.
    ///
    /// # Errors
    /// If the tier may not have heard it. It is asked again.
    fn invalidate(&self, ask: &TierInvalidate, until: Instant) -> impl Future<Output = Result<(), Failure>>;

    /// Tells `news` what is invalidated, by whomever, until it is dropped or can go on no more; then it is begun again,
    /// after a while. Asked once a process, on a thread that runs local tasks; a connection of its own is its business.
    ///
    /// It must tell [`TierNews::connected`] whenever it hears again after it may have missed something.
    fn watch(
        settings: &Self::Settings,
        context: &OpenContext,
        namespace: &str,
        news: &TierNews,
    ) -> impl Future<Output = Failure>;
}

/// A stamp that nobody else makes: a lease, an epoch, an entry.
pub type Stamp = [u8; 16];

/// Where an entry is kept.
///
/// Everything of one group belongs together: a tier of several nodes keeps it on one, since questions are answered in one
/// step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierPlace {
    /// The fleet's name: keys of two must never meet.
    pub namespace: Arc<str>,
    /// The service whose reply it is.
    pub group: Arc<str>,
    /// Where in the group, in any bytes.
    pub key: Box<[u8]>,
    /// The names of the epochs that the entry depends on.
    pub epochs: Arc<[Box<str>]>,
}

/// Asks for an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierGet {
    /// Where.
    pub place: Arc<TierPlace>,
    /// The largest entry that is wanted, in bytes: of a larger one, no more than its stamp.
    pub largest: usize,
}

/// What a tier has of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierFound {
    /// The entry.
    pub entry: Option<TierEntry>,
    /// The epochs as they are now, in the place's order; `None` for one that is missing, or held.
    pub epochs: Vec<Option<Stamp>>,
}

/// An entry as a tier has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierEntry {
    /// Its bytes, of which the first 16 are the stamp of the lease that it was put by.
    pub bytes: Vec<u8>,
    /// Whether these are all of them: it may be larger than was asked for.
    pub whole: bool,
    /// How long the tier will keep it, by the tier's own clock, where it can say.
    pub left: Option<Duration>,
}

/// Asks to load a place's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierLease {
    /// What is asked for, and how much of an entry that is there.
    pub get: TierGet,
    /// The first 16 bytes of an entry that is there and of no use; any other is answered in place of a lease.
    pub known: Option<Vec<u8>>,
    /// The asker's stamp, which becomes the lease's, and that of epochs that are missing.
    pub stamp: Stamp,
    /// How long nobody else may take it.
    pub exclusive: Duration,
    /// How long it is good for: then an entry is not taken any more.
    pub lifetime: Duration,
    /// Whether to take it whoever holds it, and whatever is there.
    pub seize: bool,
}

/// What came of asking to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierLeased {
    /// The asker is to load. These are the epochs, in the place's order.
    Granted(Vec<Stamp>),
    /// The asker may load, but the reply must not be kept: an epoch is held.
    Unsettled,
    /// Somebody else loads. Nobody may take the lease from him before this time is over.
    Held(Duration),
    /// There is an entry by now.
    Found(TierFound),
}

/// Asks to keep an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierPut {
    /// Where.
    pub place: Arc<TierPlace>,
    /// The lease.
    pub stamp: Stamp,
    /// The epochs that came with the lease.
    pub epochs: Vec<Stamp>,
    /// The entry, whose first 16 bytes are the stamp.
    pub bytes: Vec<u8>,
    /// How long to keep it.
    pub lifetime: Duration,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierKept {
    /// It is kept.
    Kept,
    /// The lease is somebody else's by now, or over, or an epoch has changed: it is too old.
    Outdated,
}

/// Gives a lease back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierRelease {
    /// Where.
    pub place: Arc<TierPlace>,
    /// The lease.
    pub stamp: Stamp,
}

/// Invalidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierInvalidate {
    /// The fleet's name.
    pub namespace: Arc<str>,
    /// The service whose replies they are.
    pub group: Arc<str>,
    /// The epochs to take away, and to tell all who watch.
    pub epochs: Vec<Box<str>>,
    /// How long the epochs are held: missing for readers, and made anew by nobody.
    pub held: Duration,
}

/// Who is told what was invalidated.
#[derive(Clone)]
pub struct TierNews(Arc<dyn Heard>);

/// What becomes of news.
pub(crate) trait Heard: Send + Sync {
    fn connected(&self);
    fn renewed(&self);
    fn lost(&self);
    fn invalidated(&self, group: &str, epoch: &str);
    fn flushed(&self);
}

impl TierNews {
    pub(crate) fn new(heard: Arc<dyn Heard>) -> Self {
        Self(heard)
    }

    /// News is heard from here on. What was missed is unknown: all that is kept in memory goes.
    pub fn connected(&self) {
        self.0.connected();
    }

    /// What lies in the tier may be older than what it was told: it began anew from a copy, or another took its place. To be
    /// said before it is [`connected`](Self::connected): all that was kept there is invalidated once more.
    pub fn renewed(&self) {
        self.0.renewed();
    }

    /// News is not heard from here on: what is in memory is served on, and goes once it is [`connected`](Self::connected)
    /// again.
    pub fn lost(&self) {
        self.0.lost();
    }

    /// This epoch of this group was taken away.
    pub fn invalidated(&self, group: &str, epoch: &str) {
        self.0.invalidated(group, epoch);
    }

    /// All of the tier was lost, or some of it and nobody can tell what.
    pub fn flushed(&self) {
        self.0.flushed();
    }
}

impl fmt::Debug for TierNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TierNews")
    }
}

type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;
type Watching<'a> = Pin<Box<dyn Future<Output = Failure> + 'a>>;

/// Proof that a kind is a [`SharedTier`]: it exists only of those that are.
pub struct Tiering<D: Downstream> {
    pub(crate) get: for<'a> fn(&'a D, &'a TierGet, Instant) -> Asking<'a, TierFound>,
    pub(crate) lease: for<'a> fn(&'a D, &'a TierLease, Instant) -> Asking<'a, TierLeased>,
    pub(crate) put: for<'a> fn(&'a D, &'a TierPut, Instant) -> Asking<'a, TierKept>,
    pub(crate) release: for<'a> fn(&'a D, &'a TierRelease, Instant) -> Asking<'a, ()>,
    pub(crate) invalidate: for<'a> fn(&'a D, &'a TierInvalidate, Instant) -> Asking<'a, ()>,
    pub(crate) watch: for<'a> fn(&'a D::Settings, &'a OpenContext, &'a str, &'a TierNews) -> Watching<'a>,
}

impl<D: SharedTier> Tiering<D> {
    /// The proof.
    pub const fn new() -> Self {
        Self {
            get: |tier, ask, until| Box::pin(tier.get(ask, until)),
            lease: |tier, ask, until| Box::pin(tier.lease(ask, until)),
            put: |tier, ask, until| Box::pin(tier.put(ask, until)),
            release: |tier, ask, until| Box::pin(tier.release(ask, until)),
            invalidate: |tier, ask, until| Box::pin(tier.invalidate(ask, until)),
            watch: |settings, context, namespace, news| {
                Box::pin(D::watch(settings, context, namespace, news))
            },
        }
    }
}

impl<D: SharedTier> Default for Tiering<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Downstream> fmt::Debug for Tiering<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiering").field("kind", &D::KIND).finish_non_exhaustive()
    }
}
