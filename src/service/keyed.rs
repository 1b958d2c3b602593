//! A service as the calls of one key see it: a breaker and limits of that key's own, within the service's.
//!
//! One merchant whose backend is down, or who calls a thousand times a second, must not cost the others their service. So
//! each key has its own policies, and what it is refused by them takes nothing from the service's: **the key's are asked
//! before the service's at each step**. Who waits for a place of its key holds none of the service's meanwhile, a probe
//! slot or a token of the service's is not spent on a call that its key refuses, and a key that is refused by the service
//! loses no more than a token of its own. Only the first look is at the service's breaker, which costs nothing to ask.
//!
//! The other way round, the service's breaker counts keyed calls too: an outage must be seen even if each key calls once a
//! minute. But of a key's failures in a row only the first counts there. What follows says more of the key than of the
//! service, and five failures of one broken key would open the breaker for all: five keys that fail are an outage, one key
//! that fails five times is not. Nor does it make a bad probe.

use std::{
    collections::hash_map::DefaultHasher,
    fmt::{self, Write as _},
    hash::Hasher,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{
    CallState, Environment, Func, Run, Sending, Service,
    gate::{Gate, Passed},
    guard::BreakerGuard,
    plan::Plan,
    rate::RateGuard,
};
use crate::{
    call::{Call, Priority, Reason},
    downstream::{Downstream, Failure},
    policy::{
        blame::Verdict,
        breaker::{self, BreakerSettings, Permit},
        keys::{Hold, Keep, KeyedSettings, Keys, KeysSnapshot},
        rate::{Rate, RateSettings},
    },
    units::Tick,
};

/// A service for the calls of one key; see [`Service::keyed`].
#[derive(Clone, Copy)]
pub struct Keyed<'a, D: Downstream, K> {
    service: &'a Service<D>,
    key: K,
}

impl<D: Downstream> Service<D> {
    /// The service for calls of one key, say of a merchant: `users.keyed(merchant).send(call)`.
    ///
    /// A key has a breaker, and where `keyed.bulkhead` and `keyed.rate` say so limits, of its own. What it is refused by
    /// them takes nothing from the service's, which apply too. Two keys are the same if they are written alike.
    ///
    /// No more than `keyed.max` keys are known at once; of others the longest unused is forgotten, but while it is in use
    /// or its breaker is open only if there is no room otherwise.
    pub fn keyed<K: fmt::Display>(&self, key: K) -> Keyed<'_, D, K> {
        Keyed { service: self, key }
    }
}

impl<'a, D: Downstream, K: fmt::Display> Keyed<'a, D, K> {
    /// Sends a call, as [`Service::send`] does.
    pub fn send<C: Call<D>>(&self, call: C) -> Sending<'a, D, C> {
        Sending::new(self.service, call).keyed(self.service.shared.state.key(&self.key))
    }

    /// Sends a call whose answer nobody waits for, as [`Service::do_send`] does.
    pub fn do_send<C: Call<D>>(&self, call: C) {
        self.service.send_unanswered(call, self.service.shared.state.key(&self.key));
    }
}

impl<'a, K: fmt::Display> Keyed<'a, Func, K> {
    /// Runs any async code, as [`Service::run`] does.
    pub fn run<F>(&self, closure: F) -> Sending<'a, Func, Run<F>>
    where
        Run<F>: Call<Func>,
    {
        self.send(Run::new(closure))
    }
}

impl<D: Downstream, K: fmt::Display> fmt::Debug for Keyed<'_, D, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("service", &self.service.name())
            .field("key", &self.key.to_string())
            .finish()
    }
}

/// How often a second the changes of keys' breakers are told: of a million keys, all may open at once.
const TELLINGS: u32 = 10;

/// The longest key that is shown whole, in characters.
const SHOWN: usize = 64;

/// The keys of a service that were called with lately. Made by the first.
pub(crate) struct Keyring {
    settings: KeyedSettings,
    /// Of the breaker of each, if they have one.
    breaker: Option<BreakerSettings>,
    /// Nobody outside can tell which keys fall together.
    secret: u64,
    telling: Arc<Rate>,
    keys: Keys<KeyPolicies>,
}

impl Keyring {
    pub(crate) fn new(
        settings: &KeyedSettings,
        breaker: Option<&BreakerSettings>,
        environment: &Environment,
    ) -> Self {
        let telling = RateSettings {
            limit: TELLINGS,
            burst: TELLINGS,
            per: Duration::from_secs(1),
            ..RateSettings::default()
        };
        Self {
            settings: settings.clone(),
            breaker: of_key(settings, breaker),
            secret: environment.random(),
            telling: Arc::new(Rate::new(&telling)),
            keys: Keys::new(settings.max, settings.idle),
        }
    }

    /// Whether it was made by the same settings.
    pub(crate) fn is_by(&self, settings: Option<&KeyedSettings>, breaker: Option<&BreakerSettings>) -> bool {
        settings
            .is_some_and(|settings| self.settings == *settings && self.breaker == of_key(settings, breaker))
    }

    /// The policies of a key.
    pub(crate) fn of(&self, key: &dyn fmt::Display, environment: &Environment) -> Arc<KeyPolicies> {
        let mut hash = Hash(DefaultHasher::new());
        hash.0.write_u64(self.secret);
        // Hashing cannot fail; a `Display` that does is hashed as far as it came, the same each time.
        let _ = write!(hash, "{key}");
        self.keys.get(hash.0.finish(), environment.now(), || self.make(key, environment))
    }

    fn make(&self, key: &dyn fmt::Display, environment: &Environment) -> KeyPolicies {
        let mut name = Shown { text: String::from("key:"), left: SHOWN };
        let _ = write!(name, "{key}");
        let name: Arc<str> = name.text.into();
        let guard = |settings: &BreakerSettings| {
            let guard = BreakerGuard::new(Arc::clone(&name), settings.clone(), environment);
            Arc::new(guard.telling_at(&self.telling))
        };
        KeyPolicies {
            breaker: self.breaker.as_ref().map(guard),
            gate: self.settings.bulkhead.as_ref().map(Gate::unheard),
            rate: self.settings.rate.clone().map(RateGuard::new),
            under_way: AtomicU32::new(0),
            name,
        }
    }

    /// Turns the limits of all keys off for good: whoever waits at them goes on.
    pub(crate) fn retire(&self, now: Tick) {
        for key in self.keys.all() {
            key.gate.iter().for_each(|gate| gate.retire(now));
            key.rate.iter().for_each(|rate| rate.retire(now));
        }
    }

    pub(crate) fn snapshot(&self) -> KeysSnapshot {
        self.keys.snapshot()
    }

    /// The keys that would be refused now, and by what breaker: `most` of them at most.
    pub(crate) fn refusing(&self, now: Tick, most: usize) -> Vec<(Arc<BreakerGuard>, breaker::Rejected)> {
        let refusing = |key: Arc<KeyPolicies>| {
            let guard = key.breaker.clone()?;
            let refusal = guard.breaker.explain(now)?;
            Some((guard, refusal))
        };
        self.keys.all().into_iter().filter_map(refusing).take(most).collect()
    }
}

/// The settings of a key's breaker. The service's health checks are not the key's.
fn of_key(settings: &KeyedSettings, breaker: Option<&BreakerSettings>) -> Option<BreakerSettings> {
    let breaker = breaker.filter(|_| settings.breaker)?;
    Some(BreakerSettings { health_gate: false, ..breaker.clone() })
}

/// Hashes text while it is formatted.
struct Hash(DefaultHasher);

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// The start of a key, for people: keys come from outside, and may be long or hold what breaks lines.
struct Shown {
    text: String,
    left: usize,
}

impl fmt::Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars().take(self.left) {
            self.text.push(if character.is_control() { '?' } else { character });
            self.left -= 1;
        }
        Ok(())
    }
}

/// What one key has for itself.
pub(crate) struct KeyPolicies {
    name: Arc<str>,
    breaker: Option<Arc<BreakerGuard>>,
    gate: Option<Gate>,
    rate: Option<RateGuard>,
    /// Attempts that hold something of it, or wait for it.
    under_way: AtomicU32,
}

impl Keep for KeyPolicies {
    fn hold(&self, now: Tick) -> Hold {
        if self.under_way.load(Ordering::Acquire) > 0 {
            return Hold::Busy;
        }
        let open = self.breaker.as_ref().and_then(|guard| guard.breaker.refuses_until());
        let spent = self.rate.as_ref().map(|rate| rate.rests_at(now));
        match open.max(spent) {
            Some(moment) if moment > now => Hold::Until(moment),
            _ => Hold::Free,
        }
    }
}

impl KeyPolicies {
    /// Whether its breaker would refuse a call now.
    pub(crate) fn look(&self, call: &CallState, priority: Priority, now: Tick) -> Result<(), Reason> {
        self.breaker.as_ref().map_or(Ok(()), |breaker| breaker.look(call, priority, now))
    }
}

impl fmt::Debug for KeyPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPolicies").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What an attempt holds of its key's policies. It is given back with the attempt's outcome.
pub(crate) struct KeyHold {
    key: Arc<KeyPolicies>,
    permit: Option<Permit>,
    passed: Passed,
}

impl KeyHold {
    /// Looks at the key's breaker, and waits for a place of the key's, and if it `spends` one for a token.
    pub(crate) async fn enter(
        key: &Arc<KeyPolicies>,
        call: &CallState,
        plan: &Plan,
        rank: &mut Option<u64>,
        spends: bool,
        now: Tick,
    ) -> Result<Self, Reason> {
        key.look(call, plan.priority, now)?;
        key.under_way.fetch_add(1, Ordering::AcqRel);
        let mut hold = Self { key: Arc::clone(key), permit: None, passed: Passed::Not };
        if let Some(gate) = &key.gate {
            hold.passed = gate.pass(call, plan, rank).await?;
        }
        if spends && let Err(reason) = hold.spend(call, plan).await {
            hold.settle(call, &Err(None), Verdict::Neutral, None, call.environment.now());
            return Err(reason);
        }
        Ok(hold)
    }

    /// Spends a token of the key's.
    async fn spend(&self, call: &CallState, plan: &Plan) -> Result<(), Reason> {
        let Some(rate) = &self.key.rate else { return Ok(()) };
        let Some(mut claim) = rate.ask(call, plan, call.environment.now())? else { return Ok(()) };
        if claim.waits() {
            claim.turn(call, plan).await?;
        }
        claim.spend();
        Ok(())
    }

    /// Asks the key's breaker.
    pub(crate) fn admit(&mut self, call: &CallState, priority: Priority, now: Tick) -> Result<(), Reason> {
        if let Some(breaker) = &self.key.breaker {
            self.permit = breaker.admit(call, priority, now)?;
        }
        Ok(())
    }

    /// Gives back what is held, with the attempt's outcome; what that says of the service.
    pub(crate) fn settle(
        mut self,
        call: &CallState,
        outcome: &Result<(), Option<Failure>>,
        verdict: Verdict,
        started: Option<Tick>,
        now: Tick,
    ) -> Verdict {
        let breaker = self.key.breaker.as_ref();
        let again = breaker.is_some_and(|guard| guard.breaker.failures_in_a_row() > 0);
        let mut opened = false;
        if let (Some(permit), Some(breaker)) = (self.permit.take(), &self.key.breaker) {
            let elapsed = started.map_or(Duration::ZERO, |started| now.since(started));
            let failure = outcome.as_ref().err().and_then(Option::as_ref);
            opened = breaker.record(call, permit, verdict, elapsed, now, failure);
        }
        if let Some(gate) = &self.key.gate {
            gate.settle(call, std::mem::take(&mut self.passed), outcome, started, now);
            if opened {
                gate.flush();
            }
        }
        if again && verdict == Verdict::Failure { Verdict::Neutral } else { verdict }
    }
}

impl Drop for KeyHold {
    fn drop(&mut self) {
        self.key.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
