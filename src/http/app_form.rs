//! The page on loopback from which a person's browser sends the manifest of an App to GitHub, and to which GitHub sends the
//! browser back with a code.
//!
//! The page's path is a secret, so that other users of this machine cannot open it, and the answer must carry the state that
//! went to GitHub. Both are used once. The listener accepts requests for its own address only, so that no web site can reach
//! it under another name.

use super::listener::ListenError;
use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Time that the browser waits for the result of the creation.
const RESULT_TIMEOUT: Duration = Duration::from_secs(90);
/// Seconds that the last answer may take to reach the browser.
const SHUTDOWN_TIMEOUT_S: u64 = 5;
/// Styles are inline, and nothing is loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1f2328;\
background:#fff}table{border-collapse:collapse}td{padding:.2rem 1.5rem .2rem 0;vertical-align:top}button,a.button{display:inline-block;\
font:inherit;font-weight:600;background:#1f883d;color:#fff;border:0;border-radius:6px;padding:.5rem 1rem;text-decoration:none;cursor:pointer}\
code{white-space:pre-line;background:#f2f4f6;padding:.1rem .3rem;border-radius:4px}.bad{color:#b3261e}";

/// The page with the form.
pub struct AppForm {
    /// The secret path of the page, without a slash.
    pub entrance: SecretString,
    /// The state that GitHub returns.
    pub state: SecretString,
    /// The address of GitHub's form, without the state.
    pub action: String,
    /// The manifest as JSON.
    pub manifest: String,
    /// The names and values that the page shows.
    pub facts: Vec<(String, String)>,
}

/// The text of the last page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppFormResult {
    /// The App exists, and its owner installs it at this address.
    Created { name: String, install_url: String },
    /// The App could not be created, for this reason.
    Failed(String),
}

/// A code from GitHub. The browser waits for the result.
#[derive(Debug)]
pub struct AppFormReturn {
    pub code: SecretString,
    pub result: oneshot::Sender<AppFormResult>,
}

/// A bound listener, which does not serve yet.
#[derive(Debug)]
pub struct AppFormListener {
    listener: TcpListener,
    address: SocketAddr,
}

/// A listener that serves the page.
pub struct AppFormServer {
    handle: ServerHandle,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

struct Shared {
    form: AppForm,
    port: u16,
    is_used: AtomicBool,
    returns: mpsc::Sender<AppFormReturn>,
}

impl AppFormListener {
    /// Binds a port of the loopback interface; 0 selects a free one.
    ///
    /// # Errors
    /// If the port is in use.
    pub fn bind(port: u16) -> Result<Self, ListenError> {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let failed = |source| ListenError::new(&place.to_string(), source);
        let listener = TcpListener::bind(place).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Returns the bound port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the address that GitHub sends the browser back to.
    #[must_use]
    pub fn redirect_url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// Serves the page. The receiver yields at most one code.
    ///
    /// # Errors
    /// If the listener cannot be used.
    pub fn serve(self, form: AppForm) -> Result<(AppFormServer, mpsc::Receiver<AppFormReturn>), ListenError> {
        let (returns, codes) = mpsc::channel(1);
        let place = self.address.to_string();
        let shared = Data::new(Shared {
            form,
            port: self.address.port(),
            is_used: AtomicBool::new(false),
            returns,
        });
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).default_service(web::to(serve)))
            .workers(1)
            .disable_signals()
            .keep_alive(actix_web::http::KeepAlive::Disabled)
            .shutdown_timeout(SHUTDOWN_TIMEOUT_S)
            .listen(self.listener)
            .map_err(|source| ListenError::new(&place, source))?
            .run();
        let running = AppFormServer {
            handle: server.handle(),
            task: tokio::spawn(server),
        };
        Ok((running, codes))
    }
}

impl AppFormServer {
    /// Waits for the answers in flight, and closes the listener.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        // The task ends with the server and its result is known.
        drop(self.task.await);
    }
}

#[derive(Deserialize)]
struct Callback {
    code: Option<String>,
    state: Option<String>,
}

async fn serve(shared: Data<Shared>, request: HttpRequest) -> HttpResponse {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let own = [
        format!("127.0.0.1:{}", shared.port),
        format!("localhost:{}", shared.port),
    ];
    if !own.iter().any(|own| own == host) {
        return failure(StatusCode::MISDIRECTED_REQUEST, "This address belongs to another host.");
    }
    let path = request.path().trim_start_matches('/');
    if request.method() != "GET" {
        failure(StatusCode::METHOD_NOT_ALLOWED, "Open this page with GET.")
    } else if path == "callback" {
        match web::Query::<Callback>::from_query(request.query_string()) {
            Ok(callback) => returned(&shared, callback.into_inner()).await,
            Err(_) => failure(StatusCode::BAD_REQUEST, "GitHub's answer cannot be read."),
        }
    } else if is_same(path, &shared.form.entrance) {
        page(StatusCode::OK, "Create the GitHub App of jitgate", &form(&shared.form))
    } else {
        failure(StatusCode::NOT_FOUND, "Open the whole address that jitgate printed.")
    }
}

async fn returned(shared: &Shared, callback: Callback) -> HttpResponse {
    if !is_same(callback.state.as_deref().unwrap_or_default(), &shared.form.state) {
        return failure(
            StatusCode::FORBIDDEN,
            "This answer does not belong to the form that jitgate sent.",
        );
    }
    let Some(code) = callback.code.filter(|code| !code.is_empty()) else {
        return failure(StatusCode::BAD_REQUEST, "GitHub's answer has no code.");
    };
    if shared.is_used.swap(true, Ordering::SeqCst) {
        return failure(
            StatusCode::GONE,
            "This answer was used already. Look at the terminal for the result.",
        );
    }
    let (result, received) = oneshot::channel();
    let code = SecretString::from(code);
    if shared.returns.send(AppFormReturn { code, result }).await.is_err() {
        return failure(StatusCode::GONE, "jitgate does not wait any more.");
    }
    match timeout(RESULT_TIMEOUT, received).await {
        Ok(Ok(AppFormResult::Created { name, install_url })) => page(
            StatusCode::OK,
            "The App is created",
            &format!(
                "<p>jitgate has stored the credentials of <b>{}</b>. Next, install it on the repositories that it serves:</p>\
                 <p><a class=\"button\" href=\"{}\">Install the App</a></p>",
                escaped(&name),
                escaped(&install_url)
            ),
        ),
        Ok(Ok(AppFormResult::Failed(why))) => failure(StatusCode::BAD_GATEWAY, &why),
        Ok(Err(_)) | Err(_) => failure(StatusCode::BAD_GATEWAY, "Look at the terminal for the result."),
    }
}

fn form(form: &AppForm) -> String {
    let rows = form.facts.iter();
    let rows: String = rows
        .map(|(name, value)| {
            format!(
                "<tr><td>{}</td><td><code>{}</code></td></tr>",
                escaped(name),
                escaped(value)
            )
        })
        .collect();
    format!(
        "<p>The button opens GitHub's form. GitHub creates the App with these properties, and returns here.</p>\
         <table>{rows}</table><form method=\"post\" action=\"{}?state={}\">\
         <input type=\"hidden\" name=\"manifest\" value=\"{}\"><p><button>Continue at GitHub</button></p></form>",
        escaped(&form.action),
        escaped(form.state.expose_secret()),
        escaped(&form.manifest)
    )
}

fn failure(status: StatusCode, text: &str) -> HttpResponse {
    page(
        status,
        "The App is not created",
        &format!("<p class=\"bad\">{}</p>", escaped(text)),
    )
}

fn page(status: StatusCode, title: &str, body: &str) -> HttpResponse {
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{body}</body></html>"
    );
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        // The path is a secret. Without any referrer, GitHub would see a form of no origin.
        .insert_header((REFERRER_POLICY, "strict-origin"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(html)
}

/// Compares digests, so that the time of the comparison shows nothing of the secret.
fn is_same(text: &str, secret: &SecretString) -> bool {
    Sha256::digest(text) == Sha256::digest(secret.expose_secret())
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}
