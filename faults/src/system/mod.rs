//! The whole system in virtual time, and the breaker against its oracle: played by the programs that are for it.
//!
//! They take no part where no id is named, since CI runs both in steps of their own.

use std::process::Command;

use crate::harness::{Report, Scenario, Stage};

crate::scenario!(S1, "seeds of a whole runtime in virtual time: safety", on_request, safety);
crate::scenario!(
    S2,
    "the same, and all else makes progress once one fault alone is left",
    on_request,
    safety
);
crate::scenario!(S3, "random events at the breaker and at its oracle", on_request, oracle);

pub(crate) fn all() -> Vec<Scenario> {
    vec![S1, S2, S3]
}

/// One run of the simulation is both: each of its seeds is held to every rule, and seven in ten keep one fault to the end.
async fn safety(stage: Stage) -> Report {
    let from = (stage.seed % 1_000_000).to_string();
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--profile", "sim", "--package", "seawall-testkit"]);
    command.args(["--bin", "sim", "--", "--from", &from]);
    if stage.full {
        command.arg("--full")
    } else {
        command.args(["--seeds", "300"])
    };
    judge(command)
}

async fn oracle(stage: Stage) -> Report {
    let mut command = cargo();
    command.args(["test", "--quiet", "--locked", "--package", "seawall", "--lib", "policy::breaker"]);
    // Each case has dozens of events.
    command.env("PROPTEST_CASES", stage.either("200000", "2000"));
    judge(command)
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn judge(mut command: Command) -> Report {
    let mut report = Report::default();
    match command.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            report.holds("all of it held", output.status.success(), last, "exit code 0");
            if !output.status.success() {
                eprintln!("{said}");
            }
        }
        Err(error) => {
            report.holds("it ran", false, error, "cargo on the PATH");
        }
    }
    report
}
