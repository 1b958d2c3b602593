//! Runs the simulation over many seeds, over one, over an hour, and over what is staged by hand: the overload of the docs' plot, and
//! services that go and come in every order.

// What it prints is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod chart;
mod overload;
mod seeds;

use std::{env, process::ExitCode};

use args::Task;

fn main() -> ExitCode {
    let task = match args::parse(env::args().skip(1)) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("sim: {error}");
            return ExitCode::FAILURE;
        }
    };
    let failed = match task {
        Task::Help => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Task::Seeds { from, count, replay_every } => seeds::many(from, count, replay_every),
        Task::One { seed, log } => seeds::one(seed, log),
        Task::Hour { seed } => seeds::hour(seed),
        Task::Swizzle => seeds::swizzle(),
        Task::Overload { figures } => overload::run(figures.as_deref()),
    };
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
