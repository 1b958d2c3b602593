//! The three services behind the shop: each a process, so that what happens to it is what happens to processes.

use std::{
    env,
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::parent_id,
    process::{self, Command},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, web};
use seawall_testkit::Process;
use tokio::time::{interval, sleep, timeout};

/// Their names, and how long a reply takes.
pub(crate) const SERVICES: [(&str, Duration); 3] = [
    ("users", Duration::from_millis(2)),
    ("prices", Duration::from_millis(4)),
    ("reviews", Duration::from_millis(6)),
];

/// How long a reply of a slow service takes.
const SLOW: Duration = Duration::from_millis(800);

/// How long a service that is started again waits for its port.
const PORT_WAIT: Duration = Duration::from_secs(5);

/// How a service treats its requests.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Well,
    Slow,
    Failing,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Well, Self::Slow, Self::Failing];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Slow => "slow",
            Self::Failing => "failing",
        }
    }
}

/// One service, as the storefront holds it. Dropping it ends its process, frozen or not.
pub(crate) struct Downstream {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    process: Process,
}

impl Downstream {
    /// Starts one on a free port.
    pub(crate) async fn start(name: &'static str) -> io::Result<Self> {
        let process = spawn(name, 0)?;
        let line = process.wait_for_line("listening on ").await;
        let port = line.rsplit(':').next().and_then(|port| port.parse().ok());
        let port =
            port.ok_or_else(|| io::Error::other(format!("{name} said {line:?} in place of its port")))?;
        Ok(Self { name, port, process })
    }

    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        self.process = spawn(self.name, self.port)?;
        self.process.wait_for_line("listening on ").await;
        Ok(())
    }

    pub(crate) fn freeze(&self) {
        self.process.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.process.thaw();
    }

    /// Tells it how to treat its requests.
    pub(crate) async fn behave(&self, mode: Mode) -> Result<(), Box<dyn Error>> {
        let url = format!("http://127.0.0.1:{}/mode/{}", self.port, mode.word());
        awc::Client::new().post(url).send().await?;
        Ok(())
    }
}

fn spawn(name: &str, port: u16) -> io::Result<Process> {
    let mut command = Command::new(env::current_exe()?);
    Ok(Process::spawn(command.args(["downstream", name, &port.to_string()])))
}

/// Is the service `name`, until its process is ended.
pub(crate) fn serve(name: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let Some((_, takes)) = SERVICES.iter().find(|(known, _)| *known == name) else {
        return Err(format!("there is no service {name:?}").into());
    };
    let (name, takes) = (name.to_owned(), *takes);
    // Before anybody knows that it is there: a storefront that is killed right after is still its parent now.
    let parent = parent_id();
    actix_web::rt::System::new().block_on(async move {
        let listener =
            timeout(PORT_WAIT, listen(port)).await.map_err(|_| format!("port {port} is taken"))??;
        crate::table::say(format_args!("listening on {}", listener.local_addr()?));
        actix_web::rt::spawn(end_with(parent));
        let service = web::Data::new(Service { mode: AtomicU8::new(Mode::Well as u8), takes });
        let path = format!("/{name}/{{id}}");
        HttpServer::new(move || {
            App::new()
                .app_data(service.clone())
                .route(&path, web::get().to(reply))
                .route("/mode/{mode}", web::post().to(behave))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run()
        .await?;
        Ok(())
    })
}

/// The port may still be in use for a moment, by a connection that went out from it.
async fn listen(port: u16) -> io::Result<TcpListener> {
    loop {
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(Duration::from_millis(50)).await,
            bound => return bound,
        }
    }
}

/// A storefront that was killed cannot end its services; so they look after it.
async fn end_with(parent: u32) {
    let mut looks = interval(Duration::from_millis(250));
    while parent_id() == parent {
        looks.tick().await;
    }
    process::exit(0);
}

struct Service {
    mode: AtomicU8,
    takes: Duration,
}

impl Service {
    fn mode(&self) -> Mode {
        let mode = self.mode.load(Ordering::Relaxed);
        Mode::ALL.into_iter().find(|known| *known as u8 == mode).unwrap_or(Mode::Well)
    }
}

async fn reply(
    service: web::Data<Service>,
    id: web::Path<u64>,
    request: actix_web::HttpRequest,
) -> HttpResponse {
    let mode = service.mode();
    sleep(if mode == Mode::Slow { SLOW } else { service.takes }).await;
    if mode == Mode::Failing {
        return HttpResponse::InternalServerError().finish();
    }
    let id = id.into_inner();
    let json = match request.path().split('/').nth(1) {
        Some("users") => format!(r#"{{"id":{id},"name":"user {id}"}}"#),
        Some("prices") => format!(r#"{{"cents":{}}}"#, 100 + id * 37 % 900),
        _ => format!(r#"[{{"stars":{},"text":"as described"}}]"#, 1 + id % 5),
    };
    HttpResponse::Ok().content_type("application/json").body(json)
}

async fn behave(service: web::Data<Service>, word: web::Path<String>) -> HttpResponse {
    match Mode::ALL.into_iter().find(|mode| mode.word() == word.as_str()) {
        Some(mode) => {
            service.mode.store(mode as u8, Ordering::Relaxed);
            HttpResponse::NoContent().finish()
        }
        None => HttpResponse::NotFound().finish(),
    }
}
