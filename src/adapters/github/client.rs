//! The HTTP client: one request, one classified answer, one deadline.
//!
//! An [`Answer`] is a statement of GitHub's API, which the caller interprets. Everything else is a [`Failure`]: no
//! answer, 5xx, 408, rate limits, and a response without GitHub's JSON, such as one from a load balancer, a captive
//! portal or a web page. Redirects are not followed, so a token is sent to the configured host only. Headers, bodies
//! and queries are not logged.

use super::etag::{Etags, Tagged};
use super::limits::{Account, Limits, announced_limit};
use super::request::Request;
use super::settings::{Settings, SetupError, base_of};
use crate::ports::{Clock, Event, Failure, Observer};
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, IF_NONE_MATCH, LINK};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use octocrab::{OctoBody, Octocrab};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// GitHub accepts 100 concurrent requests per account, which other programs may use as well.
const MAX_IN_FLIGHT: usize = 50;
/// A page of 100 changed files can come near this size, because outsiders choose the paths and contents.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
const MAX_MESSAGE_CHARS: usize = 200;
/// The longest rate limit that a call waits for.
const MAX_LIMIT: TimeDelta = TimeDelta::seconds(2);
/// The API version that the response types are written for.
const API_VERSION: &str = "2022-11-28";

/// The credential of a request. The header is marked as sensitive, so it is not printed.
#[derive(Debug)]
pub(super) struct Bearer {
    pub(super) account: Account,
    pub(super) authorization: Option<HeaderValue>,
}

impl Bearer {
    pub(super) fn anonymous() -> Self {
        Self {
            account: Account::Anonymous,
            authorization: None,
        }
    }

    /// Returns none for a token that cannot be sent in a header.
    pub(super) fn new(account: Account, token: &str) -> Option<Self> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        Some(Self {
            account,
            authorization: Some(authorization),
        })
    }
}

pub(super) struct Client {
    octocrab: Octocrab,
    base: String,
    timeout: Duration,
    in_flight: Semaphore,
    etags: Etags,
    observer: Arc<dyn Observer>,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Arc<[u8]>,
}

impl Client {
    pub(super) fn new(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, SetupError> {
        let base = base_of(&settings.api_url)?;
        // There is no read timeout, because the deadline over each request bounds reading too. The only proxies are
        // those of the configuration.
        let mut http = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .redirect(Policy::none())
            .no_proxy();
        let proxies = settings.proxies.for_client();
        for proxy in proxies.map_err(|error| SetupError::Client(Box::new(error)))? {
            http = http.proxy(proxy);
        }
        let http = http.build().map_err(|error| SetupError::Client(Box::new(error)))?;
        let octocrab = Octocrab::builder()
            .base_uri(base.as_str())
            .and_then(|builder| builder.build_with_reqwest(http))
            .map_err(|error| SetupError::Client(Box::new(error)))?;
        Ok(Self {
            octocrab,
            base,
            timeout: settings.timeout,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            etags: Etags::default(),
            observer,
            limits: Limits::default(),
            clock,
        })
    }

    /// Sends a request. A rate limit that ends soon is awaited: a decision takes several calls in a row, and would hardly ever
    /// succeed while GitHub limits many of them for a second each. GitHub has not executed a request that it limits.
    pub(super) async fn send(&self, request: &Request, bearer: &Bearer) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let outcome = self.send_once(request, bearer, deadline).await;
            match &outcome {
                Err(Failure::RateLimited { until, .. }) if self.outlasts(*until, bearer.account, deadline).await => {}
                _ => return outcome,
            }
        }
    }

    /// Waits for the end of a short limit. Returns false at once if the limit is long.
    async fn outlasts(&self, until: DateTime<Utc>, account: Account, deadline: Instant) -> bool {
        let wait = until - self.clock.now();
        let is_short = wait <= MAX_LIMIT && self.limits.is_short(account, MAX_LIMIT);
        let wait = wait.to_std().unwrap_or_default();
        if !is_short || Instant::now() + wait >= deadline {
            return false;
        }
        tokio::time::sleep(wait).await;
        self.clock.now() >= until
    }

    async fn send_once(&self, request: &Request, bearer: &Bearer, deadline: Instant) -> Result<Answer, Failure> {
        let started = Instant::now();
        let too_late = |what: &str| format!("{what} within {} ms", self.timeout.as_millis());
        let Ok(Ok(_permit)) = timeout_at(deadline, self.in_flight.acquire()).await else {
            return Err(failed(
                request,
                &too_late("too many requests in flight to send this one"),
            ));
        };
        let _in_flight = self.limits.check(bearer.account, request.purpose, self.clock.now())?;
        if bearer.account != Account::Anonymous {
            self.limits.pace(request, self.clock.now())?;
        }
        let known = (request.method == Method::GET)
            .then(|| self.etags.get(&request.target()))
            .flatten();
        let outcome = timeout_at(deadline, self.exchange(request, bearer, known.as_ref())).await;
        let outcome = outcome.unwrap_or_else(|_| Err(too_late("no complete answer")));
        let status = outcome.as_ref().ok().map(|reply| reply.status.as_u16());
        self.observer.observe(&Event::GithubAnswered {
            endpoint: request.endpoint,
            status,
        });
        tracing::debug!(
            endpoint = request.endpoint,
            status,
            duration_s = started.elapsed().as_secs_f64(),
            "called GitHub"
        );
        let reply = outcome.map_err(|reason| failed(request, &reason))?;
        self.classify(request, bearer, reply, known)
    }

    async fn exchange(&self, request: &Request, bearer: &Bearer, known: Option<&Tagged>) -> Result<Reply, String> {
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri(format!("{}{}", self.base, request.target()))
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION);
        if let Some(authorization) = &bearer.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(known) = known {
            builder = builder.header(IF_NONE_MATCH, &known.etag);
        }
        let body = match &request.body {
            Some(body) => {
                builder = builder.header(CONTENT_TYPE, "application/json");
                OctoBody::from(body.to_string())
            }
            None => OctoBody::empty(),
        };
        let ready = builder.body(body).map_err(|e| chain(&e))?;
        let response = self.octocrab.execute(ready).await.map_err(|e| chain(&e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.map_err(|e| chain(e.as_ref()))?.to_bytes().as_ref().into(),
        })
    }

    fn classify(
        &self,
        request: &Request,
        bearer: &Bearer,
        reply: Reply,
        known: Option<Tagged>,
    ) -> Result<Answer, Failure> {
        let now = self.clock.now();
        let mut answer = Answer {
            request: request.to_string(),
            status: reply.status,
            body: reply.body,
            next: next_cursor(&reply.headers),
            date: date_of(&reply.headers),
        };
        if answer.status.is_server_error() || answer.status == StatusCode::REQUEST_TIMEOUT {
            return Err(Failure::Transient(answer.to_string()));
        }
        if !answer.is_from_github_api(&reply.headers, known.is_some()) {
            return Err(answer.not_from_github_api());
        }
        self.limits.record_quota(bearer.account, &reply.headers);
        if let Some(limit) = announced_limit(answer.status, &reply.headers, &answer.body, now) {
            let failure = Failure::RateLimited {
                until: limit.until,
                detail: format!("{answer}: {}", limit.cause),
            };
            self.limits.apply(bearer.account, limit);
            return Err(failure);
        }
        if let (StatusCode::NOT_MODIFIED, Some(known)) = (answer.status, known) {
            answer.status = StatusCode::OK;
            answer.body = known.body;
            answer.next = known.next;
        } else if let (&Method::GET, StatusCode::OK) = (&request.method, answer.status) {
            let etag = reply.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
            if let Some(etag) = etag {
                let tagged = Tagged {
                    etag: etag.to_owned(),
                    body: Arc::clone(&answer.body),
                    next: answer.next.clone(),
                };
                self.etags.put(&request.target(), tagged);
            }
        }
        Ok(answer)
    }
}

/// A response of GitHub's API. Its text form names the request, the status and GitHub's message.
pub(super) struct Answer {
    request: String,
    pub(super) status: StatusCode,
    body: Arc<[u8]>,
    /// The cursor of the next page, from the `Link` header.
    pub(super) next: Option<String>,
    /// GitHub's time.
    pub(super) date: Option<DateTime<Utc>>,
}

impl Answer {
    /// Parses the body. The error contains no part of the body, which may hold a secret.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::Transient(format!(
                "{}: answered {} with an invalid body ({:?} error at line {}, column {})",
                self.request,
                self.status.as_u16(),
                error.classify(),
                error.line(),
                error.column(),
            ))
        })
    }

    /// Returns GitHub's message without control characters, truncated to [`MAX_MESSAGE_CHARS`].
    pub(super) fn message(&self) -> String {
        sanitized(&self.github_message().unwrap_or_default())
    }

    /// Returns the `message` that every error response of GitHub has.
    fn github_message(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Body {
            message: String,
        }
        let body: Option<Body> = serde_json::from_slice(&self.body).ok();
        body.map(|body| body.message)
    }

    /// Returns true if the response comes from GitHub's API: it has a JSON body or none, every error has a message, and
    /// 304 occurs only if the request carried an entity tag. The caller parses the body of a success.
    fn is_from_github_api(&self, headers: &HeaderMap, has_known: bool) -> bool {
        let content_type = headers
            .get(CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or_default());
        let is_json = content_type.is_none_or(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
        });
        let opening = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        is_json
            && match self.status {
                StatusCode::NOT_MODIFIED => has_known && opening.is_none(),
                StatusCode::NO_CONTENT => opening.is_none(),
                status if status.is_success() => matches!(opening, None | Some(b'{' | b'[')),
                _ => opening == Some(&b'{') && self.github_message().is_some(),
            }
    }

    /// Returns the failure for a response that does not come from GitHub's API.
    fn not_from_github_api(&self) -> Failure {
        Failure::Transient(format!(
            "{}: answered {} without the JSON of GitHub's API; check that github.api_url is its root (https://HOST/api/v3 for a \
             GitHub Enterprise Server) and that no proxy answers instead",
            self.request,
            self.status.as_u16()
        ))
    }

    /// Returns the failure for a status that the caller does not handle.
    pub(super) fn unexpected(&self) -> Failure {
        match self.status {
            status if status.is_client_error() => Failure::Permanent(self.to_string()),
            StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                Failure::Permanent(format!("{self}; was the repository renamed or moved?"))
            }
            _ => Failure::Transient(self.to_string()),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: GitHub answered {}", self.request, self.status.as_u16())?;
        match self.message().as_str() {
            "" => Ok(()),
            message => write!(f, ": {message}"),
        }
    }
}

/// Returns the `cursor` of the `Link` to the next page. The rest of the URL is not used, so that a token is sent to the
/// configured host only.
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let url = next.trim_start().strip_prefix('<')?.split('>').next()?;
    let query = url.parse::<http::Uri>().ok()?.query()?.to_owned();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let cursor = pairs.find(|(name, _)| *name == "cursor")?.1;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~');
    (!cursor.is_empty() && cursor.len() <= 200 && cursor.bytes().all(is_plain)).then(|| cursor.to_owned())
}

fn date_of(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?);
    date.ok().map(|date| date.with_timezone(&Utc))
}

fn failed(request: &Request, reason: &str) -> Failure {
    Failure::Transient(format!("{request}: {}", sanitized(reason)))
}

fn sanitized(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_MESSAGE_CHARS).collect()
}

/// Joins an error and its causes. octocrab's own texts omit the deeper causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    // The texts of reqwest contain the whole URL, and queries are not logged.
    let text = |cause: &dyn Error| {
        let text = cause.to_string();
        text.split(" for url (").next().unwrap_or_default().to_owned()
    };
    let mut texts: Vec<String> = causes.map(text).collect();
    texts.dedup();
    texts.join(": ")
}
