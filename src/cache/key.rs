use std::cell::RefCell;

use crate::call::{Cacheable, Context, KeyWriter};

/// With whom a call's kept replies may be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partition {
    /// With every caller of the service.
    Service,
    /// Within the context's tenant.
    Tenant,
    /// Within the context's principal.
    Principal,
}

impl Partition {
    /// Whether the context says whose part it is.
    pub(crate) fn is_told(self, context: Option<&Context>) -> bool {
        match self {
            Self::Service => true,
            Self::Tenant => context.is_some_and(|context| context.get_tenant().is_some()),
            Self::Principal => context.is_some_and(|context| context.get_principal().is_some()),
        }
    }

    /// The word for it in settings.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Tenant => "tenant",
            Self::Principal => "principal",
        }
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes a call's whole key into this thread's buffer, and lends it: service, call and partition before what the call
/// itself writes, so that none can pose as another. `None` where the call is not to be cached, or names a partition that
/// the context does not tell: never the shared key in its place.
pub(crate) fn with_key<T>(
    service: u64,
    call: &'static str,
    partition: Partition,
    context: Option<&Context>,
    write: impl FnOnce(&mut KeyWriter<'_>) -> Cacheable,
    lend: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    // The buffer is taken for the time of the call: user code that calls again from here gets a fresh one.
    let mut bytes = BUFFER.take();
    bytes.clear();
    bytes.extend_from_slice(&service.to_le_bytes());
    // A reload may change the partition: a key of one must not read as one of another.
    bytes.push(partition as u8);
    let mut writer = KeyWriter::new(&mut bytes);
    writer.value(call);
    let known = match partition {
        Partition::Service => true,
        Partition::Tenant => write_part(&mut writer, context.and_then(Context::get_tenant)),
        Partition::Principal => write_part(&mut writer, context.and_then(Context::get_principal)),
    };
    let lent = (known && write(&mut writer) == Cacheable::Yes && writer.is_whole()).then(|| lend(&bytes));
    BUFFER.set(bytes);
    lent
}

fn write_part(writer: &mut KeyWriter<'_>, part: Option<&std::sync::Arc<str>>) -> bool {
    match part {
        Some(part) => writer.value(&**part),
        None => return false,
    }
    true
}
