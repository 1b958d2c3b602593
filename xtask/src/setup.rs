//! Makes a machine ready: looks for what the tests need, and installs what is missing.
//!
//! One row for each need. Servers and the like come from Debian's packages, which need root; without it the command to
//! type is printed instead. The rest goes where cargo and rustup put it, for this user alone. Where nothing is missing,
//! nothing is installed and no network is asked, so that the task can stand before every run of the tests.

use std::process::Command;

use crate::process;

/// Whom a machine is made ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Who runs the tests.
    Tests,
    /// Who runs all that CI checks, the tests among it.
    Ci,
}

struct Need {
    name: &'static str,
    scope: Scope,
    /// The command that succeeds where it is there.
    probe: &'static [&'static str],
    source: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Debian { packages: &'static [&'static str] },
    Rustup { component: &'static str },
    Crate { name: &'static str, version: &'static str },
}

const NEEDS: &[Need] = &[
    Need {
        name: "rustfmt",
        scope: Scope::Ci,
        probe: &["cargo", "fmt", "--version"],
        source: Source::Rustup { component: "rustfmt" },
    },
    Need {
        name: "clippy",
        scope: Scope::Ci,
        probe: &["cargo", "clippy", "--version"],
        source: Source::Rustup { component: "clippy" },
    },
    // Moves a process' wall clock, for the scenario of `faults` that asks whether anything goes by it.
    Need {
        name: "faketime",
        scope: Scope::Tests,
        probe: &["faketime", "--version"],
        source: Source::Debian { packages: &["faketime"] },
    },
    Need {
        name: "redis",
        scope: Scope::Tests,
        probe: &["redis-server", "--version"],
        source: Source::Debian { packages: &["redis-server"] },
    },
    // Debian keeps the server out of the path, in a folder for each version.
    Need {
        name: "postgresql",
        scope: Scope::Tests,
        probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/postgres"],
        source: Source::Debian { packages: &["postgresql"] },
    },
    // cargo-deny fetches its advisories with it.
    Need {
        name: "git",
        scope: Scope::Ci,
        probe: &["git", "--version"],
        source: Source::Debian { packages: &["git", "ca-certificates"] },
    },
    Need {
        name: "cargo-deny",
        scope: Scope::Ci,
        probe: &["cargo", "deny", "--version"],
        source: Source::Crate { name: "cargo-deny", version: "0.20.2" },
    },
];

/// Installs what `scope` needs and this machine lacks.
///
/// # Errors
/// Names everything that is still missing at the end, and what to do about each.
pub(crate) fn run(scope: Scope) -> Result<(), String> {
    let missing = missing(scope);
    if missing.is_empty() {
        println!("setup: nothing is missing");
        return Ok(());
    }
    for need in &missing {
        println!("setup: {} is missing", need.name);
    }

    let mut problems = Vec::new();
    for step in steps(&missing) {
        if let Err(problem) = step.take() {
            problems.push(format!("{problem}\n{}", step.advice()));
        }
    }
    if problems.is_empty() {
        // A package may install something else than the probe asks for; better said here than by forty failing tests.
        let absent = missing.iter().filter(|need| !need.is_there());
        problems.extend(absent.map(|need| {
            format!("{} was installed, and `{}` still does not answer", need.name, need.probe.join(" "))
        }));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Says what `scope` needs and this machine lacks, without installing it.
///
/// # Errors
/// Names what is missing and the task that installs it.
pub(crate) fn check(scope: Scope) -> Result<(), String> {
    let missing: Vec<_> = missing(scope).iter().map(|need| need.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let option = match scope {
        Scope::Tests => "",
        Scope::Ci => " --ci",
    };
    Err(format!("missing: {}; `cargo xtask setup{option}` installs it", missing.join(", ")))
}

fn missing(scope: Scope) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.scope <= scope && !need.is_there()).collect()
}

impl Need {
    fn is_there(&self) -> bool {
        let [program, args @ ..] = self.probe else { return false };
        let mut command = if *program == "cargo" { process::cargo() } else { Command::new(program) };
        let Some(answer) = process::answer(command.args(args)) else { return false };
        match self.source {
            // A newer one that is already there will do; an older one may not know the settings' words.
            Source::Crate { version, .. } => version_in(&answer) >= version_in(version),
            Source::Debian { .. } | Source::Rustup { .. } => true,
        }
    }
}

/// The first version in a text such as `cargo-deny 0.20.2`.
fn version_in(text: &str) -> Option<[u32; 3]> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.').map(|number| number.parse().ok());
        Some([numbers.next()??, numbers.next()??, numbers.next()??])
    })
}

/// One thing to do; Debian's packages are one, however many.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Debian { packages: Vec<&'static str> },
    Rustup { components: Vec<&'static str> },
    Crate { name: &'static str, version: &'static str },
}

/// Sorts what is missing into the fewest steps, the packages first: a crate's build may need one.
fn steps(missing: &[&Need]) -> Vec<Step> {
    let (mut debian, mut rustup, mut crates) = (Vec::new(), Vec::new(), Vec::new());
    for need in missing {
        match need.source {
            Source::Debian { packages } => debian.extend(packages),
            Source::Rustup { component } => rustup.push(component),
            Source::Crate { name, version } => crates.push(Step::Crate { name, version }),
        }
    }
    debian.sort_unstable();
    debian.dedup();

    let mut steps = Vec::new();
    if !debian.is_empty() {
        steps.push(Step::Debian { packages: debian });
    }
    if !rustup.is_empty() {
        steps.push(Step::Rustup { components: rustup });
    }
    steps.extend(crates);
    steps
}

impl Step {
    fn take(&self) -> Result<(), String> {
        match self {
            Self::Debian { packages } => install_packages(packages),
            Self::Rustup { components } => {
                process::run(Command::new("rustup").args(["component", "add"]).args(components))
            }
            // Unoptimised: it is built in a third of the time (42 s and not 120 on two cores), and runs for a second.
            Self::Crate { name, version } => {
                let exact = format!("{name}@{version}");
                process::run(process::cargo().args(["install", "--locked", "--debug", &exact]))
            }
        }
    }

    /// What to do by hand, where the step cannot be taken here.
    fn advice(&self) -> String {
        match self {
            Self::Debian { packages } => {
                let packages = packages.join(" ");
                format!(
                    "Run this as root, or install the same in your system's way:\n    \
                     apt-get update && apt-get install -y --no-install-recommends {packages}"
                )
            }
            Self::Rustup { components } => {
                format!("Install {} with whatever installed your Rust toolchain", components.join(" and "))
            }
            Self::Crate { name, version } => format!("Install {name} {version} or newer, on the PATH"),
        }
    }
}

fn install_packages(packages: &[&str]) -> Result<(), String> {
    if process::answer(Command::new("apt-get").arg("--version")).is_none() {
        return Err("there is no apt-get here".to_owned());
    }
    if process::answer(Command::new("id").arg("-u")).is_none_or(|user| user.trim() != "0") {
        return Err("installing packages needs root".to_owned());
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        // Another apt may be at work on a machine that has just started: wait for it, but not for ever.
        command
            .args(["-q", "-o", "DPkg::Lock::Timeout=120"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(&mut apt(&["update"]))?;
    process::run(apt(&["install", "-y", "--no-install-recommends"]).args(packages))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn need(source: Source) -> Need {
        Need { name: "a need", scope: Scope::Tests, probe: &["true"], source }
    }

    #[test]
    fn packages_are_one_step_and_come_first() {
        let missing = [
            need(Source::Crate { name: "cargo-deny", version: "0.20.2" }),
            need(Source::Debian { packages: &["redis-server"] }),
            need(Source::Rustup { component: "clippy" }),
            need(Source::Debian { packages: &["postgresql", "redis-server"] }),
            need(Source::Rustup { component: "rustfmt" }),
        ];
        let planned = steps(&missing.iter().collect::<Vec<_>>());
        assert_eq!(
            planned,
            [
                Step::Debian { packages: vec!["postgresql", "redis-server"] },
                Step::Rustup { components: vec!["clippy", "rustfmt"] },
                Step::Crate { name: "cargo-deny", version: "0.20.2" },
            ]
        );
    }

    #[test]
    fn advice_can_be_typed_as_it_is() {
        let advice = Step::Debian { packages: vec!["git", "redis-server"] }.advice();
        assert!(
            advice.ends_with("apt-get update && apt-get install -y --no-install-recommends git redis-server"),
            "{advice}"
        );
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(version_in("cargo-deny 0.20.2"), Some([0, 20, 2]));
        assert_eq!(version_in("cargo-deny"), None);
        assert!(version_in("0.9.10") < version_in("cargo-deny 0.20.2"));
        assert!(version_in("nothing of the kind") < version_in("0.0.1"));
    }

    #[test]
    fn what_answers_is_there_and_what_does_not_is_missing() {
        let package = Source::Debian { packages: &["any"] };
        assert!(Need { probe: &["true"], ..need(package) }.is_there());
        assert!(!Need { probe: &["false"], ..need(package) }.is_there());
        assert!(!Need { probe: &["seawall-no-such-program"], ..need(package) }.is_there());
    }

    #[test]
    fn an_older_crate_counts_as_missing() {
        let pinned = Source::Crate { name: "tool", version: "0.20.2" };
        assert!(!Need { probe: &["echo", "tool 0.9.10"], ..need(pinned) }.is_there());
        assert!(Need { probe: &["echo", "tool 0.20.2"], ..need(pinned) }.is_there());
        assert!(Need { probe: &["echo", "tool 1.0.0"], ..need(pinned) }.is_there());
    }
}
