//! Connections: their number, and the lifetime of one without a request in flight.
//!
//! actix limits the time for the head of the first request of a connection only. If a chunked body was not read to its
//! end, actix answers and then keeps the connection for ever. Any client could hold connections that way, since both
//! come before the signature. Here one rule holds for every connection in every state: without a request in flight it
//! is dropped after a timeout. Each connection costs one descriptor. actix's own `HttpServer` does not give access to
//! its connections, so it is not used.

use super::listener::Listener;
use actix_http::{HttpService, Protocol, Request};
use actix_server::GracefulShutdownSignal;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::{TcpStream, UnixStream};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// The time for which the rest of a rejected request is accepted, so that the sender reads the response instead of a
/// reset.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The time that requests in flight may take after a stop.
const SHUTDOWN_TIMEOUT_S: u64 = 10;
/// More threads than actix accepts.
const MAX_WORKERS: usize = 512;

/// The bounds of the connections of one listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most concurrent connections.
    pub(super) connections: usize,
    /// The timeout without a request in flight, and for the head of a request.
    pub(super) idle_timeout: Duration,
    /// The number of threads.
    pub(super) workers: usize,
}

/// Serves an app on a listener.
pub(super) fn serve<F, I, S, B>(listener: Listener, bounds: Bounds, app: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Error = Error, Response = ServiceResponse<B>> + 'static,
    S::InitError: fmt::Debug,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let workers = bounds.workers.clamp(1, MAX_WORKERS);
    // actix applies the bound to each worker, which needs at least one.
    let of_each = (bounds.connections / workers).max(1);
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(of_each)
        .shutdown_timeout(SHUTDOWN_TIMEOUT_S)
        .disable_signals();
    let (idle, stopping) = (bounds.idle_timeout, builder.graceful_shutdown_signal());
    let builder = match listener {
        Listener::Tcp(listener) => builder.listen("tcp", listener, move || {
            connections(app(), idle, stopping.clone(), |stream: &TcpStream| {
                stream.peer_addr().ok()
            })
        }),
        Listener::Unix(listener) => builder.listen_uds("unix", listener, move || {
            connections(app(), idle, stopping.clone(), |_: &UnixStream| None)
        }),
    };
    Ok(builder?.run())
}

/// Creates the service of each connection: HTTP, until the connection is idle for too long.
fn connections<T, I, S, B>(
    app: I,
    idle_timeout: Duration,
    stopping: GracefulShutdownSignal,
    peer: impl Fn(&T) -> Option<SocketAddr> + Clone + 'static,
) -> impl ServiceFactory<T, Config = (), Response = (), Error = actix_http::error::DispatchError, InitError = ()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Error = Error, Response = ServiceResponse<B>> + 'static,
    S::InitError: fmt::Debug,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    // actix creates the data of a connection while its service is called, on this thread, and moves it.
    let newest: Rc<Cell<Option<watch::Receiver<usize>>>> = Rc::default();
    let made = newest.clone();
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .client_request_timeout(idle_timeout)
        .client_disconnect_timeout(DRAIN_TIMEOUT)
        .on_connect_ext(move |_: &T, data| {
            let (sender, receiver) = watch::channel(0);
            data.insert(InFlight(Arc::new(sender)));
            made.set(Some(receiver));
        })
        .finish(map_config(
            app.into_factory().map_err(|error| error.error_response()),
            |_| AppConfig::default(),
        ));
    apply_fn_factory(http, move |stream: T, http: &_| {
        let peer = peer(&stream);
        let connection = Service::call(http, (stream, Protocol::Http1, peer));
        let in_flight = newest.take();
        async move {
            tokio::select! {
                ended = connection => ended,
                () = idle_too_long(in_flight, idle_timeout) => Ok(()),
            }
        }
    })
}

/// The number of requests in flight on a connection.
struct InFlight(Arc<watch::Sender<usize>>);

/// Returns when no request was in flight for `idle_timeout`.
async fn idle_too_long(in_flight: Option<watch::Receiver<usize>>, idle_timeout: Duration) {
    let Some(mut in_flight) = in_flight else {
        return tokio::time::sleep(idle_timeout).await;
    };
    loop {
        let is_idle = *in_flight.borrow_and_update() == 0;
        let timeout = if is_idle { idle_timeout } else { Duration::MAX };
        match tokio::time::timeout(timeout, in_flight.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return tokio::time::sleep(idle_timeout).await,
            Err(_) => return,
        }
    }
}

/// Middleware that counts a request as in flight until it is answered or cancelled.
pub(super) async fn count<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let in_flight = request.conn_data::<InFlight>().map(|in_flight| in_flight.0.clone());
    let _counted = in_flight.map(Counted::new);
    next.call(request).await
}

struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(in_flight: Arc<watch::Sender<usize>>) -> Self {
        in_flight.send_modify(|count| *count += 1);
        Self(in_flight)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
