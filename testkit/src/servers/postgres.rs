//! A real PostgreSQL server that a test kills, freezes, restarts, replicates and promotes.
//!
//! `initdb` takes a second, so it is done once: each server starts from a copy of what it made. Nothing is flushed to the
//! disk, since nothing of it outlives the test. PostgreSQL refuses to run as root, so a test that does lends it the
//! account of Debian's package.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, id},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{Process, TlsIdentity, port::Port};

/// Where Debian puts the programs, the newest first.
const HOMES: [&str; 4] =
    ["/usr/lib/postgresql/17", "/usr/lib/postgresql/16", "/usr/lib/postgresql/15", "/usr"];

/// How often is looked for what takes a moment, and how long between: real time, whatever the test's clock.
const LOOKS: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(10);

/// The account that tests log in by, with a password.
pub const USER: &str = "app";

/// Its password: a word to look for where no password may be.
pub const PASSWORD: &str = "canary-5b8f1d";

/// The account that may do everything, and needs no password.
pub const SUPERUSER: &str = "postgres";

/// The database that both use.
pub const DATABASE: &str = "postgres";

/// A PostgreSQL server of the test's own. Dropping it kills it, and removes what it wrote.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: Port,
    settings: Vec<(String, String)>,
    process: Mutex<Option<Process>>,
    ca_pem: Option<String>,
}

/// How a [`Postgres`] is to be.
#[derive(Clone, Debug, Default)]
pub struct PostgresBuilder {
    settings: Vec<(String, String)>,
    tls: Option<TlsIdentity>,
}

impl PostgresBuilder {
    /// Sets a parameter of the server's configuration.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Speaks TLS with whoever asks for it, as `identity`.
    pub fn tls(mut self, identity: TlsIdentity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// Starts it, and returns once it answers.
    ///
    /// # Panics
    /// If the server is not installed or does not start: with what is to be done, or what it said.
    pub async fn start(self) -> Postgres {
        let folder = folder();
        copy(template(), &folder);
        self.run(folder).await
    }

    async fn run(self, folder: PathBuf) -> Postgres {
        let mut settings = self.settings;
        let ca_pem = self.tls.map(|identity| {
            let pem = identity.to_pem();
            let (cert, key) = (folder.join("test.crt"), folder.join("test.key"));
            write(&cert, &pem.certificate);
            write(&key, &pem.key);
            settings.push(("ssl".into(), "on".into()));
            settings.push(("ssl_cert_file".into(), cert.display().to_string()));
            settings.push(("ssl_key_file".into(), key.display().to_string()));
            pem.authority
        });
        let port = Port::reserve().unwrap_or_else(|error| panic!("no port is free: {error}"));
        let server = Postgres { folder, port, settings, process: Mutex::new(None), ca_pem };
        server.restart().await;
        server
    }
}

impl Postgres {
    /// What is to be done where PostgreSQL is not installed; `None` where it is.
    pub fn missing() -> Option<&'static str> {
        find("postgres").is_none().then_some(MISSING)
    }

    /// One with the usual settings.
    ///
    /// # Panics
    /// As [`PostgresBuilder::start`].
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// One with others.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// Where it listens, or would.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The authority that signed its certificate, in PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Runs SQL as the superuser; the rows' values as text.
    ///
    /// # Panics
    /// If the server refuses it: with what it said.
    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        let output = self.psql(sql);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(|line| line.split('\x1f').map(str::to_owned).collect()).collect()
    }

    /// The one value that SQL gives.
    ///
    /// # Panics
    /// As [`sql`](Self::sql), and if it gives no row.
    pub fn value(&self, sql: &str) -> String {
        let rows = self.sql(sql);
        rows.first().and_then(|row| row.first()).unwrap_or_else(|| panic!("{sql} gives no row")).clone()
    }

    /// Waits until SQL gives this value.
    ///
    /// # Panics
    /// After 20 s, with the value that it gives instead.
    pub async fn wait_for(&self, sql: &str, wanted: &str) {
        let mut last = String::new();
        for _ in 0..LOOKS {
            last = self.value(sql);
            if last == wanted {
                return;
            }
            pause().await;
        }
        panic!("{sql} gives {last}, and not {wanted}");
    }

    /// The latest lines of its log.
    pub fn log(&self) -> Vec<String> {
        self.process.lock().as_ref().map(Process::lines).unwrap_or_default()
    }

    /// Kills it and all its sessions' processes at once.
    pub fn kill(&self) {
        let Some(process) = self.process.lock().take() else { return };
        let children = children(process.id());
        process.kill();
        signal(&children, Signal::KILL);
        settle(|| children.iter().all(|child| stat(*child).is_none_or(|(state, _)| state == "Z")));
    }

    /// Starts it again after it was killed, and returns once it answers.
    ///
    /// # Panics
    /// If it does not: with what it said.
    pub async fn restart(&self) {
        // What it says goes to its error output, and a process is watched by its standard output.
        let mut command = account(Path::new("/bin/sh"));
        command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program("postgres")).args(self.arguments());
        let process = Process::spawn(&mut command);
        process.wait_for_line("database system is ready to accept").await;
        *self.process.lock() = Some(process);
    }

    /// Freezes it and all its sessions (SIGSTOP): connections are still accepted, by the kernel.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        let process = self.process.lock();
        let process = process.as_ref().unwrap_or_else(|| panic!("the server does not run"));
        process.freeze();
        let children = children(process.id());
        signal(&children, Signal::STOP);
        settle(|| children.iter().all(|child| stat(*child).is_none_or(|(state, _)| "TZ".contains(&*state))));
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        let process = self.process.lock();
        let process = process.as_ref().unwrap_or_else(|| panic!("the server does not run"));
        signal(&children(process.id()), Signal::CONT);
        process.thaw();
    }

    /// A replica that streams from this server, and answers reads.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn replica(&self) -> Self {
        let folder = folder();
        let (host, port) = (self.addr().ip().to_string(), self.addr().port().to_string());
        let mut backup = account(&program("pg_basebackup"));
        backup.args(["-h", &host, "-p", &port, "-U", SUPERUSER, "-R", "-X", "stream", "-c", "fast"]);
        run(backup.arg("-D").arg(&folder));
        PostgresBuilder::default().run(folder).await
    }

    /// Makes a replica a server of its own, that takes writes.
    ///
    /// # Panics
    /// If it is none, or refuses.
    pub async fn promote(&self) {
        self.sql("select pg_promote(true, 20)");
        self.wait_for("select pg_is_in_recovery()", "f").await;
    }

    fn arguments(&self) -> Vec<String> {
        let fixed = [
            ("port", self.addr().port().to_string()),
            ("listen_addresses", self.addr().ip().to_string()),
            ("unix_socket_directories", String::new()),
            ("fsync", "off".into()),
            ("full_page_writes", "off".into()),
            ("shared_buffers", "16MB".into()),
            ("logging_collector", "off".into()),
            ("log_destination", "stderr".into()),
            ("autovacuum", "off".into()),
        ];
        let mut arguments = vec!["-D".to_owned(), self.folder.display().to_string()];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
        // The later one counts.
        for (name, value) in fixed.chain(self.settings.iter().cloned()) {
            arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        arguments
    }

    fn psql(&self, sql: &str) -> Output {
        let (host, port) = (self.addr().ip().to_string(), self.addr().port().to_string());
        let mut command = Command::new(program("psql"));
        command.args(["-h", &host, "-p", &port, "-U", SUPERUSER, "-d", DATABASE]);
        command.args(["-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        command.output().unwrap_or_else(|error| panic!("cannot start psql: {error}"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A moment, on a thread of its own: the test's clock may be a paused one.
async fn pause() {
    let _ = tokio::task::spawn_blocking(|| thread::park_timeout(PAUSE)).await;
}

/// Where this machine has one of PostgreSQL's programs.
fn program(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("{MISSING}"))
}

const MISSING: &str =
    "PostgreSQL is missing: run cargo xtask setup as root, or install Debian's package postgresql";

fn find(name: &str) -> Option<PathBuf> {
    HOMES.iter().map(|home| Path::new(home).join("bin").join(name)).find(|path| path.is_file())
}

/// The account that the server runs under, where we are root.
fn owner() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = ["postgres:", "nobody:"]
        .iter()
        .find_map(|name| accounts.lines().find(|line| line.starts_with(name)))
        .unwrap_or_else(|| panic!("PostgreSQL refuses to run as root, and there is no account to lend it"));
    let mut fields = line.split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).unwrap_or(65_534);
    Some((number(), number()))
}

/// A command that runs under that account.
fn account(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command.current_dir(std::env::temp_dir()).env("LC_ALL", "C");
    command
}

fn run(command: &mut Command) {
    let name = command.get_program().display().to_string();
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    assert!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
}

/// A new folder of the server's own.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("seawall-postgres-{}-{number}", id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder)
        .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)))
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
    give(&folder);
    folder
}

fn give(path: &Path) {
    if let Some((user, group)) = owner() {
        chown(path, Some(user), Some(group))
            .unwrap_or_else(|error| panic!("cannot give {} away: {error}", path.display()));
    }
}

fn write(path: &Path, text: &str) {
    let written =
        fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    give(path);
}

/// What `initdb` makes, and the account that tests use. Made by whoever needs it first, and left for the next run.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let version = program("initdb").parent().and_then(Path::parent).and_then(Path::file_name).map(|name| name.display().to_string());
        let name = format!("seawall-postgres-{}-{}", version.unwrap_or_default(), geteuid().as_raw());
        let lasting = std::env::temp_dir().join(name);
        if lasting.join("seawall-made").is_file() {
            return lasting;
        }
        let made = folder();
        let mut init = account(&program("initdb"));
        init.args(["-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=1"]);
        run(init.arg("-D").arg(&made));
        write(
            &made.join("pg_hba.conf"),
            &format!(
                "host replication all 127.0.0.1/32 trust\nhost all {USER} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
            ),
        );
        // The server by itself, with its one session on its standard input.
        let mut single = account(Path::new("/bin/sh"));
        single.args(["-c", "echo \"$2\" | \"$0\" --single -F -D \"$1\" postgres"]);
        single.arg(program("postgres")).arg(&made).arg(format!(
            "create role {USER} login password '{PASSWORD}'; grant create on schema public to {USER};"
        ));
        run(&mut single);
        write(&made.join("seawall-made"), "");
        // Another process may have been first: its own will do as well.
        match fs::rename(&made, &lasting) {
            Ok(()) => lasting,
            Err(_) if lasting.join("seawall-made").is_file() => {
                let _ = fs::remove_dir_all(&made);
                lasting
            }
            Err(error) => panic!("cannot keep {}: {error}", lasting.display()),
        }
    })
}

fn copy(from: &Path, to: &Path) {
    let mut copy = account(Path::new("/bin/cp"));
    run(copy.arg("-a").arg(from.join(".")).arg(to));
}

/// The processes that a server has started.
fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|process| parent_of(*process) == Some(parent)).collect()
}

fn parent_of(process: u32) -> Option<u32> {
    stat(process)?.1.parse().ok()
}

/// A process' state and its parent.
fn stat(process: u32) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

/// Waits until signals have taken effect, which is a matter of the system's next turn.
fn settle(done: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if done() {
            return;
        }
        thread::park_timeout(PAUSE / 10);
    }
}

fn signal(processes: &[u32], signal: Signal) {
    for process in processes {
        if let Some(pid) = i32::try_from(*process).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::TcpStream};

    use super::*;

    #[tokio::test]
    async fn it_answers_dies_and_comes_back() {
        let server = Postgres::start().await;
        server.sql("create table kept (id int); insert into kept values (7)");
        assert_eq!(server.value("select id from kept"), "7");
        server.kill();
        assert_eq!(
            TcpStream::connect(server.addr()).map_err(|error| error.kind()).err(),
            Some(io::ErrorKind::ConnectionRefused)
        );
        server.restart().await;
        assert_eq!(server.value("select count(*) from kept"), "1");
    }

    #[tokio::test]
    async fn a_replica_follows_and_takes_over() {
        let primary = Postgres::start().await;
        let replica = primary.replica().await;
        primary.sql("create table kept (id int); insert into kept values (7)");
        replica.wait_for("select count(*) from pg_class where relname = 'kept'", "1").await;
        replica.wait_for("select max(id) from kept", "7").await;
        primary.kill();
        replica.promote().await;
        replica.sql("insert into kept values (8)");
    }

    #[tokio::test]
    async fn nobody_answers_while_it_is_frozen() {
        let server = Postgres::start().await;
        server.freeze();
        let children = children(server.process.lock().as_ref().expect("it runs").id());
        assert!(
            !children.is_empty()
                && children.iter().all(|child| stat(*child).is_none_or(|(state, _)| state == "T"))
        );
        server.thaw();
        assert_eq!(server.value("select 1"), "1");
    }
}
