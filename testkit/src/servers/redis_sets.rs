use std::process::Command;

use super::{
    redis::{RedisServer, program},
    scratch::{Scratch, free_port},
    until::until,
};
use crate::Process;

/// A primary, its replica, and three sentinels that watch them and promote the replica when the primary is gone.
#[derive(Debug)]
pub struct RedisSentinels {
    primary: RedisServer,
    replica: RedisServer,
    sentinels: Vec<(u16, Process)>,
    _scratch: Vec<Scratch>,
}

impl RedisSentinels {
    /// By this name the sentinels know the primary.
    pub const MASTER: &str = "main";

    /// How long the primary is silent before a sentinel takes it for gone.
    const DOWN_AFTER_MS: u32 = 500;

    /// Starts all five, and waits until the sentinels know each other and the replica.
    ///
    /// # Panics
    /// If there is no `redis-server`, or one does not start.
    pub async fn start() -> Self {
        let primary = RedisServer::start().await;
        let replica = RedisServer::builder().replica_of(&primary).start().await;
        let (mut sentinels, mut scratch) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (folder, port) = (Scratch::new("sentinel"), free_port());
            let (name, primary) = (Self::MASTER, primary.addr().port());
            let settings = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {name} {}\nsentinel failover-timeout {name} 3000\n",
                Self::DOWN_AFTER_MS
            );
            let settings = folder.write("sentinel.conf", &settings);
            let mut command = Command::new(program());
            let process = Process::spawn(command.arg(settings).arg("--sentinel").current_dir(folder.path()));
            process.wait_for_line("+monitor master").await;
            sentinels.push((port, process));
            scratch.push(folder);
        }
        for (_, sentinel) in &sentinels {
            sentinel.wait_for_line("+slave slave").await;
        }
        let ports: Vec<_> = sentinels.iter().map(|(port, _)| port.to_string()).collect();
        until("three sentinels that know each other".to_owned(), move || {
            ports.iter().all(|port| {
                let asked = Command::new("redis-cli")
                    .args(["-p", port, "SENTINEL", "ckquorum", Self::MASTER])
                    .output();
                asked.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("OK 3 usable"))
            })
        })
        .await;
        Self { primary, replica, sentinels, _scratch: scratch }
    }

    /// The primary that it began with.
    pub fn primary(&self) -> &RedisServer {
        &self.primary
    }

    /// The replica that it began with.
    pub fn replica(&self) -> &RedisServer {
        &self.replica
    }

    /// Where the sentinels are, as settings have it.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(|(port, _)| format!("redis://127.0.0.1:{port}")).collect()
    }

    /// Kills one of the sentinels.
    pub fn kill_sentinel(&self, index: usize) {
        self.sentinels[index].1.kill();
    }

    /// Has the sentinels promote the replica now, with the primary alive: it becomes the new one's replica.
    ///
    /// # Panics
    /// If they refuse.
    pub fn fail_over(&self) {
        let port = self.sentinels[0].0.to_string();
        let asked =
            Command::new("redis-cli").args(["-p", &port, "SENTINEL", "FAILOVER", Self::MASTER]).output();
        let said = asked.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
        assert!(said.as_ref().is_ok_and(|said| said == "OK"), "no failover: {said:?}");
    }

    /// Waits until the replica that it began with is the primary.
    pub async fn wait_for_promotion(&self) {
        self.replica.wait_for(&["ROLE"], "master").await;
    }
}

/// Three nodes that share the slots between them.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts them, and waits until each knows all slots.
    ///
    /// # Panics
    /// If there is no `redis-server`, or one does not start.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let node = RedisServer::builder()
                .set("cluster-enabled", &["yes"])
                .set("cluster-port", &[&bus])
                .set("cluster-node-timeout", &["1000"])
                .start();
            nodes.push((node.await, bus));
        }
        for (index, (node, _)) in nodes.iter().enumerate() {
            let (first, last) = Self::slots(index);
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
        for (node, bus) in &nodes[1..] {
            nodes[0].0.cli(&["CLUSTER", "MEET", "127.0.0.1", &node.addr().port().to_string(), bus]);
        }
        for (node, _) in &nodes {
            node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").await;
            node.wait_for(&["CLUSTER", "INFO"], "cluster_known_nodes:3").await;
        }
        Self { nodes: nodes.into_iter().map(|(node, _)| node).collect() }
    }

    /// The first and the last of the slots that a node begins with.
    fn slots(index: usize) -> (u16, u16) {
        [(0, 5460), (5461, 10922), (10923, 16383)][index]
    }

    /// The nodes, in the order of their slots.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// Where the nodes are, as settings have it.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Says that a slot is on its way from one node to another: keys that are not at the first any more are asked of the second.
    ///
    /// # Panics
    /// If they refuse.
    pub fn begin_migration(&self, slot: u16, from: usize, to: usize) {
        let (slot, from, to) = (slot.to_string(), &self.nodes[from], &self.nodes[to]);
        let ids = [from, to].map(|node| node.cli(&["CLUSTER", "MYID"]));
        assert_eq!(to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]), "OK");
        assert_eq!(from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]), "OK");
    }

    /// Moves what keys there are, and tells all nodes who has the slot now.
    ///
    /// # Panics
    /// If they refuse.
    pub fn end_migration(&self, slot: u16, from: usize, to: usize) {
        let (text, to_port) = (slot.to_string(), self.nodes[to].addr().port().to_string());
        for key in self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", &text, "1000"]).lines() {
            let moved = self.nodes[from].cli(&["MIGRATE", "127.0.0.1", &to_port, key, "0", "5000"]);
            assert!(moved == "OK" || moved == "NOKEY", "{moved}");
        }
        let id = self.nodes[to].cli(&["CLUSTER", "MYID"]);
        // The new owner first: it raises its epoch, and the others believe it.
        for index in [to].into_iter().chain((0..self.nodes.len()).filter(|&index| index != to)) {
            assert_eq!(self.nodes[index].cli(&["CLUSTER", "SETSLOT", &text, "NODE", &id]), "OK");
        }
    }
}
