//! The HTTP server, on loopback only. It passes requests to the model and executes its exchanges.

use super::api::Exchange;
use super::call::{Reply, Request};
use super::simulation::Simulation;
use crate::ports::Clock;
use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, IF_NONE_MATCH};
use actix_web::web::{Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CONTROL: &str = "/_simulator/";
const RUNNER: &str = "/_runner/";
/// The path prefix of a GitHub Enterprise Server.
const ENTERPRISE: &str = "/api/v3";
/// GitHub's payloads have at most 25 MB.
const BODY_LIMIT_BYTES: usize = 32 << 20;

/// A running simulator, which stops when it is dropped.
pub struct Simulator {
    url: String,
    handle: ServerHandle,
    world: Data<World>,
}

/// The reason why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is reachable from other machines.
    #[error("cannot listen on {0}: the simulator has no authentication and listens on loopback only")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
}

impl Simulator {
    /// Starts a simulator with an empty world; port 0 selects a free port. It must be called inside a multi-thread
    /// tokio runtime.
    ///
    /// # Errors
    /// Returns a [`StartError`].
    pub fn start(clock: Arc<dyn Clock>, listen: SocketAddr) -> Result<Self, StartError> {
        if !listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(listen));
        }
        let failed = |e| StartError::Listen(listen, e);
        let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let world = Data::new(World::new(Simulation::new(clock, url.clone())));
        let served = world.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(served.clone())
                .app_data(PayloadConfig::new(BODY_LIMIT_BYTES))
                .default_service(web::to(serve))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(0)
        .listen(listener)
        .map_err(failed)?
        .run();
        let handle = server.handle();
        drop(tokio::spawn(server));
        Ok(Self { url, handle, world })
    }

    /// Returns the URL: `http://ADDRESS:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the simulator: it answers no later request, and closes open connections.
    pub async fn stop(self) {
        self.world.end();
        self.handle.stop(false).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.world.end();
        // The command is sent at once, without waiting for the end.
        drop(self.handle.stop(false));
    }
}

/// The simulation until the stop. A stopped server serves its open connections for a moment, so the end of the simulation
/// is what makes the stop take effect at once.
struct World(Mutex<Option<Simulation>>);

impl World {
    fn new(simulation: Simulation) -> Self {
        Self(Mutex::new(Some(simulation)))
    }

    /// A poisoned lock is ignored: the panic was reported, and the world stays readable.
    fn lock(&self) -> MutexGuard<'_, Option<Simulation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        *self.lock() = None;
    }
}

async fn serve(world: Data<World>, http: HttpRequest, body: Bytes) -> HttpResponse {
    let request = read(&http, &body);
    let Some(exchange) = world.lock().as_mut().map(|simulation| exchange(simulation, &request)) else {
        return hang_up();
    };
    if !exchange.delay.is_zero() {
        tokio::time::sleep(exchange.delay).await;
    }
    match exchange.reply {
        Some(reply) => write(reply),
        None => hang_up(),
    }
}

fn exchange(simulation: &mut Simulation, request: &Request) -> Exchange {
    let reply = if let Some(path) = request.path.strip_prefix(CONTROL) {
        simulation.control(path, request)
    } else if let Some(path) = request.path.strip_prefix(RUNNER) {
        runner(simulation, path)
    } else if let Some(page) = simulation.page(request) {
        page
    } else {
        return simulation.serve(request);
    };
    Exchange {
        delay: Duration::ZERO,
        reply: Some(reply),
    }
}

/// Serves the runner program: `ID/online` returns its job, `ID/offline` disconnects it. A runner that uses `ID/connect`
/// has a job gate: its job waits until `ID/open`, and `ID/look` describes the job. A runner that uses `ID/attach` also
/// has a job gate, and must call `ID/look` every few seconds; otherwise it is considered lost.
fn runner(simulation: &mut Simulation, path: &str) -> Reply {
    let (id, what) = path.split_once('/').unwrap_or_default();
    let answer = id.parse().ok().and_then(|id| match what {
        "online" => simulation.come_online(id, false, false).map(|job| json!({"job": job})),
        "connect" => simulation.come_online(id, true, false).map(|job| json!({"job": job})),
        "attach" => simulation.come_online(id, true, true).map(|job| json!({"job": job})),
        "look" => simulation.state.look_at(id),
        "open" => simulation.state.open_gate(id).map(|()| json!({})),
        "offline" => simulation.state.go_offline(id).map(|()| json!({})),
        _ => None,
    });
    match answer {
        Some(body) => Reply::json(200, &body),
        None => Reply::json(404, &json!({"error": "no such runner"})),
    }
}

fn read(http: &HttpRequest, body: &Bytes) -> Request {
    let header = |name: HeaderName| {
        http.headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let path = http.path();
    Request {
        method: http.method().as_str().to_owned(),
        path: path.strip_prefix(ENTERPRISE).unwrap_or(path).to_owned(),
        query: web::Query::from_query(http.query_string())
            .map(web::Query::into_inner)
            .unwrap_or_default(),
        authorization: header(AUTHORIZATION),
        if_none_match: header(IF_NONE_MATCH),
        body: body.to_vec(),
    }
}

fn write(reply: Reply) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY));
    if reply.body.is_some() {
        response.insert_header((CONTENT_TYPE, "application/json; charset=utf-8"));
    }
    for header in reply.headers {
        response.insert_header(header);
    }
    match reply.body {
        Some(body) => response.body(body),
        None => response.finish(),
    }
}

/// Closes the connection without an answer: a body that fails before its first byte also drops the head.
fn hang_up() -> HttpResponse {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::Other)) });
    HttpResponse::Ok().streaming(Box::pin(broken))
}
