use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use tokio::sync::watch;

use super::listen::{self, BACKLOG};
use super::plan::{Direction, Plan};
use super::stats::State;
use super::{Flow, ProxyStats};
use crate::port::Port;
use crate::worker::Worker;

/// A running proxy, on a port of its own. Dropping it closes the port and every connection.
///
/// A fault is ordered when the method is called. Those that return a future have been carried out when it ends, which
/// a test awaits before it goes on.
///
/// ```no_run
/// # async fn example(redis: std::net::SocketAddr) {
/// use std::time::Duration;
/// use seawall_testkit::{Direction, FaultProxy};
///
/// let proxy = FaultProxy::start(redis);
/// // ... point the client at proxy.addr(), then:
/// proxy.flow(Direction::ToClient, |flow| flow.delay = Duration::from_millis(100));
/// proxy.refuse().await;
/// proxy.heal().await;
/// # }
/// ```
pub struct FaultProxy {
    addr: SocketAddr,
    plan: watch::Sender<Plan>,
    state: watch::Sender<State>,
    worker: Worker,
}

impl FaultProxy {
    /// A proxy before that address, without faults, seeded with 0.
    ///
    /// # Panics
    /// If there is no port or thread to be had.
    #[track_caller]
    pub fn start(target: SocketAddr) -> Self {
        Self::seeded(target, 0)
    }

    /// The same, with a seed for what is random.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn seeded(target: SocketAddr, seed: u64) -> Self {
        let worker = Worker::start("fault-proxy");
        let port = Port::reserve().unwrap_or_else(|error| panic!("no free port for a fault proxy: {error}"));
        let addr = port.addr();
        let listener = worker
            .enter(|| port.listen(BACKLOG))
            .unwrap_or_else(|error| panic!("the fault proxy cannot listen on {addr}: {error}"));
        let plan = watch::Sender::new(Plan {
            seed,
            listening: true,
            reset_up_to: 0,
            resets_new: false,
            to_server: Flow::default(),
            to_client: Flow::default(),
        });
        let mut state = State::default();
        state.stats.listening = true;
        let state = watch::Sender::new(state);
        worker.spawn(listen::run(port, listener, target, plan.subscribe(), state.clone()));
        Self { addr, plan, state, worker }
    }

    /// Where it listens, also while it refuses.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has seen so far.
    pub fn stats(&self) -> ProxyStats {
        self.state.borrow().stats.clone()
    }

    /// Changes the faults of one direction, from the next byte on, on open connections too.
    ///
    /// # Panics
    /// If the change asks for slices of no bytes.
    #[track_caller]
    pub fn flow(&self, direction: Direction, change: impl FnOnce(&mut Flow)) {
        let mut flow = self.plan.borrow().flow(direction).clone();
        change(&mut flow);
        if let Some(sizes) = &flow.slice {
            assert!(*sizes.start() > 0 && sizes.start() <= sizes.end(), "no slice has a size in {sizes:?}");
        }
        self.plan.send_modify(|plan| *plan.flow_mut(direction) = flow);
    }

    /// Accepts connections and delivers nothing, either way, until healed; what is sent meanwhile comes then. A client
    /// that goes away is not noticed either, as behind a line that is down.
    pub fn hang(&self) {
        self.plan.send_modify(|plan| {
            plan.to_server.stalled = true;
            plan.to_client.stalled = true;
        });
    }

    /// Closes the listener: new connections are refused, open ones go on.
    #[track_caller]
    pub fn refuse(&self) -> impl Future<Output = ()> + Send + use<> {
        self.plan.send_modify(|plan| plan.listening = false);
        self.wait_for_state("the end of listening", |state| !state.stats.listening)
    }

    /// Resets the connections that it has accepted so far ([`ProxyStats::accepted`]), on both sides.
    #[track_caller]
    pub fn reset_open(&self) -> impl Future<Output = ()> + Send + use<> {
        let up_to = self.state.borrow().stats.accepted;
        self.plan.send_modify(|plan| plan.reset_up_to = up_to);
        self.wait_for_state("the end of the connections reset", move |state| {
            state.open.first().is_none_or(|oldest| *oldest > up_to)
        })
    }

    /// Resets the connections that are open, and every new one once it is accepted, until healed. A client sees that
    /// in its first read or write, or already as the failure of its connecting.
    #[track_caller]
    pub fn reset_all(&self) -> impl Future<Output = ()> + Send + use<> {
        self.plan.send_modify(|plan| plan.resets_new = true);
        self.reset_open()
    }

    /// Ends every fault: listens again on the same port and delivers what was held.
    #[track_caller]
    pub fn heal(&self) -> impl Future<Output = ()> + Send + use<> {
        self.plan.send_modify(|plan| {
            plan.listening = true;
            plan.resets_new = false;
            plan.to_server = Flow::default();
            plan.to_client = Flow::default();
        });
        self.wait_for_state("listening", |state| state.stats.listening)
    }

    /// Waits until the counts meet a condition, in any runtime and whatever its clock; `what` names it if it does not
    /// come.
    ///
    /// # Panics
    /// The future, after 20 s, with what was seen instead.
    #[track_caller]
    pub fn wait_for<C>(&self, what: &str, condition: C) -> impl Future<Output = ()> + Send + use<C>
    where
        C: Fn(&ProxyStats) -> bool + Send + 'static,
    {
        self.wait_for_state(what, move |state| condition(&state.stats))
    }

    #[track_caller]
    fn wait_for_state<C>(&self, what: &str, condition: C) -> impl Future<Output = ()> + Send + use<C>
    where
        C: Fn(&State) -> bool + Send + 'static,
    {
        let what = format!("{what} at the fault proxy {}", self.addr);
        self.worker.wait_for(&self.state, what, condition, |state| format!("{:?}", state.stats))
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy")
            .field("addr", &self.addr)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
