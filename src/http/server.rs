//! Mounts the handlers on the listeners.

use super::admin::{self, AdminState};
use super::alerts;
use super::connections::{self, Bounds};
use super::health::{self, Health};
use super::incidents;
use super::listener::{Bind, ListenError, Listener};
use super::metrics::{self, Metrics, Scrape};
use super::problem::Problem;
use super::runners;
use super::webhook::{self, Webhook};
use crate::app::Ingest;
use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, Route, guard};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body.
    pub body_limit_bytes: usize,
    /// The timeout for the headers, and again for the body.
    pub read_timeout: Duration,
    /// The number of HTTP workers; none for one per core.
    pub workers: Option<usize>,
    /// The most connections.
    pub connections: usize,
}

/// A running listener.
pub struct Running {
    address: Option<SocketAddr>,
    handle: ServerHandle,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Running {
    fn of(server: Server, address: Option<SocketAddr>) -> Self {
        Self {
            address,
            handle: server.handle(),
            task: tokio::spawn(server),
        }
    }

    /// Returns the bound address; none for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Accepts no new connection, waits for the requests in flight, and returns.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        // The task ends with the server and its result is known.
        drop(self.task.await);
    }
}

/// Opens the public listener.
///
/// # Errors
/// Fails if the address cannot be bound.
pub fn serve_public(
    bind: Bind,
    limits: Limits,
    ingest: Arc<Ingest>,
    health: Arc<Health>,
) -> Result<Running, ListenError> {
    let place = bind.place();
    let failed = |source| ListenError::new(&place, source);
    let state = Data::new(Webhook::new(ingest, limits.body_limit_bytes, limits.read_timeout));
    let health = Data::from(health);
    let listener = bind.open().map_err(failed)?;
    let address = listener.address();
    let bounds = Bounds {
        connections: limits.connections,
        idle_timeout: limits.read_timeout,
        workers: limits.workers.unwrap_or_else(cores),
    };
    let server = connections::serve(listener, bounds, move || {
        App::new()
            .wrap(from_fn(connections::count))
            .app_data(state.clone())
            .app_data(health.clone())
            .service(post("/webhooks/github").route(web::post().to(webhook::receive)))
            .service(get("/healthz").route(read().to(health::healthz)))
            .service(get("/readyz").route(read().to(health::readyz)))
            .default_service(web::to(not_found))
    });
    Ok(Running::of(server.map_err(failed)?, address))
}

/// Opens the admin listener.
///
/// # Errors
/// Fails if the address or the socket cannot be bound.
pub fn serve_admin(
    bind: Bind,
    limits: Limits,
    mut state: AdminState,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) -> Result<Running, ListenError> {
    let place = bind.place();
    let failed = |source| ListenError::new(&place, source);
    let health = Data::from(health);
    let listener = bind.open().map_err(failed)?;
    state.hosts = hosts(&listener, state.hosts);
    let scrape = Data::new(Scrape {
        ctx: Arc::clone(&state.ctx),
        metrics,
    });
    let state = Data::new(state);
    let address = listener.address();
    let bounds = Bounds {
        connections: limits.connections,
        idle_timeout: limits.read_timeout,
        workers: 1,
    };
    let server = connections::serve(listener, bounds, move || {
        App::new()
            .wrap(from_fn(connections::count))
            .app_data(state.clone())
            .app_data(scrape.clone())
            .app_data(health.clone())
            .service(get("/healthz").route(read().to(health::healthz)))
            .service(get("/readyz").route(read().to(health::readyz)))
            .service(
                get("/metrics")
                    .route(read().to(metrics::scrape))
                    .wrap(from_fn(admin::authorize)),
            )
            .service(
                web::scope("/api/v1")
                    .wrap(from_fn(admin::authorize))
                    .service(get("/status").route(read().to(admin::status)))
                    .service(get("/deliveries").route(read().to(admin::deliveries)))
                    .service(get("/deliveries/{guid}").route(read().to(admin::delivery)))
                    .service(get("/jobs/{id}").route(read().to(admin::job)))
                    .service(get("/runners").route(read().to(runners::runners)))
                    .service(get("/alerts").route(read().to(alerts::list)))
                    .service(get("/incidents").route(read().to(incidents::list)))
                    .service(post("/alerts/{id}/ack").route(web::post().to(alerts::ack)))
                    .service(post("/alerts/{id}/resolve").route(web::post().to(alerts::resolve)))
                    .default_service(web::to(not_found)),
            )
            .default_service(web::to(not_found))
    });
    Ok(Running::of(server.map_err(failed)?, address))
}

/// Returns the accepted `Host` values of the admin listener. A unix socket has none, because no web page reaches it.
fn hosts(listener: &Listener, configured: Vec<String>) -> Vec<String> {
    let Some(bound) = listener.address() else {
        return Vec::new();
    };
    let mut hosts = configured;
    hosts.push(bound.to_string());
    let port = bound.port();
    if bound.ip().is_loopback() || bound.ip().is_unspecified() {
        hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
    }
    hosts
}

/// Returns a resource for reading. HEAD is answered like GET, without the body.
fn get(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(|| other_method("GET, HEAD")))
}

fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

fn post(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(|| other_method("POST")))
}

async fn other_method(allowed: &'static str) -> HttpResponse {
    let problem = Problem::method();
    problem.builder().insert_header((ALLOW, allowed)).body(problem.body())
}

async fn not_found() -> HttpResponse {
    Problem::not_found().answer()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
