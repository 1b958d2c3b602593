//! What happens to the services, and when.

use std::{error::Error, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    downstreams::{Downstream, Mode},
    load::Load,
    table::Screen,
};

/// How long the script takes unless it is pressed.
pub(crate) const LENGTH: Duration = Duration::from_secs(60);

/// What is done to a service.
enum Act {
    Kill(&'static str),
    Restart(&'static str),
    Freeze(&'static str),
    Thaw(&'static str),
    Behave(&'static str, Mode),
    /// Pages whose calls panic: so many.
    Haunt(usize),
}

/// Each at its second of [`LENGTH`].
const SCRIPT: [(u64, Act, &str); 11] = [
    (6, Act::Kill("prices"), "SIGKILL: its process is gone"),
    (14, Act::Restart("prices"), "started again"),
    (20, Act::Freeze("users"), "SIGSTOP: it accepts connections, and answers nothing"),
    (27, Act::Thaw("users"), "SIGCONT: it goes on"),
    (32, Act::Behave("reviews", Mode::Slow), "replies take 800 ms"),
    (39, Act::Behave("reviews", Mode::Well), "replies are fast again"),
    (43, Act::Behave("prices", Mode::Failing), "answers 500 to all"),
    (49, Act::Behave("prices", Mode::Well), "answers again"),
    (52, Act::Haunt(5), "five of its calls panic"),
    (54, Act::Kill("users"), "SIGKILL: its process is gone"),
    (56, Act::Restart("users"), "started again"),
];

/// Plays the script, pressed or stretched into `length`.
pub(crate) async fn play(
    length: Duration,
    services: &mut [Downstream],
    load: &Load,
    screen: &Screen,
) -> Result<(), Box<dyn Error>> {
    let (start, pace) = (Instant::now(), length.div_duration_f64(LENGTH));
    for (second, act, text) in &SCRIPT {
        sleep_until(start + Duration::from_secs(*second).mul_f64(pace)).await;
        screen.event(&format!("> {}", act.service()), text);
        act.perform(services, load).await?;
    }
    sleep_until(start + length).await;
    Ok(())
}

impl Act {
    fn service(&self) -> &'static str {
        match self {
            Self::Kill(service)
            | Self::Restart(service)
            | Self::Freeze(service)
            | Self::Thaw(service)
            | Self::Behave(service, _) => service,
            Self::Haunt(_) => "reviews",
        }
    }

    async fn perform(&self, services: &mut [Downstream], load: &Load) -> Result<(), Box<dyn Error>> {
        let name = self.service();
        let service = services.iter_mut().find(|service| service.name == name);
        let service =
            service.ok_or_else(|| format!("the script names a service {name:?} that there is not"))?;
        match self {
            Self::Kill(_) => service.kill(),
            Self::Restart(_) => service.restart().await?,
            Self::Freeze(_) => service.freeze(),
            Self::Thaw(_) => service.thaw(),
            Self::Behave(_, mode) => service.behave(*mode).await?,
            Self::Haunt(calls) => {
                for _ in 0..*calls {
                    load.haunt().await;
                }
            }
        }
        Ok(())
    }
}
