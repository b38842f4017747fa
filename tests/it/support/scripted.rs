//! A GitHub that does as it is told: records every request, and answers, hangs or hangs up as its script says.

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use jitgate::adapters::github::{Credentials, GitHubAdapter, Settings};
use jitgate::config::Proxies;
use jitgate::domain::ids::RepositoryName;
use jitgate::ports::{Clock, Event, Observer};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A request as the server got it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) body: Value,
}

impl Asked {
    /// Method and path, to match on.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// The reaction of the server to a request.
pub(crate) enum Reply {
    Json(u16, Vec<(&'static str, String)>, Value),
    /// A status, a content type where there is one, and a body: what something else than GitHub's API says.
    Page(u16, Option<&'static str>, &'static str),
    /// Never answers.
    Hang,
    /// Closes the connection without a byte.
    HangUp,
    /// Sends a byte now and then, for ever.
    Trickle,
    /// Sends without end, as fast as it can.
    Flood,
    /// Answers with [`run_body`] once the gate lets it through.
    Held(Arc<Crowd>),
}

/// Requests that are held until the gate opens.
pub(crate) struct Crowd {
    /// One permit for each that came.
    pub(crate) arrivals: Semaphore,
    /// One permit for each that may go.
    pub(crate) gate: Semaphore,
}

/// An answer with a status and a body.
pub(crate) fn json(status: u16, body: Value) -> Reply {
    Reply::Json(status, Vec::new(), body)
}

/// An answer with headers.
pub(crate) fn with_headers(status: u16, headers: &[(&'static str, &str)], body: Value) -> Reply {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Reply::Json(status, headers.collect(), body)
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server; stops when dropped.
pub(crate) struct Scripted {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    handle: ServerHandle,
}

impl Scripted {
    /// Starts a server that knows nothing but its script.
    pub(crate) fn bare(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = Arc::clone(&asked);
        let script: Arc<Script> = Arc::new(script);
        let server = HttpServer::new(move || {
            let (log, script) = (Arc::clone(&log), Arc::clone(&script));
            App::new().default_service(web::to(move |request: HttpRequest, body: Bytes| {
                let asked = record(&request, &body);
                log.lock().expect("the log").push(asked.clone());
                answer(script(&asked), request)
            }))
        })
        .on_connect(|connection, data| {
            let stream = connection
                .downcast_ref::<actix_web::rt::net::TcpStream>()
                .expect("a TCP stream");
            let own = stream.as_fd().try_clone_to_owned().expect("a second handle");
            data.insert(Arc::new(TcpStream::from(own)));
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, asked, handle }
    }

    /// Starts a server that also knows installations (one for each owner: 100 plus the length of its name) and mints
    /// tokens named `ghs_first`, `ghs_second`, ... that last an hour by `clock`.
    pub(crate) fn start(clock: &Arc<ManualClock>, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let clock = Arc::clone(clock);
        let minted = AtomicUsize::new(0);
        Self::bare(move |asked| {
            if asked.path.ends_with("/installation") {
                let owner = asked.path.split('/').nth(2).expect("an owner");
                return json(200, json!({"id": 100 + owner.len()}));
            }
            if asked.path.ends_with("/access_tokens") {
                let number = ["first", "second", "third"][minted.fetch_add(1, Ordering::SeqCst)];
                let expires_at = clock.now() + TimeDelta::hours(1);
                return json(201, json!({"token": format!("ghs_{number}"), "expires_at": expires_at}));
            }
            script(asked)
        })
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("the log").clone()
    }

    /// Returns the number of requests whose line contains `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line().contains(part)).count()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn record(request: &HttpRequest, body: &[u8]) -> Asked {
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().expect("a plain header").to_owned())
    };
    Asked {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        authorization: header("authorization"),
        if_none_match: header("if-none-match"),
        body: serde_json::from_slice(body).unwrap_or(Value::Null),
    }
}

async fn answer(reply: Reply, request: HttpRequest) -> HttpResponse {
    match reply {
        Reply::Json(status, headers, body) => {
            let mut response = HttpResponse::build(StatusCode::from_u16(status).expect("a status"));
            for header in headers {
                response.insert_header(header);
            }
            match body {
                // Each refusal of GitHub's has a message.
                Value::Null if status >= 300 && status != 304 => response
                    .content_type("application/json")
                    .body(json!({"message": "No."}).to_string()),
                Value::Null => response.finish(),
                body => response.content_type("application/json").body(body.to_string()),
            }
        }
        Reply::Page(status, content_type, body) => {
            let mut response = HttpResponse::build(StatusCode::from_u16(status).expect("a status"));
            if let Some(content_type) = content_type {
                response.insert_header(("content-type", content_type));
            }
            response.body(body)
        }
        Reply::Hang => std::future::pending().await,
        Reply::HangUp => {
            let stream = request.conn_data::<Arc<TcpStream>>().expect("the connection");
            stream.shutdown(Shutdown::Both).expect("an open connection");
            std::future::pending().await
        }
        Reply::Trickle => {
            let ticks = actix_web::rt::time::interval(Duration::from_millis(5));
            HttpResponse::Ok().streaming(futures::stream::unfold(ticks, |mut ticks| async {
                ticks.tick().await;
                Some((Ok::<_, actix_web::Error>(Bytes::from_static(b" ")), ticks))
            }))
        }
        Reply::Held(crowd) => {
            crowd.arrivals.add_permits(1);
            crowd.gate.acquire().await.expect("a gate").forget();
            HttpResponse::Ok().body(run_body().to_string())
        }
        Reply::Flood => {
            let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
            HttpResponse::Ok().streaming(futures::stream::repeat(chunk).map(Ok::<_, actix_web::Error>))
        }
    }
}

/// Time that moves when told to.
pub(crate) struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        let start = "2026-11-23T12:00:00Z".parse().expect("a time");
        Arc::new(Self(Mutex::new(start)))
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.0.lock().expect("the clock") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("the clock")
    }
}

/// An RSA key pair made for this run, as GitHub hands them out.
pub(crate) struct KeyPair {
    pub(crate) private_pem: String,
    pub(crate) public_pem: String,
}

pub(crate) static KEY: LazyLock<KeyPair> = LazyLock::new(|| {
    let private_pem = openssl(&["genrsa", "-traditional", "2048"], "");
    let public_pem = openssl(&["rsa", "-pubout"], &private_pem);
    KeyPair {
        private_pem,
        public_pem,
    }
});

fn openssl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the openssl command: install the Debian package `openssl`");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("openssl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?} failed");
    String::from_utf8(output.stdout).expect("PEM is text")
}

/// App 4711 with [`KEY`].
pub(crate) fn app() -> Credentials {
    Credentials::App {
        app_id: "4711".to_owned(),
        private_key: SecretString::from(KEY.private_pem.clone()),
        installation_id: None,
    }
}

/// A fixed token.
pub(crate) fn token() -> Credentials {
    Credentials::Token(SecretString::from("ghp_fixed"))
}

/// Settings with a deadline no test is meant to reach.
pub(crate) fn settings(server: &Scripted, credentials: Credentials) -> Settings {
    Settings {
        api_url: server.url.clone(),
        credentials,
        proxies: Proxies::default(),
        connect_timeout: Duration::from_secs(30),
        timeout: Duration::from_secs(30),
    }
}

/// An adapter for the server.
pub(crate) fn adapter(server: &Scripted, clock: &Arc<ManualClock>, credentials: Credentials) -> GitHubAdapter {
    GitHubAdapter::new(&settings(server, credentials), Arc::clone(clock) as Arc<dyn Clock>).expect("an adapter")
}

/// An adapter whose calls end after 200 ms.
pub(crate) fn hasty_adapter(server: &Scripted, clock: &Arc<ManualClock>, credentials: Credentials) -> GitHubAdapter {
    let hasty = Settings {
        timeout: Duration::from_millis(200),
        ..settings(server, credentials)
    };
    GitHubAdapter::new(&hasty, Arc::clone(clock) as Arc<dyn Clock>).expect("an adapter")
}

/// Records every request to GitHub and the status of its answer.
#[derive(Default)]
pub(crate) struct Requests(pub(crate) Mutex<Vec<(&'static str, Option<u16>)>>);

impl Observer for Requests {
    fn observe(&self, event: &Event<'_>) {
        if let Event::GithubAnswered { endpoint, status } = *event {
            self.0.lock().expect("the observer").push((endpoint, status));
        }
    }
}

pub(crate) fn repository() -> RepositoryName {
    RepositoryName::parse("octo/chem").expect("a name")
}

/// The least a run can be.
pub(crate) fn run_body() -> Value {
    json!({"event": "pull_request", "head_sha": "abc", "repository": {"id": 1}})
}
