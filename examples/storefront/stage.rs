//! The storefront: starts everything, plays the script, ends everything.

use std::{error::Error, io, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle, rt, web::Data};
use seawall::{
    Runtime,
    web::{RequestContext, pages},
};
use seawall_http::Http;
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    time::interval,
};

use crate::{
    downstreams::{Downstream, SERVICES},
    events,
    load::Load,
    options::Length,
    script,
    shop::{self, Downstreams},
    table::Screen,
};

/// Where the settings are.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// Between looks at the runtime, for the table.
const REFRESH: Duration = Duration::from_millis(500);

/// Plays it all; every way out of it ends the services' processes.
pub(crate) fn play(length: Length) -> Result<(), Box<dyn Error>> {
    rt::System::new().block_on(run(length))
}

async fn run(length: Length) -> Result<(), Box<dyn Error>> {
    // Listened to from the start: a signal at any time ends this in good order.
    let mut signals = Signals::listen()?;
    let mut services = Vec::new();
    for (name, _) in SERVICES {
        services.push(Downstream::start(name).await?);
    }
    let runtime = start_runtime(&services).await?;
    let (shop, server) = open_shop(&runtime)?;
    let screen = Screen::new();
    announce(&screen, &shop, &services);
    let load = Load::start(shop);
    let played = {
        let script = async {
            match length {
                Length::Script => script::play(script::LENGTH, &mut services, &load, &screen).await,
                Length::For(length) => play_for(length, &mut services, &load, &screen).await,
                Length::Serve => {
                    script::play(script::LENGTH, &mut services, &load, &screen).await?;
                    screen.event("script", "over; everything goes on until Ctrl-C");
                    announce(&screen, &load.shop, &services);
                    std::future::pending().await
                }
            }
        };
        select! {
            played = script => played,
            () = show(&runtime, &load, &screen) => Ok(()),
            () = signals.next() => Ok(()),
        }
    };
    let end = async {
        let tally = load.end().await;
        server.stop(true).await;
        screen.table(&runtime.snapshot(), &tally);
        runtime.drain().await;
        screen.summary(&tally);
    };
    select! {
        () = end => played,
        () = signals.next() => Err("interrupted before the end".into()),
    }
}

async fn start_runtime(services: &[Downstream]) -> Result<Runtime, Box<dyn Error>> {
    let mut builder = Runtime::builder().kind::<Http>().services::<Downstreams>();
    for service in services {
        let name = format!("SEAWALL__SERVICES__{}__URL", service.name.to_uppercase());
        builder = builder.variable(name, format!("http://127.0.0.1:{}", service.port));
    }
    Ok(builder.load(CONFIG)?.start().await?)
}

/// Opens the shop on a free port.
fn open_shop(runtime: &Runtime) -> Result<(String, ServerHandle), Box<dyn Error>> {
    let downstreams = Data::new(runtime.bind::<Downstreams>()?);
    let runtime = runtime.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(downstreams.clone())
            .wrap(RequestContext::new())
            .configure(shop::routes)
            .configure(pages(&runtime))
    })
    .workers(2)
    .disable_signals()
    .bind("127.0.0.1:0")?;
    let address = server.addrs().first().copied().ok_or("the shop has no address")?;
    let server = server.run();
    let handle = server.handle();
    rt::spawn(server);
    Ok((format!("http://{address}"), handle))
}

fn announce(screen: &Screen, shop: &str, services: &[Downstream]) {
    for path in ["/users/1/products/7", "/health", "/metrics"] {
        screen.event("try", &format!("curl {shop}{path}"));
    }
    for service in services {
        let url = format!("http://127.0.0.1:{}/mode/failing", service.port);
        screen.event("break", &format!("curl -X POST {url}   ({}; also slow, well)", service.name));
    }
}

/// Plays the script once in at most its own length, or as often as it fits.
async fn play_for(
    length: Duration,
    services: &mut [Downstream],
    load: &Load,
    screen: &Screen,
) -> Result<(), Box<dyn Error>> {
    let times = (length.as_secs_f64() / script::LENGTH.as_secs_f64()).floor().max(1.0);
    for _ in 0..times as u64 {
        script::play(length.div_f64(times), services, load, screen).await?;
    }
    Ok(())
}

/// Shows what happens, as long as anything does.
async fn show(runtime: &Runtime, load: &Load, screen: &Screen) {
    let (mut listener, panics) = (runtime.events(), events::catch_panics());
    let mut looks = interval(REFRESH);
    loop {
        select! {
            event = listener.next() => {
                let Some(event) = event else { return };
                if let Some(text) = events::describe(&event.what) {
                    screen.event(event.service.as_deref().unwrap_or("seawall"), &text);
                }
            }
            _ = looks.tick() => {
                panics.try_iter().for_each(|text| screen.event("reviews", &text));
                screen.table(&runtime.snapshot(), &load.tally);
            }
        }
    }
}

/// The signals that end the storefront. Its services' processes do not outlive it, so it takes care of them itself.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
