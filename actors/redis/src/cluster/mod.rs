//! A cluster: which of its nodes has a key, and how that is found out again when it changes.
//!
//! The library's client of a cluster is not used. It makes a command again when a connection breaks under it, whatever the
//! command: a write is then carried out twice. It has others wait while it looks for nodes, and a node that hangs is never
//! given up. What is needed beside [`Lanes`](crate::links::Lanes), which know all that of connections, is little: the node
//! of a slot, and to follow where a node sends us.

mod map;
mod slot;

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use redis::Value;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{
    cluster::map::Map,
    links::{Dedicated, Dialer, Lanes, Place, Places},
    target::Target,
};

pub(crate) use slot::of as slot_of;

/// A node, and this thread's connections to it.
pub(crate) struct Node {
    pub(crate) lanes: Rc<Lanes>,
    pub(crate) dedicated: Dedicated,
}

/// One thread's view of a cluster.
///
/// It begins with nothing: an unknown slot is asked of any node, which says who has it. So no call waits for the map; what
/// was learned by being sent on, and what failed, has it read anew in the background.
pub(crate) struct Cluster {
    map: RefCell<Map>,
    nodes: RefCell<HashMap<Target, Rc<Node>>>,
    doubt: Rc<Notify>,
    means: Means,
    reader: AbortHandle,
}

/// What connections to a node are made with.
pub(crate) struct Means {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) places: Arc<Places>,
    pub(crate) pool: seawall::downstream::PoolSettings,
    pub(crate) connections: usize,
    pub(crate) check: Duration,
}

/// The map is read anew that often at most, however much is in doubt.
const PAUSE: Duration = Duration::from_millis(100);
/// And that often at least: a node that is new has no slot that we could be sent to yet.
const LONGEST: Duration = Duration::from_secs(60);

impl Cluster {
    /// Begins with these nodes. To be called on the shard's thread.
    pub(crate) fn start(seeds: &[Target], means: Means) -> Rc<Self> {
        let doubt = Rc::new(Notify::new());
        doubt.notify_one();
        Rc::new_cyclic(|cluster: &std::rc::Weak<Self>| {
            let (cluster, wakes) = (cluster.clone(), Rc::clone(&doubt));
            let reader = actix_rt::spawn(async move {
                loop {
                    let _ = timeout(LONGEST, wakes.notified()).await;
                    match cluster.upgrade() {
                        Some(cluster) => cluster.read().await,
                        None => return,
                    }
                    sleep(PAUSE).await;
                }
            });
            Self {
                map: RefCell::new(Map::new(seeds)),
                nodes: RefCell::default(),
                doubt,
                means,
                reader: reader.abort_handle(),
            }
        })
    }

    /// The node that has a slot, as far as is known; any, for commands without a key.
    pub(crate) fn target(&self, slot: Option<u16>) -> Target {
        self.map.borrow_mut().target(slot)
    }

    /// This thread's connections to a node.
    pub(crate) fn node(&self, target: &Target) -> Rc<Node> {
        let mut nodes = self.nodes.borrow_mut();
        if let Some(node) = nodes.get(target) {
            return Rc::clone(node);
        }
        let Means { dialer, places, pool, connections, check } = &self.means;
        let place = Place::Node(target.clone());
        let node = Rc::new(Node {
            lanes: Lanes::start(dialer, place.clone(), *connections, *check, pool.lifetime),
            dedicated: Dedicated::new(dialer, place, places, pool, *check),
        });
        nodes.insert(target.clone(), Rc::clone(&node));
        node
    }

    /// A node says that another has the slot now.
    pub(crate) fn moved(&self, slot: u16, to: &Target) {
        self.map.borrow_mut().learn(slot, to);
        self.doubt();
    }

    /// What is known may be old.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Reads the map from the first node that has one, and forgets nodes that are not in it.
    async fn read(&self) {
        let half = self.means.check / 2;
        let nodes = self.map.borrow().nodes();
        for target in nodes {
            let node = self.node(&target);
            let asking = async {
                let link = node.lanes.any().await.ok()?;
                link.ask(redis::cmd("CLUSTER").arg("SLOTS")).await.and_then(Value::extract_error).ok()
            };
            let Ok(Some(slots)) = timeout(half, asking).await else { continue };
            if !self.map.borrow_mut().replace(&slots, &target) {
                continue;
            }
            let known = self.map.borrow().nodes();
            let gone: Vec<_> =
                self.nodes.borrow_mut().extract_if(|target, _| !known.contains(target)).collect();
            gone.iter().for_each(|(_, node)| node.close());
            return;
        }
    }

    /// Closes all connections.
    pub(crate) fn close(&self) {
        self.reader.abort();
        self.nodes.take().values().for_each(|node| node.close());
    }
}

impl Node {
    /// Closes its connections.
    pub(crate) fn close(&self) {
        self.lanes.close();
        self.dedicated.close();
    }
}
