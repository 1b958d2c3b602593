//! A shop whose services die, hang, crawl and err while it is being used, and which answers all the same.
//!
//! `cargo run --example storefront` starts three services as processes of their own (`users`, `prices`, `reviews`), and
//! the shop, an actix-web server that calls them through seawall with the settings in `config/`. Steady load goes at the
//! shop while a script of outages is played on the services.
//!
//! | option | |
//! |---|---|
//! | none | plays the script once, in a minute |
//! | `--for 30s` | the same in this time; in more than a minute, again and again |
//! | `--serve` | plays it once, and leaves everything running until Ctrl-C |
//!
//! In a terminal it shows a live table, elsewhere plain lines. The last line is the summary of what the shop's users saw.

mod downstreams;
mod events;
mod load;
mod options;
mod script;
mod shop;
mod stage;
mod table;

use std::{env, process::ExitCode};

use options::Options;

fn main() -> ExitCode {
    let ended = match Options::read(env::args().skip(1)) {
        Ok(Options::Downstream { name, port }) => downstreams::serve(&name, port),
        Ok(Options::Stage(length)) => stage::play(length),
        Err(message) => Err(message.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::complain(&*error);
            ExitCode::FAILURE
        }
    }
}
