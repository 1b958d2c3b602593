use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Context;
use crate::downstream::{EndpointAddress, Stage};

/// One attempt at a call: what a kind is told of it, and what it tells back.
#[derive(Debug)]
pub struct Attempt {
    service: Arc<str>,
    call: &'static str,
    number: u32,
    deadline: Instant,
    context: Option<Context>,
    endpoint: Option<EndpointAddress>,
    sent: AtomicBool,
    stage: AtomicU8,
    reply_bytes: AtomicUsize,
}

impl Attempt {
    /// An attempt outside of any pipeline, for a kind's own tests: the first, without a context.
    pub fn new(service: impl Into<Arc<str>>, call: &'static str, deadline: Instant) -> Self {
        Self::numbered(service.into(), call, 1, deadline, None)
    }

    /// The same attempt in a context, for a kind's own tests.
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// The same attempt as the `number`th, for a kind's own tests.
    #[must_use]
    pub fn as_number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// The same attempt at this of several endpoints, for a kind's own tests.
    #[must_use]
    pub fn at(mut self, endpoint: EndpointAddress) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    pub(crate) fn numbered(
        service: Arc<str>,
        call: &'static str,
        number: u32,
        deadline: Instant,
        context: Option<Context>,
    ) -> Self {
        Self {
            service,
            call,
            number,
            deadline,
            context,
            endpoint: None,
            sent: AtomicBool::new(false),
            stage: AtomicU8::new(Stage::Attempt as u8),
            reply_bytes: AtomicUsize::new(0),
        }
    }

    /// The service's name.
    pub fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// The call's name.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// 1 for the first try, and one more for each hedge and each retry.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// When the attempt is given up. The pipeline enforces it; a kind passes it on.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The context of the call: tenant, trace, and what else goes out on the wire.
    pub fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// Where the attempt is to go, of a service with several endpoints. It may be none of this shard's, for a moment after
    /// a reload: any will do then.
    pub fn endpoint(&self) -> Option<&EndpointAddress> {
        self.endpoint.as_ref()
    }

    /// Says that from now on the request may reach the other side. A kind calls it before the first byte is handed to
    /// the transport: until then a timeout or a cancellation is known to have changed nothing.
    pub fn mark_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    /// Whether the request may have reached the other side.
    pub fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Says what the attempt is busy with, so that a timeout can name it: [`Stage::Pool`], [`Stage::Connect`],
    /// [`Stage::Attempt`] (as it starts) or [`Stage::Body`].
    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// What the attempt is busy with.
    pub fn stage(&self) -> Stage {
        let stage = self.stage.load(Ordering::Relaxed);
        [Stage::Pool, Stage::Connect, Stage::Body]
            .into_iter()
            .find(|known| *known as u8 == stage)
            .unwrap_or(Stage::Attempt)
    }

    /// Says how large the reply is, in bytes: what it weighs in a cache that is bounded by bytes.
    pub fn set_reply_bytes(&self, bytes: usize) {
        self.reply_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply_bytes.load(Ordering::Relaxed)
    }
}
