//! Stages faults against seawall as it is built: `cargo xtask faults [ID...]`.
//!
//! Tests hold single promises, in virtual time and against scripted downstreams. This holds the whole, in real time: real
//! processes that are killed and frozen, real sockets over loopback, and a load that goes on whatever happens. Each
//! scenario is a row of FAULTS.md and is played in a process of its own, so that its memory, its threads and its panics
//! are its alone, and that one which hangs or dies is a row that failed and not the end of the run.
//!
//! This program is three: the driver, which plays scenarios and prints the table; the player of one scenario; and the
//! server that it calls.

// What it prints is its product.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cache;
mod caller;
mod catalog;
mod driver;
mod harness;
mod network;
mod options;
mod postgres;
mod process;
mod redis;
mod runtime;
mod security;
mod system;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use harness::{Report, Stage, again, panics, serve};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let ended = match args.next().as_deref() {
        Some(serve::WORD) => server(args.next()),
        Some(again::PLAY) => play(args),
        _ => options::parse(env::args().skip(1)).and_then(|options| driver::run(&options)),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("faults: {error}");
            ExitCode::FAILURE
        }
    }
}

fn server(port: Option<String>) -> Result<ExitCode, String> {
    let port = port.and_then(|port| port.parse().ok()).ok_or("a server needs a port")?;
    serve::run(port).map_err(|error| format!("the server failed: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Plays one scenario, and writes what it found for the driver to read.
fn play(mut args: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let (id, seed, full) = (args.next(), args.next(), args.next());
    let scenario = catalog::all().into_iter().find(|scenario| Some(scenario.id) == id.as_deref());
    let scenario = scenario.ok_or_else(|| format!("there is no scenario {id:?}"))?;
    let seed = seed.and_then(|seed| seed.parse().ok()).ok_or("a scenario needs a seed")?;
    let stage = Stage { seed, full: full.as_deref() == Some("full"), longer: Duration::ZERO };
    panics::count();
    let Report { checks, .. } = actix_rt::System::new().block_on(async move { (scenario.play)(stage).await });
    for check in checks {
        let line = serde_json::to_string(&check).map_err(|error| error.to_string())?;
        println!("{}{line}", again::CHECK);
    }
    println!("{}", again::DONE);
    Ok(ExitCode::SUCCESS)
}
