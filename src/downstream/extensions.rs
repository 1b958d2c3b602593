use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

/// What code gives to one service's kind, by type: a hook that signs requests, say.
#[derive(Clone, Default)]
pub struct Extensions {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Extensions {
    /// Adds one; another of the same type is replaced.
    pub fn insert<T: Send + Sync + 'static>(&mut self, extension: T) {
        self.by_type.insert(TypeId::of::<T>(), Arc::new(extension));
    }

    /// The one of type `T`.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.by_type.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("count", &self.by_type.len()).finish()
    }
}
