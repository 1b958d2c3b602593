//! A real server as a child process that the test kills, freezes and wakes, and that never outlives the test.
//!
//! A server that dies is SIGKILL, one that hangs is SIGSTOP: the kernel goes on accepting for it and acknowledging
//! bytes, which no mock of a server does. Signals go by the id of a child that has not been reaped, so that they can
//! reach nobody who has inherited the number.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time;

use crate::worker::Worker;

/// Lines kept of each stream, and bytes of a line: for conditions and for the text of a failure.
const KEPT_LINES: usize = 200;
const KEPT_LINE_BYTES: u64 = 8 * 1024;
/// Lines shown of each stream in that text.
const SHOWN_LINES: usize = 20;
/// Between looks at whether the child has exited: a signal handler for children would be the whole process's.
const EXIT_POLL: Duration = Duration::from_millis(5);
/// After the exit, for what is still in the pipes.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A child process. Dropping it kills and reaps it, frozen or not.
///
/// ```no_run
/// # async fn example() {
/// use std::process::Command;
/// use seawall_testkit::Process;
///
/// let server = Process::spawn(Command::new("my-server").arg("--port=0"));
/// let line = server.wait_for_line("listening on ").await;
/// server.freeze(); // the kernel still accepts for it; nobody answers
/// server.thaw();
/// # }
/// ```
pub struct Process {
    name: String,
    child: Arc<Mutex<Child>>,
    output: watch::Sender<Output>,
    worker: Worker,
}

/// The latest lines of both streams, and how it all ended.
#[derive(Debug, Default)]
struct Output {
    stdout: VecDeque<String>,
    stderr: VecDeque<String>,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts the command, its input empty and its output read here.
    ///
    /// # Panics
    /// If it cannot be started: with its name and the system's reason.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().display().to_string();
        let worker = Worker::start("process-watch");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}; is it installed?"));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let process =
            Self { name, child: Arc::new(Mutex::new(child)), output: watch::Sender::default(), worker };
        let readers = [
            process.read_lines(stdout.map(OwnedFd::from), |output| &mut output.stdout),
            process.read_lines(stderr.map(OwnedFd::from), |output| &mut output.stderr),
        ];
        process.watch_exit(readers);
        process
    }

    /// The id that the system gave it.
    pub fn id(&self) -> u32 {
        self.child.lock().id()
    }

    /// The latest lines of its standard output, as far as they were read.
    pub fn lines(&self) -> Vec<String> {
        self.output.borrow().stdout.iter().cloned().collect()
    }

    /// How it ended; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().ok().flatten()
    }

    /// Waits for a line of its standard output that contains `part`, one already written included, and returns it.
    ///
    /// # Panics
    /// The future, when the process ends without such a line or after 20 s: with the latest lines of its output.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str) -> impl Future<Output = String> + Send + use<> {
        let (wanted, name, output) = (part.to_owned(), self.name.clone(), self.output.subscribe());
        let (part, found) = (part.to_owned(), Arc::new(Mutex::new(None)));
        let find = found.clone();
        let waiting = self.worker.wait_for(
            &self.output,
            format!("a line with {part:?} from {name}"),
            move |output| {
                let line = output.stdout.iter().find(|line| line.contains(&part));
                *find.lock() = line.cloned();
                line.is_some() || output.exit.is_some()
            },
            Output::to_string,
        );
        async move {
            waiting.await;
            let line = found.lock().take();
            line.unwrap_or_else(|| {
                panic!("{name} ended without a line with {wanted:?}: {}", *output.borrow())
            })
        }
    }

    /// Waits until it has ended by itself or by a signal.
    ///
    /// # Panics
    /// The future, after 20 s: with the latest lines of its output.
    #[track_caller]
    pub fn wait_for_exit(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let output = self.output.subscribe();
        let what = format!("the end of {}", self.name);
        let waiting =
            self.worker.wait_for(&self.output, what, |output| output.exit.is_some(), Output::to_string);
        async move {
            waiting.await;
            let exit = output.borrow().exit;
            exit.unwrap_or_else(|| unreachable!("a status, once there, stays"))
        }
    }

    /// Kills it (SIGKILL) and reaps it. Nothing to do if it has ended.
    ///
    /// # Panics
    /// If the system refuses.
    #[track_caller]
    pub fn kill(&self) -> ExitStatus {
        kill_and_reap(&mut self.child.lock())
            .unwrap_or_else(|error| panic!("cannot kill {}: {error}", self.name))
    }

    /// Freezes it (SIGSTOP), and returns once it stands still.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn freeze(&self) {
        // Waiting for the exit as well, without reaping it: one that dies meanwhile never stands still.
        self.signal(Signal::STOP, WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn thaw(&self) {
        self.signal(Signal::CONT, WaitIdOptions::CONTINUED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn terminate(&self) {
        self.signal(Signal::TERM, WaitIdOptions::empty());
    }

    /// Sends a signal to a child that has not been reaped, and waits until its state shows it.
    #[track_caller]
    fn signal(&self, signal: Signal, shown_by: WaitIdOptions) {
        let mut child = self.child.lock();
        if let Ok(Some(status)) = child.try_wait() {
            panic!("no {signal:?} for {}: it has ended with {status}; {}", self.name, *self.output.borrow());
        }
        let pid = Pid::from_child(&child);
        let sent = kill_process(pid, signal);
        let shown = sent
            .and_then(|()| if shown_by.is_empty() { Ok(None) } else { waitid(WaitId::Pid(pid), shown_by) });
        if let Err(error) = shown {
            panic!("no {signal:?} for {}: {}", self.name, io::Error::from(error));
        }
    }

    fn read_lines(
        &self,
        stream: Option<OwnedFd>,
        lines: fn(&mut Output) -> &mut VecDeque<String>,
    ) -> JoinHandle<()> {
        let pipe = self.worker.enter(|| stream.map(pipe::Receiver::from_owned_fd));
        let output = self.output.clone();
        self.worker.spawn(async move {
            let Some(Ok(pipe)) = pipe else { return };
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            // A longer line counts as several: a child that never ends its line must not fill the memory.
            while let Ok(1..) = (&mut reader).take(KEPT_LINE_BYTES).read_until(b'\n', &mut line).await {
                let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                line.clear();
                output.send_modify(|output| {
                    let lines = lines(output);
                    lines.push_back(text);
                    if lines.len() > KEPT_LINES {
                        lines.pop_front();
                    }
                });
            }
        })
    }

    fn watch_exit(&self, readers: [JoinHandle<()>; 2]) {
        let (child, output) = (self.child.clone(), self.output.clone());
        self.worker.spawn(async move {
            let exit = loop {
                match child.lock().try_wait() {
                    Ok(Some(exit)) => break exit,
                    Ok(None) => {}
                    Err(_) => return,
                }
                time::sleep(EXIT_POLL).await;
            };
            // What it said last is part of how it ended. Its own children may hold the pipes open much longer.
            let [stdout, stderr] = readers;
            let _ = time::timeout(LAST_WORDS, async { tokio::join!(stdout, stderr) }).await;
            output.send_modify(|output| output.exit = Some(exit));
        });
    }
}

fn kill_and_reap(child: &mut Child) -> io::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    child.kill()?;
    child.wait()
}

impl Drop for Process {
    fn drop(&mut self) {
        // The only failure is that it is no child of ours any more, and nothing is left to end then.
        let _ = kill_and_reap(&mut self.child.lock());
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("id", &self.id()).finish_non_exhaustive()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exit {
            Some(exit) => write!(f, "{exit}")?,
            None => f.write_str("still running")?,
        }
        for (name, lines) in [("output", &self.stdout), ("error output", &self.stderr)] {
            let latest = lines.len().saturating_sub(SHOWN_LINES);
            write!(f, "; latest lines of its {name}:")?;
            for line in lines.iter().skip(latest) {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]))
    }

    fn state_of(id: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_found_even_on_a_paused_clock() {
        let process = shell("echo starting; echo listening on 127.0.0.1:1234; exec sleep 60");
        assert_eq!(process.wait_for_line("listening on").await, "listening on 127.0.0.1:1234");
        assert_eq!(process.wait_for_line("starting").await, "starting", "a line already read");
    }

    #[tokio::test]
    #[should_panic(expected = "no such file: config")]
    async fn an_early_end_shows_what_it_said() {
        shell("echo no such file: config >&2; exit 3").wait_for_line("listening").await;
    }

    #[tokio::test]
    async fn freezes_thaws_and_dies() {
        let process = shell("echo ready; exec sleep 60");
        process.wait_for_line("ready").await;
        process.freeze();
        assert_eq!(state_of(process.id()), Some('T'));
        process.thaw();
        assert_ne!(state_of(process.id()), Some('T'));
        process.freeze();
        let status = process.kill();
        assert!(!status.success());
        assert_eq!(process.wait_for_exit().await, status);
    }

    #[tokio::test]
    async fn a_drop_leaves_nothing_behind() {
        let process = shell("echo ready; exec sleep 60");
        process.wait_for_line("ready").await;
        process.freeze();
        let id = process.id();
        drop(process);
        assert_eq!(state_of(id), None, "neither running nor a zombie");
    }

    #[tokio::test]
    async fn its_own_end_is_seen() {
        let process = shell("exit 7");
        assert_eq!(process.wait_for_exit().await.code(), Some(7));
        assert_eq!(process.exit_status().and_then(|status| status.code()), Some(7));
    }

    #[test]
    #[should_panic(expected = "cannot start no-such-server")]
    fn a_missing_program_is_named() {
        Process::spawn(&mut Command::new("no-such-server"));
    }
}
