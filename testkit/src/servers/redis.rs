use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use parking_lot::Mutex;

use super::{
    scratch::{Scratch, free_port},
    until::until,
};
use crate::Process;

/// A real Redis: on a free port of the loopback interface, with nothing written to disk.
///
/// ```no_run
/// # async fn example() {
/// use seawall_testkit::RedisServer;
///
/// let redis = RedisServer::start().await;
/// redis.cli(&["SET", "user:1", "ann"]);
/// redis.freeze(); // accepts, and answers nobody
/// redis.thaw();
/// redis.kill();
/// redis.restart().await; // empty, on the same port
/// # }
/// ```
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    args: Vec<String>,
    ready: &'static str,
    password: Option<String>,
    tls: bool,
    // Before its folder, so that it is gone when that goes.
    process: Mutex<Process>,
    scratch: Scratch,
}

/// What a Redis is started with.
#[derive(Debug, Default)]
pub struct RedisBuilder {
    args: Vec<String>,
    password: Option<String>,
    tls: Option<[String; 3]>,
}

impl RedisBuilder {
    /// One directive of `redis.conf` and its values: `("maxmemory", &["8mb"])`.
    #[must_use]
    pub fn set(mut self, directive: &str, values: &[&str]) -> Self {
        self.args.push(format!("--{directive}"));
        self.args.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }

    /// Asks everybody for this password, as the user `default`.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", &[password])
    }

    /// Speaks TLS alone, with this certificate, its key and the authority that signed it, as PEM text.
    #[must_use]
    pub fn tls(mut self, certificate: &str, key: &str, authority: &str) -> Self {
        self.tls = Some([certificate, key, authority].map(str::to_owned));
        self
    }

    /// Follows this primary.
    #[must_use]
    pub fn replica_of(self, primary: &RedisServer) -> Self {
        self.set("replicaof", &["127.0.0.1", &primary.port.to_string()])
    }

    /// Starts it, and waits until it answers; a replica, until it has its primary's data.
    ///
    /// # Panics
    /// If there is no `redis-server`, or it does not start.
    pub async fn start(self) -> RedisServer {
        let Self { mut args, password, tls } = self;
        let (scratch, port) = (Scratch::new("redis"), free_port());
        if let Some(pem) = &tls {
            for (directive, pem) in ["tls-cert-file", "tls-key-file", "tls-ca-cert-file"].iter().zip(pem) {
                let path = scratch.write(directive, pem);
                args.extend([format!("--{directive}"), path.display().to_string()]);
            }
            args.extend(["--tls-auth-clients".to_owned(), "no".to_owned()]);
        }
        let ready = match args.iter().any(|arg| arg == "--replicaof") {
            true => "MASTER <-> REPLICA sync: Finished with success",
            false => "Ready to accept connections",
        };
        let process = Mutex::new(spawn(port, tls.is_some(), &scratch, &args));
        let server = RedisServer { port, args, ready, password, tls: tls.is_some(), process, scratch };
        server.ready().await;
        server
    }
}

fn spawn(port: u16, tls: bool, scratch: &Scratch, args: &[String]) -> Process {
    let mut command = Command::new(program());
    let (port, plain) = (port.to_string(), if tls { "--tls-port" } else { "--port" });
    command.current_dir(scratch.path()).args([plain, &port]).args(["--bind", "127.0.0.1", "--save", ""]);
    if tls {
        command.args(["--port", "0"]);
    }
    Process::spawn(command.args(["--repl-diskless-sync-delay", "0"]).args(args))
}

/// # Panics
/// Where it is missing.
pub(super) fn program() -> &'static str {
    if let Some(missing) = RedisServer::missing() {
        panic!("{missing}");
    }
    PROGRAM
}

const PROGRAM: &str = "redis-server";

impl RedisServer {
    /// What is to be done where there is no `redis-server`; `None` where there is.
    pub fn missing() -> Option<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let there = std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file());
        (!there).then_some(
            "redis-server is missing: run cargo xtask setup as root, or install Debian's package redis-server",
        )
    }

    /// An ordinary one.
    ///
    /// # Panics
    /// If there is no `redis-server`, or it does not start.
    pub async fn start() -> Self {
        RedisBuilder::default().start().await
    }

    /// One with settings of its own.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it listens, as settings have it.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "rediss" } else { "redis" }, self.addr())
    }

    /// Kills it (SIGKILL). Its port refuses.
    pub fn kill(&self) {
        self.process.lock().kill();
    }

    /// Starts it again on the same port, empty, and waits until it answers.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&self) {
        let new = {
            let mut process = self.process.lock();
            process.kill();
            *process = spawn(self.port, self.tls, &self.scratch, &self.args);
            process.wait_for_line(self.ready)
        };
        new.await;
    }

    /// Freezes it (SIGSTOP): the system goes on accepting for it, and nobody answers.
    pub fn freeze(&self) {
        self.process.lock().freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.lock().thaw();
    }

    /// Gives it one command as `redis-cli` does, and returns the answer's lines.
    ///
    /// # Panics
    /// If it cannot be asked. An error that it answers is text like any other.
    #[track_caller]
    pub fn cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if self.tls {
            cli.arg("--tls").arg("--cacert").arg(self.scratch.path().join("tls-ca-cert-file"));
        }
        if let Some(password) = &self.password {
            cli.env("REDISCLI_AUTH", password);
        }
        let output = cli.args(command).output().unwrap_or_else(|error| panic!("no redis-cli: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Waits until the answer to a command contains `part`: for what a server comes to by itself.
    ///
    /// # Panics
    /// The future, after 20 s.
    #[track_caller]
    pub fn wait_for(&self, command: &[&str], part: &str) -> impl Future<Output = ()> {
        let what = format!("{part:?} in the answer to {command:?} of {}", self.addr());
        let port = self.port.to_string();
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let part = part.to_owned();
        until(what, move || {
            let asked =
                Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port]).args(&command).output();
            asked.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).contains(&part))
        })
    }

    /// How many clients are connected, without the one that asks.
    ///
    /// # Panics
    /// If it cannot be asked.
    #[track_caller]
    pub fn clients(&self) -> usize {
        self.cli(&["CLIENT", "LIST"]).lines().filter(|line| !line.contains("cmd=client")).count()
    }

    async fn ready(&self) {
        let ready = self.process.lock().wait_for_line(self.ready);
        ready.await;
    }
}
