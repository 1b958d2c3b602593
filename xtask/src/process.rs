//! Other programs: how they are named, run to their end, asked, and ended when they take too long.

use std::env;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How much of an error output is kept: no program should fill our memory with its complaints.
const KEPT_BYTES: u64 = 64 * 1024;

/// The cargo that runs this task, without what it told us about our own package.
///
/// `cargo run` sets `CARGO_PKG_NAME` and its like for the program it runs. A cargo below would inherit them, and build
/// scripts that watch them (ring's does) would run, and be compiled, anew whenever a task and a plain cargo take turns.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let inherited = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || matches!(name, "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH")
        });
        if inherited {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end, its output being ours.
///
/// # Errors
/// When it cannot be started or does not succeed; names the command.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` ended with {status}", line_of(command))),
        Err(error) => Err(format!("`{}` cannot be started: {error}", line_of(command))),
    }
}

/// What a command printed to its standard output, or `None` if it is not there or did not succeed.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command for at most `limit`, then ends it and every program that it started.
///
/// # Errors
/// When it cannot be started, does not succeed, or takes too long; the text is the last line that it wrote to its
/// standard error, where there is one.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("`{}` cannot be started: {error}", line_of(command)))?;

    // The pipe reaches its end when the last program that holds it has: a grandchild left behind is waited for too.
    let (ended, end) = mpsc::sync_channel(1);
    if let Some(mut errors) = child.stderr.take() {
        thread::spawn(move || {
            let mut kept = Vec::new();
            let read = errors.by_ref().take(KEPT_BYTES).read_to_end(&mut kept);
            let drained = read.and_then(|_| io::copy(&mut errors, &mut io::sink()));
            // Nobody waits any more when the limit has passed; nothing is lost then.
            let _ = ended.send(drained.map(|_| kept));
        });
    }
    let errors = match end.recv_timeout(limit) {
        Ok(errors) => errors,
        Err(_) => {
            let ended = end_group(&mut child).and_then(|()| child.wait());
            return Err(ended.map_or_else(
                |error| format!("no answer within {limit:?}, and cannot be ended: {error}"),
                |_| format!("no answer within {limit:?}"),
            ));
        }
    };
    let status = child.wait().map_err(|error| format!("`{}`: {error}", line_of(command)))?;
    if status.success() {
        return Ok(());
    }
    let errors = errors.unwrap_or_default();
    let errors = String::from_utf8_lossy(&errors);
    let last = errors.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(last.map_or_else(|| status.to_string(), str::to_owned))
}

/// Kills a child that leads a process group, and all that is in it.
fn end_group(child: &mut Child) -> io::Result<()> {
    // By the shell's own `kill`: the program of that name is not on every machine.
    let group = format!("-{}", child.id());
    let script = ["-c", "kill -s KILL -- \"$0\"", &group];
    let group_ended = Command::new("sh").args(script).stdin(Stdio::null()).status();
    // Where that failed, at least the child: it is waited for next, which must not hang.
    if group_ended.is_ok_and(|status| status.success()) { Ok(()) } else { child.kill() }
}

/// The command as it would be typed, for messages.
fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // Cargo is known by its whole path here, which says nothing to the reader.
    let name = program.file_name().unwrap_or(command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_is_told_in_the_programs_last_words() {
        let error =
            run_within(&mut shell("echo first >&2; echo 'no such host' >&2; echo >&2; exit 3"), MINUTE);
        assert_eq!(error, Err("no such host".to_owned()));
    }

    #[test]
    fn a_program_that_writes_more_than_is_kept_still_ends() {
        let flood = "i=0; while [ $i -lt 3000 ]; do echo 'sixty-four bytes of complaint, and then some more of them' >&2; i=$((i+1)); done";
        assert_eq!(run_within(&mut shell(flood), MINUTE), Ok(()));
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_those_it_started() {
        let error = run_within(&mut shell("sleep 600 & wait"), Duration::from_millis(200));
        assert_eq!(error, Err("no answer within 200ms".to_owned()));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("seawall-no-such-program")).expect_err("nothing has that name");
        assert!(error.contains("`seawall-no-such-program` cannot be started"), "{error}");
        assert_eq!(answer(&mut Command::new("seawall-no-such-program")), None);
    }

    const MINUTE: Duration = Duration::from_secs(60);
}
