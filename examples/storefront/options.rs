//! What was asked for on the command line.

use std::time::Duration;

use humantime::parse_duration;

/// How the program is run.
pub(crate) enum Options {
    /// As one of the services, by the storefront itself.
    Downstream { name: String, port: u16 },
    /// As the storefront.
    Stage(Length),
}

/// When the storefront ends.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    /// After the script.
    Script,
    /// After this time.
    For(Duration),
    /// When it is told to.
    Serve,
}

const USAGE: &str = "usage: storefront [--for 30s | --serve]";

impl Options {
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let arguments: Vec<String> = arguments.collect();
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words[..] {
            [] => Ok(Self::Stage(Length::Script)),
            ["--serve"] => Ok(Self::Stage(Length::Serve)),
            ["--for", text] => match parse_duration(text) {
                Ok(length) if length >= Duration::from_secs(5) => Ok(Self::Stage(Length::For(length))),
                Ok(_) => Err(format!("--for {text}: outages take time; give it 5s at least")),
                Err(error) => Err(format!("--for {text}: {error}")),
            },
            ["downstream", name, port] => match port.parse() {
                Ok(port) => Ok(Self::Downstream { name: name.to_owned(), port }),
                Err(_) => Err(format!("downstream {name}: {port:?} is no port")),
            },
            _ => Err(format!("{}: {USAGE}", arguments.join(" "))),
        }
    }
}
