use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::{task, time};

use super::connection::carry;
use super::plan::Plan;
use super::stats::State;
use crate::port::{Listener, Port};

pub(super) const BACKLOG: u32 = 1024;

/// After a failure of the system: without a pause, the loop would take a core from those who free descriptors.
const PAUSE: Duration = Duration::from_millis(10);

/// What carrying a connection takes.
struct Route {
    target: SocketAddr,
    plan: watch::Receiver<Plan>,
    state: watch::Sender<State>,
}

/// Listens as planned for as long as the proxy lives.
pub(super) async fn run(
    port: Port,
    first: Listener,
    target: SocketAddr,
    mut plan: watch::Receiver<Plan>,
    state: watch::Sender<State>,
) {
    let route = Route { target, plan: plan.clone(), state };
    let mut listener = Some(first);
    loop {
        // Listening => Refusing
        if let Some(listener) = listener.take() {
            accept(&listener, &mut plan, &route).await;
            accept_waiting(&listener, &route);
        }
        route.state.send_modify(|state| state.stats.listening = false);

        // Refusing => Listening
        if plan.wait_for(|plan| plan.listening).await.is_err() {
            return;
        }
        match port.listen(BACKLOG) {
            Ok(again) => {
                listener = Some(again);
                route.state.send_modify(|state| state.stats.listening = true);
            }
            Err(_) => time::sleep(PAUSE).await,
        }
    }
}

/// Accepts until the plan is to refuse.
async fn accept(listener: &Listener, plan: &mut watch::Receiver<Plan>, route: &Route) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = plan.wait_for(|plan| !plan.listening) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(client) => route.start(client),
            Err(_) => time::sleep(PAUSE).await,
        }
    }
}

/// Accepts those whose handshake the system has completed: for their clients they are open connections,
/// and the listener's end would reset them.
fn accept_waiting(listener: &Listener, route: &Route) {
    while let Some(client) = listener.accept_waiting() {
        route.start(client);
    }
}

impl Route {
    fn start(&self, client: TcpStream) {
        let mut id = 0;
        self.state.send_modify(|state| {
            state.stats.accepted += 1;
            state.stats.open += 1;
            id = state.stats.accepted;
            state.open.insert(id);
        });
        task::spawn(carry(client, id, self.target, self.plan.clone(), self.state.clone()));
    }
}
