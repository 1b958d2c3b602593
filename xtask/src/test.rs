//! Runs all tests, and says in one line how they went.
//!
//! `cargo test` and not nextest: nextest runs no doctests, so there would be two runners to sum up, and one of them to
//! install first. What cargo does not do is add up: each test binary and each crate's doctests print a result of their
//! own. So its output is passed on as it comes and read on the way.
//!
//! The features are always all of them, as in every step of `ci`, so that no step compiles anew what another has.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::process::Stdio;

use crate::process;

/// Runs the tests of the workspace, or those that `passed_on` selects in cargo's own words.
///
/// # Errors
/// When cargo cannot be run. Tests that fail are no error here: ask the [`Tests::verdict`].
pub(crate) fn run(passed_on: &[OsString]) -> Result<Tests, String> {
    let mut command = process::cargo();
    command.arg("test").args(selection(passed_on)).args(passed_on);
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| format!("cargo cannot be started: {error}"))?;

    let mut tally = Tally::default();
    let forwarded = child.stdout.take().map_or(Ok(()), |output| forward(output, io::stdout(), &mut tally));
    let status = child.wait().map_err(|error| format!("cargo: {error}"))?;
    forwarded.map_err(|error| format!("the tests' output cannot be passed on: {error}"))?;

    Ok(Tests { passed: tally.passed, failed: tally.failed, succeeded: status.success() })
}

/// How a run of the tests ended. Its text is the closing line.
pub(crate) struct Tests {
    passed: u64,
    failed: u64,
    succeeded: bool,
}

impl Tests {
    /// Whether no test has run at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed == 0
    }

    /// # Errors
    /// When a test failed, or a binary could not be built or ended before it had a result.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        match (self.succeeded, self.failed) {
            (true, 0) => Ok(()),
            (_, 0) => Err("a test binary was not built, or ended before its result: see above".to_owned()),
            (_, failed) => Err(format!("{failed} failed: see above")),
        }
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A binary that died has no result of its own; a closing line without a failure would be a lie.
        let failed = if self.succeeded { self.failed } else { self.failed.max(1) };
        write!(f, "{} passed, {failed} failed", self.passed)
    }
}

/// What cargo is told before the user's own words: everything, and go on after a failure so that the sum is of all.
fn selection(passed_on: &[OsString]) -> Vec<&'static str> {
    let mut options = vec!["--all-features", "--no-fail-fast"];
    let packages = passed_on.iter().take_while(|arg| *arg != "--").any(|arg| selects_package(arg));
    if !packages {
        // Cargo would let it win over `--package`, without a word.
        options.push("--workspace");
    }
    options
}

fn selects_package(arg: &OsStr) -> bool {
    let arg = arg.to_string_lossy();
    arg == "--package" || arg.starts_with("--package=") || (arg.starts_with("-p") && !arg.starts_with("--"))
}

/// Copies the output as it comes, not line by line: of a test that hangs, the unfinished line is the one to see.
fn forward(mut from: impl Read, mut to: impl Write, tally: &mut Tally) -> io::Result<()> {
    let mut buffer = [0; 8 * 1024];
    loop {
        let chunk = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => &buffer[..length],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        tally.read(chunk);
        to.write_all(chunk)?;
        to.flush()?;
    }
    tally.end_line();
    Ok(())
}

/// The sum of the results in cargo's output.
#[derive(Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
    line: Vec<u8>,
}

impl Tally {
    /// A result is shorter; a test that prints one endless line fills nothing.
    const LONGEST_LINE: usize = 512;

    fn read(&mut self, chunk: &[u8]) {
        for &byte in chunk {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < Self::LONGEST_LINE {
                self.line.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        if let Some((passed, failed)) = std::str::from_utf8(&self.line).ok().and_then(result_of) {
            self.passed += passed;
            self.failed += failed;
        }
        self.line.clear();
    }
}

/// Reads `test result: ok. 5 passed; 1 failed; 0 ignored; ...`, the word before the point in whatever colour.
fn result_of(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let passed = counts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = counts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 2 tests
test units::tests::reads_a_ratio ... ok
test units::tests::rejects_text ... FAILED

failures:

---- units::tests::rejects_text stdout ----
 test result: ok. 70 passed; 70 failed; as a test may print it

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 40 tests
test result: \u{1b}[32mok\u{1b}[m. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.21s

   Doc-tests seawall

running 3 tests
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.90s

all doctests ran in 1.40s; merged doctests compilation took 0.48s
";

    fn tally(chunks: &[&[u8]]) -> (u64, u64) {
        let mut tally = Tally::default();
        for chunk in chunks {
            tally.read(chunk);
        }
        tally.end_line();
        (tally.passed, tally.failed)
    }

    #[test]
    fn sums_every_binary_and_the_doctests() {
        assert_eq!(tally(&[OUTPUT.as_bytes()]), (44, 1));
    }

    #[test]
    fn sums_the_same_wherever_the_output_is_cut() {
        for at in 0..OUTPUT.len() {
            let (head, tail) = OUTPUT.as_bytes().split_at(at);
            assert_eq!(tally(&[head, tail]), (44, 1), "cut at byte {at}");
        }
    }

    #[test]
    fn counts_a_last_line_without_its_end() {
        assert_eq!(tally(&[b"test result: ok. 7 passed; 0 failed; 0 ignored"]), (7, 0));
    }

    #[test]
    fn is_not_misled_by_what_only_looks_like_a_result() {
        for line in [
            "test result: ok",
            "test result: ok. many passed; 0 failed; 0 ignored",
            "test result: ok. 5 passed",
            "the test result: ok. 5 passed; 0 failed;",
            "5 passed, 0 failed",
        ] {
            assert_eq!(result_of(line), None, "{line}");
        }
    }

    #[test]
    fn keeps_little_of_an_endless_line() {
        let mut tally = Tally::default();
        tally.read(&vec![0xff; 1 << 20]);
        assert_eq!(tally.line.len(), Tally::LONGEST_LINE);
        tally.read(b"\ntest result: ok. 1 passed; 0 failed; 0 ignored\n");
        assert_eq!(tally.passed, 1);
    }

    #[test]
    fn passes_the_output_on_unchanged() {
        let mut shown = Vec::new();
        let mut tally = Tally::default();
        forward(OUTPUT.as_bytes(), &mut shown, &mut tally).expect("memory takes it all");
        assert_eq!(shown, OUTPUT.as_bytes());
        assert_eq!((tally.passed, tally.failed), (44, 1));
    }

    #[test]
    fn the_closing_line_and_the_verdict_agree() {
        let run = |passed, failed, succeeded| Tests { passed, failed, succeeded };
        assert!(run(0, 0, true).is_empty());

        let green = run(12, 0, true);
        assert!(!green.is_empty());
        assert_eq!((green.to_string().as_str(), green.verdict()), ("12 passed, 0 failed", Ok(())));

        let red = run(11, 1, false);
        assert_eq!(red.to_string(), "11 passed, 1 failed");
        assert!(red.verdict().is_err());

        let died = run(11, 0, false);
        assert_eq!(died.to_string(), "11 passed, 1 failed");
        assert!(died.verdict().is_err());
    }

    #[test]
    fn the_workspace_is_left_out_where_packages_are_named() {
        let chosen = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            selection(&args).contains(&"--workspace")
        };
        assert!(chosen(&[]));
        assert!(chosen(&["breaker", "--", "-p"]));
        assert!(chosen(&["--profile", "release"]));
        for named in
            [&["-p", "seawall"][..], &["-pseawall"], &["--package=seawall"], &["--package", "seawall"]]
        {
            assert!(!chosen(named), "{named:?}");
        }
    }
}
