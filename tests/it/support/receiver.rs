//! A receiver of alerts that keeps what it is sent, and answers as it is told to.

use super::gate::PATIENCE;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// By name, in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// What it was answered with.
    pub(crate) status: u16,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) fn was_taken(&self) -> bool {
        self.status == 200
    }
}

/// Listens for as long as it lives.
pub(crate) struct Receiver {
    pub(crate) url: String,
    status: Arc<AtomicU16>,
    received: watch::Receiver<Vec<Received>>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    pub(crate) async fn start_at(address: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let status = Arc::new(AtomicU16::new(200));
        let (sender, received) = watch::channel(Vec::new());
        let (sender, answer) = (Arc::new(sender), status.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (sender, answer) = (sender.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut connection = BufReader::new(connection);
                    while let Some(mut request) = read(&mut connection).await {
                        request.status = answer.load(Ordering::SeqCst);
                        let text = reply(request.status);
                        sender.send_modify(|all| all.push(request));
                        if connection.get_mut().write_all(text.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            url,
            status,
            received,
            accepting,
        }
    }

    /// From now on.
    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// The first request that is as wanted, once it has come.
    pub(crate) async fn until(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        let mut received = self.received.clone();
        let find = |all: &[Received]| all.iter().find(|request| wanted(request)).cloned();
        let came = timeout(PATIENCE, received.wait_for(|all| find(all).is_some())).await;
        let found = came.ok().and_then(|all| find(&all.ok()?));
        found.unwrap_or_else(|| panic!("it did not come; what did: {:#?}", self.all()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn reply(status: u16) -> String {
    // A client that follows the redirect fails.
    let location = if status == 302 { "Location: /elsewhere\r\n" } else { "" };
    format!("HTTP/1.1 {status} Whatever\r\n{location}Content-Length: 0\r\n\r\n")
}

async fn read(connection: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().expect("a number")];
    connection.read_exact(&mut body).await.ok()?;
    Some(Received {
        path,
        headers,
        body: String::from_utf8(body).expect("text"),
        status: 0,
    })
}
