//! The pages that load balancers, orchestrators and Prometheus read.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ContentType},
    web::{self, Data, ServiceConfig},
};
use serde::Serialize;

use crate::{
    Runtime,
    runtime::{ServiceSnapshot, Snapshot},
};

/// The type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Mounts [`health`] at `/health` and [`metrics()`] at `/metrics`, on an `App` or a scope of one:
/// `App::new().configure(seawall::web::pages(&runtime))`.
pub fn pages(runtime: &Runtime) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let runtime = Data::new(runtime.clone());
    move |config| {
        config
            .app_data(runtime)
            .route("/health", web::get().to(health))
            .route("/metrics", web::get().to(metrics));
    }
}

/// 200 while calls are taken and 503 from the moment on that the runtime drains; either way, how all services are.
///
/// A downstream that is down does not make its callers unhealthy: to restart or drop them would not bring it back, and
/// they have fallbacks to serve. The page says how it is, for people. Where it runs and why it failed it does not say.
///
/// As a handler of your own route it wants the [`Runtime`] as `Data`.
pub async fn health(runtime: Data<Runtime>) -> HttpResponse {
    let snapshot = runtime.snapshot();
    let status = if runtime.is_running() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Health::of(&snapshot))
}

/// [`Runtime::metrics`], as Prometheus wants them.
///
/// As a handler of your own route it wants the [`Runtime`] as `Data`.
pub async fn metrics(runtime: Data<Runtime>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(ContentType(PROMETHEUS.parse().expect("it is a media type")))
        .body(runtime.metrics())
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    services: Vec<Service<'a>>,
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    kind: &'static str,
    /// `up`, or `failed`: its restarts were too many, and slow probes go on.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'static str>,
    in_flight: u32,
}

impl<'a> Health<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        Self { status: snapshot.phase, services: snapshot.services.iter().map(Service::of).collect() }
    }
}

impl<'a> Service<'a> {
    fn of(service: &'a ServiceSnapshot) -> Self {
        Self {
            name: &service.name,
            kind: service.kind,
            state: if service.up { "up" } else { "failed" },
            breaker: service.breaker.map(|breaker| breaker.state.word()),
            in_flight: service.bulkhead.map_or(0, |bulkhead| bulkhead.in_flight),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, http::header::CONTENT_TYPE, test};

    use super::*;

    const SETTINGS: &str = "[services.s3]\nkind = \"func\"";

    #[actix_web::test]
    async fn health_is_about_this_process() {
        let runtime =
            Runtime::builder().parse(SETTINGS).unwrap().current_thread().start().await.expect("starts");
        let app = test::init_service(App::new().service(web::scope("/ops").configure(pages(&runtime)))).await;
        let get = |path| test::call_service(&app, test::TestRequest::get().uri(path).to_request());
        let response = get("/ops/health").await;
        assert_eq!(response.status(), 200);
        let body = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
        assert!(
            body.starts_with(r#"{"status":"running","services":[{"name":"s3","kind":"func","state":"up""#),
            "{body}"
        );
        runtime.drain().await;
        assert_eq!(get("/ops/health").await.status(), 503);
    }

    #[actix_web::test]
    async fn metrics_are_in_the_format_that_they_claim() {
        let runtime =
            Runtime::builder().parse(SETTINGS).unwrap().current_thread().start().await.expect("starts");
        let app = test::init_service(App::new().configure(pages(&runtime))).await;
        let response = test::call_service(&app, test::TestRequest::get().uri("/metrics").to_request()).await;
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), PROMETHEUS);
        let body = test::read_body(response).await;
        assert!(body.starts_with(b"# HELP seawall_") || body.starts_with(b"# TYPE seawall_"), "{body:?}");
        runtime.drain().await;
    }
}
