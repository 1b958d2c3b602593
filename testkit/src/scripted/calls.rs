use seawall::{
    Call, Failure,
    call::{Attempt, Cacheable, CallTraits, Codec, KeyWriter, Sharing, TagWriter},
};

use super::Scripted;

/// What a scripted downstream replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The call's argument.
    pub id: u64,
    /// How many attempts had come to the downstream by then: a kept reply has an old one.
    pub serial: u64,
    /// Which try of its call it answers.
    pub number: u32,
}

/// A call that may be made twice, and is not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask(pub u64);

impl Echo {
    /// How it is written for other processes.
    pub const CODEC: Codec<Self> = Codec::new(
        "echo",
        1,
        |echo, bytes| {
            let words = [echo.id, echo.serial, echo.number.into()];
            words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
            Ok(())
        },
        |bytes| {
            let words: &[[u8; 8]; 3] = bytes.as_chunks().0.try_into()?;
            let [id, serial, number] = words.map(u64::from_le_bytes);
            Ok(Self { id, serial, number: number.try_into()? })
        },
    );
}

/// A call that may be made twice, and whose reply is kept under its argument, with the tag `item:{argument}`; in a shared
/// tier too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup(pub u64);

/// A write: made twice it does more than once. It invalidates `item:{argument}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change(pub u64);

impl Call<Scripted> for Ask {
    type Reply = Echo;
    const NAME: &'static str = "Ask";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    async fn attempt(&self, downstream: &Scripted, attempt: &Attempt) -> Result<Echo, Failure> {
        downstream.attempt(Self::NAME, self.0, attempt).await
    }
}

impl Call<Scripted> for Lookup {
    type Reply = Echo;
    const NAME: &'static str = "Lookup";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<Echo>> {
        Some(Sharing::new())
    }

    fn codec() -> Option<Codec<Echo>> {
        Some(Echo::CODEC)
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&self.0);
        Cacheable::Yes
    }

    fn tags(&self, tags: &mut TagWriter) {
        tags.tag(format_args!("item:{}", self.0));
    }

    async fn attempt(&self, downstream: &Scripted, attempt: &Attempt) -> Result<Echo, Failure> {
        downstream.attempt(Self::NAME, self.0, attempt).await
    }
}

impl Call<Scripted> for Change {
    type Reply = Echo;
    const NAME: &'static str = "Change";

    fn invalidates(&self, tags: &mut TagWriter) {
        tags.tag(format_args!("item:{}", self.0));
    }

    async fn attempt(&self, downstream: &Scripted, attempt: &Attempt) -> Result<Echo, Failure> {
        downstream.attempt(Self::NAME, self.0, attempt).await
    }
}
