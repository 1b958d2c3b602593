//! The tasks of this workspace, one command for each: `cargo xtask setup | test | bench | sim | faults | ci`.
//!
//! What CI runs is what a developer runs: `.ci/run` calls these tasks, and the `ci` task runs the tests through the
//! same function as the `test` task. They are Rust and not shell so that they are checked like the rest, and use the
//! standard library alone, since every other command waits for this crate to be built.

// A task's output is its product: it speaks to a person or to CI, and there is no subscriber to log to.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bench;
mod ci;
mod faults;
mod process;
mod setup;
mod sim;
mod test;

use std::env;
use std::process::ExitCode;

use args::Task;

fn main() -> ExitCode {
    match args::parse(env::args_os().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), String> {
    match task {
        Task::Help => {
            print!("{}", args::HELP);
            Ok(())
        }
        Task::Setup(scope) => setup::run(scope),
        Task::Test(passed_on) => {
            let tests = test::run(&passed_on)?;
            println!("\n{tests}");
            tests.verdict()
        }
        Task::Bench(thoroughness) => bench::run(thoroughness),
        Task::Sim(passed_on) => sim::run(&passed_on),
        Task::Faults(passed_on) => faults::run(&passed_on),
        Task::Ci => ci::run(),
    }
}
