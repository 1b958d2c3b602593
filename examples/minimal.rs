//! The smallest service: one downstream, one page, and an end in good order.
//!
//! ```sh
//! SEAWALL__SERVICES__USERS__URL=http://127.0.0.1:7001 cargo run --example minimal
//! ```
//!
//! It prints where it listens. `/users/{id}` asks the downstream for the same path; `/health` and `/metrics` tell how it
//! is. Ctrl-C ends it once the requests under way have been answered.

use std::{error::Error, io::Write as _};

use actix_web::{
    App, HttpServer, get,
    web::{Data, Path},
};
use seawall::{CallError, Runtime, Service, Services, web};
use seawall_http::{Http, HttpCall};

const SETTINGS: &str = r#"
[services.users]
kind = "http"
url = "http://127.0.0.1:7001"
"#;

#[derive(HttpCall)]
#[http(get = "/users/{id}", reply = String)]
struct GetUser {
    id: u64,
}

#[derive(Services)]
struct Downstreams {
    #[service(calls(GetUser))]
    users: Service<Http>,
}

#[get("/users/{id}")]
async fn user(to: Data<Downstreams>, id: Path<u64>) -> Result<String, CallError> {
    Ok(to.users.send(GetUser { id: id.into_inner() }).await?.into_inner())
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime =
        Runtime::builder().kind::<Http>().services::<Downstreams>().parse(SETTINGS)?.start().await?;
    let (downstreams, watched) = (Data::new(runtime.bind::<Downstreams>()?), runtime.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(downstreams.clone())
            .wrap(web::RequestContext::new())
            .service(user)
            .configure(web::pages(&watched))
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")?;
    for address in server.addrs() {
        writeln!(std::io::stdout(), "listening on http://{address}")?;
    }
    let drained = web::serve(server.run(), runtime).await?;
    writeln!(std::io::stdout(), "drained, {} calls cut off", drained.cut_off)?;
    Ok(())
}
