use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::units::Tick;

/// Tenants that may have a limit of their own at a time.
pub const MOST_TENANTS: usize = 1024;

/// A limit for each tenant, of a bounded number of them.
///
/// One that is at rest is as good as a new one, and makes room for others. One that is not is never forgotten: whoever was
/// forgotten would have a fresh burst, and a flood of made-up tenants could bring that about. While all are in use, who is new
/// has none, and has to share one with the others who have none.
#[derive(Debug)]
pub struct Tenants<L>(Mutex<State<L>>);

#[derive(Debug)]
struct State<L> {
    limits: HashMap<u64, Arc<L>>,
    /// When it is next worth while to look for some that are at rest.
    look: Tick,
}

impl<L> Default for Tenants<L> {
    fn default() -> Self {
        Self(Mutex::new(State { limits: HashMap::new(), look: Tick::ZERO }))
    }
}

impl<L> Tenants<L> {
    /// The limit of a tenant; `None` if he has to share one.
    ///
    /// Those at rest are looked for once in `recovery`, the time in which any of them comes to rest.
    pub fn limit(
        &self,
        tenant: u64,
        now: Tick,
        recovery: Duration,
        is_at_rest: impl Fn(&L) -> bool,
        make: impl FnOnce() -> L,
    ) -> Option<Arc<L>> {
        let mut state = self.0.lock();
        if let Some(limit) = state.limits.get(&tenant) {
            return Some(Arc::clone(limit));
        }
        if state.limits.len() >= MOST_TENANTS && now >= state.look {
            // Somebody may have one in hand, and be about to take of it.
            state.limits.retain(|_, limit| Arc::strong_count(limit) > 1 || !is_at_rest(limit));
            state.look = now.after(recovery);
        }
        if state.limits.len() >= MOST_TENANTS {
            return None;
        }
        let limit = Arc::new(make());
        state.limits.insert(tenant, Arc::clone(&limit));
        Some(limit)
    }

    /// Those that there are.
    pub fn all(&self) -> Vec<Arc<L>> {
        self.0.lock().limits.values().cloned().collect()
    }

    /// Tenants that have a limit of their own.
    pub fn len(&self) -> usize {
        self.0.lock().limits.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rate::{Rate, RateSettings};

    fn limit_of(tenants: &Tenants<Rate>, tenant: u64, now: Tick) -> Option<Arc<Rate>> {
        let make = || Rate::new(&RateSettings { burst: 1, ..RateSettings::default() });
        tenants.limit(tenant, now, make().recovery(), |rate| rate.is_at_rest(now), make)
    }

    #[test]
    fn each_has_its_own_and_keeps_it() {
        let tenants = Tenants::default();
        let take = |tenant| limit_of(&tenants, tenant, Tick::ZERO).map(|rate| rate.take(Tick::ZERO).is_ok());
        assert_eq!([take(1), take(2), take(1), take(2)], [Some(true), Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn only_those_at_rest_make_room() {
        let tenants = Tenants::default();
        for tenant in 0..MOST_TENANTS as u64 {
            let limit = limit_of(&tenants, tenant, Tick::ZERO).expect("there is room");
            assert!(limit.take(Tick::ZERO).is_ok());
        }
        assert!(limit_of(&tenants, 9999, Tick::ZERO).is_none(), "each is owed by somebody");
        let later = Tick::ZERO.after(Duration::from_millis(10));
        let held = limit_of(&tenants, 0, later);
        assert!(limit_of(&tenants, 9999, later).is_some());
        assert_eq!(tenants.len(), 2, "the new one, and the one that is in hand");
        drop(held);
    }
}
