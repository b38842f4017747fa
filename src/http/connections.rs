//! Connections: how many there may be, and how long one lives that has no request under way.
//!
//! actix bounds the time for the head of a connection's first request, and of no later one; and where a chunked body was
//! not read to its end it answers and then keeps the connection for ever. Anybody could hold connections that way, since
//! both come before the signature. Here one rule holds for every connection, whatever state it is in: without a request
//! under way it is dropped after a while. Each costs one descriptor, which is why actix's own `HttpServer`, which lends a
//! connection to nobody, is not used.

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

/// How long a sender may go on after it was refused, to hear the answer instead of a broken connection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests under way may take after a stop.
const SHUTDOWN_TIMEOUT_S: u64 = 10;
/// More threads than actix takes.
const MAX_WORKERS: usize = 512;

/// What connections of one listener may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At the same time.
    pub(super) connections: usize,
    /// Longest time without a request under way, and for the head of a request.
    pub(super) idle_timeout: Duration,
    /// Threads.
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
    // The bound is one of each worker. There is always room for one.
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

/// The service of each connection: HTTP, for as long as it is not idle for too long.
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
    // actix makes the data of a connection while its service is called, on this thread, and takes it along.
    let newest: Rc<Cell<Option<watch::Receiver<usize>>>> = Rc::default();
    let made = newest.clone();
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .client_request_timeout(idle_timeout)
        .client_disconnect_timeout(LINGER_TIMEOUT)
        .on_connect_ext(move |_: &T, data| {
            let (sender, receiver) = watch::channel(0);
            data.insert(UnderWay(Arc::new(sender)));
            made.set(Some(receiver));
        })
        .finish(map_config(
            app.into_factory().map_err(|error| error.error_response()),
            |_| AppConfig::default(),
        ));
    apply_fn_factory(http, move |stream: T, http: &_| {
        let peer = peer(&stream);
        let connection = Service::call(http, (stream, Protocol::Http1, peer));
        let under_way = newest.take();
        async move {
            tokio::select! {
                ended = connection => ended,
                () = idle_too_long(under_way, idle_timeout) => Ok(()),
            }
        }
    })
}

/// Requests under way on a connection.
struct UnderWay(Arc<watch::Sender<usize>>);

/// Returns once no request was under way for that long.
async fn idle_too_long(under_way: Option<watch::Receiver<usize>>, idle_timeout: Duration) {
    let Some(mut under_way) = under_way else {
        return tokio::time::sleep(idle_timeout).await;
    };
    loop {
        let is_idle = *under_way.borrow_and_update() == 0;
        let patience = if is_idle { idle_timeout } else { Duration::MAX };
        match tokio::time::timeout(patience, under_way.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return tokio::time::sleep(idle_timeout).await,
            Err(_) => return,
        }
    }
}

/// Middleware that counts a request as under way until it is answered or given up.
pub(super) async fn count<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let under_way = request.conn_data::<UnderWay>().map(|under_way| under_way.0.clone());
    let _counted = under_way.map(Counted::new);
    next.call(request).await
}

struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(under_way: Arc<watch::Sender<usize>>) -> Self {
        under_way.send_modify(|count| *count += 1);
        Self(under_way)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
