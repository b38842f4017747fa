//! Binds the listeners and mounts the handlers.

use super::admin::{self, AdminState};
use super::alerts;
use super::connections;
use super::health::{self, Health};
use super::metrics;
use super::problem::Problem;
use super::runners;
use super::webhook::{self, Webhook};
use crate::app::Ingest;
use actix_web::dev::ServerHandle;
use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Connections one HTTP worker holds.
const CONNECTIONS: usize = 4096;
/// How long a sender may go on after it was refused, to hear the answer instead of a broken connection.
const LINGER: Duration = Duration::from_secs(5);
/// How long requests under way may take after a stop.
const SHUTDOWN_S: u64 = 10;

/// What a sender may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body.
    pub body_limit_bytes: usize,
    /// Longest time for headers, and again for the body.
    pub read_timeout: Duration,
    /// HTTP workers; none for one a core.
    pub workers: Option<usize>,
}

/// Where the admin API listens.
#[derive(Debug, Clone)]
pub enum AdminBind {
    /// An address.
    Tcp(SocketAddr),
    /// A unix socket, mode 0600.
    Unix(PathBuf),
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}")]
pub struct ListenError {
    place: String,
    #[source]
    source: io::Error,
}

/// A listener at work.
pub struct Running {
    address: Option<SocketAddr>,
    handle: ServerHandle,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Running {
    /// The bound address; none for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Takes no new connection, lets requests under way end, and returns.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        // The task ends with the server; it has nothing more to say.
        drop(self.task.await);
    }
}

/// Opens the public listener.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve_public(
    listen: SocketAddr,
    limits: Limits,
    ingest: Arc<Ingest>,
    health: Arc<Health>,
) -> Result<Running, ListenError> {
    let failed = |source| ListenError {
        place: listen.to_string(),
        source,
    };
    let state = Data::new(Webhook::new(ingest, limits.body_limit_bytes, limits.read_timeout));
    let health = Data::from(health);
    let listener = TcpListener::bind(listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(connections::count))
            .app_data(state.clone())
            .app_data(health.clone())
            .service(post("/webhooks/github").route(web::post().to(webhook::receive)))
            .service(get("/healthz").route(web::get().to(health::healthz)))
            .service(get("/readyz").route(web::get().to(health::readyz)))
            .default_service(web::to(not_found))
    })
    .workers(limits.workers.unwrap_or_else(cores))
    .max_connections(CONNECTIONS)
    .client_request_timeout(limits.read_timeout)
    .client_disconnect_timeout(LINGER)
    .on_connect(connections::watch(limits.read_timeout))
    .shutdown_timeout(SHUTDOWN_S)
    .disable_signals()
    .listen(listener)
    .map_err(failed)?
    .run();
    Ok(Running {
        address: Some(address),
        handle: server.handle(),
        task: tokio::spawn(server),
    })
}

/// Opens the admin listener.
///
/// # Errors
/// When the address or socket cannot be bound.
pub fn serve_admin(bind: &AdminBind, state: AdminState, health: Arc<Health>) -> Result<Running, ListenError> {
    let place = match bind {
        AdminBind::Tcp(address) => address.to_string(),
        AdminBind::Unix(path) => path.display().to_string(),
    };
    let failed = |source| ListenError { place, source };
    let health = Data::from(health);
    let (listener, state) = match open(bind, state) {
        Ok(opened) => opened,
        Err(error) => return Err(failed(error)),
    };
    let address = match &listener {
        Listener::Tcp(listener) => listener.local_addr().ok(),
        Listener::Unix(_) => None,
    };
    let state = Data::new(state);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(health.clone())
            .service(get("/healthz").route(web::get().to(health::healthz)))
            .service(get("/readyz").route(web::get().to(health::readyz)))
            .service(
                get("/metrics")
                    .route(web::get().to(metrics::scrape))
                    .wrap(from_fn(admin::authorize)),
            )
            .service(
                web::scope("/api/v1")
                    .wrap(from_fn(admin::authorize))
                    .service(get("/status").route(web::get().to(admin::status)))
                    .service(get("/deliveries").route(web::get().to(admin::deliveries)))
                    .service(get("/deliveries/{guid}").route(web::get().to(admin::delivery)))
                    .service(get("/jobs/{id}").route(web::get().to(admin::job)))
                    .service(get("/runners").route(web::get().to(runners::runners)))
                    .service(get("/alerts").route(web::get().to(alerts::list)))
                    .service(post("/alerts/{id}/ack").route(web::post().to(alerts::ack)))
                    .service(post("/alerts/{id}/resolve").route(web::post().to(alerts::resolve)))
                    .default_service(web::to(not_found)),
            )
            .default_service(web::to(not_found))
    })
    .workers(1)
    .shutdown_timeout(SHUTDOWN_S)
    .disable_signals();
    let server = match listener {
        Listener::Tcp(listener) => server.listen(listener),
        Listener::Unix(listener) => server.listen_uds(listener),
    };
    let server = match server {
        Ok(server) => server.run(),
        Err(error) => return Err(failed(error)),
    };
    Ok(Running {
        address,
        handle: server.handle(),
        task: tokio::spawn(server),
    })
}

enum Listener {
    Tcp(TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

fn open(bind: &AdminBind, mut state: AdminState) -> io::Result<(Listener, AdminState)> {
    match bind {
        AdminBind::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            let bound = listener.local_addr()?;
            state.hosts.push(bound.to_string());
            if bound.ip().is_loopback() {
                state.hosts.push(format!("localhost:{}", bound.port()));
            }
            Ok((Listener::Tcp(listener), state))
        }
        AdminBind::Unix(path) => {
            use std::os::unix::fs::PermissionsExt;
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process listens there",
                ));
            }
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = std::os::unix::net::UnixListener::bind(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok((Listener::Unix(listener), state))
        }
    }
}

fn get(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(|| other_method("GET")))
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
