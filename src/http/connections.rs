//! Closes connections that have no request under way for too long.
//!
//! actix bounds the time for the head of a connection's first request, and of no later one; and where a chunked body was
//! not read to its end it answers and then keeps the connection for ever. Anybody could hold connections that way, since
//! both come before the signature. Here one rule holds for every connection, whatever state it is in.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use std::any::Any;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Requests under way on a connection.
struct UnderWay(Arc<watch::Sender<usize>>);

/// For `HttpServer::on_connect`: from now on the connection is closed when it has no request under way for `patience`.
pub(super) fn watch(patience: Duration) -> impl Fn(&dyn Any, &mut Extensions) + Send + Clone + 'static {
    move |connection, data| {
        let socket = connection
            .downcast_ref::<TcpStream>()
            .and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
        let Some(socket) = socket else {
            return;
        };
        let (sender, receiver) = watch::channel(0);
        data.insert(UnderWay(Arc::new(sender)));
        drop(tokio::spawn(close_when_idle(socket.into(), receiver, patience)));
    }
}

/// Ends with the connection: that drops the sender.
async fn close_when_idle(socket: std::net::TcpStream, mut under_way: watch::Receiver<usize>, patience: Duration) {
    loop {
        let is_idle = *under_way.borrow_and_update() == 0;
        let patience = if is_idle { patience } else { Duration::MAX };
        match tokio::time::timeout(patience, under_way.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                // It fails for a socket that is closed already.
                drop(socket.shutdown(Shutdown::Both));
                return;
            }
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
