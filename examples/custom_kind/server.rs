use std::{net::TcpListener, process::Command};

use parking_lot::Mutex;
use seawall_testkit::{Process, Subject};
use tokio::net::TcpStream;

use crate::memcached::{Get, Memcached};

/// A real memcached on a free port, killed when it is dropped.
pub(crate) struct Server {
    port: u16,
    process: Mutex<Option<Process>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.unwrap_or_else(|error| panic!("there is no free port: {error}")).port();
        let server = Self { port, process: Mutex::new(Some(spawn(port))) };
        server.listens().await;
        server
    }

    async fn listens(&self) {
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

fn spawn(port: u16) -> Process {
    let installed = Command::new("memcached").arg("--version").output().is_ok();
    assert!(
        installed,
        "memcached is missing: run cargo xtask setup as root, or install Debian's package memcached"
    );
    // As root it wants to be told whom to run as.
    Process::spawn(Command::new("memcached").args([
        "-l",
        "127.0.0.1",
        "-u",
        "nobody",
        "-p",
        &port.to_string(),
    ]))
}

impl Subject<Memcached> for Server {
    type Call = Get;

    fn settings(&self) -> String {
        format!("kind = \"memcached\"\naddr = \"127.0.0.1:{}\"", self.port)
    }

    fn call(&self) -> Get {
        Get("greeting".to_owned())
    }

    async fn stop(&self) {
        if let Some(process) = self.process.lock().take() {
            process.kill();
        }
    }

    async fn freeze(&self) {
        self.process.lock().iter().for_each(Process::freeze);
    }

    async fn heal(&self) {
        match &mut *self.process.lock() {
            Some(frozen) => frozen.thaw(),
            gone => *gone = Some(spawn(self.port)),
        }
        self.listens().await;
    }
}
