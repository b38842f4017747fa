//! The way of every REST call: fault, credentials, quota, the endpoint's own answer, `ETag`.
//!
//! No server and no I/O here: a request goes in, an exchange comes out. The server carries it.

use super::access::Access;
use super::routes;
use super::state::State;
use super::world::{Drop, Fault, RateLimitChange};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

const DOCUMENTATION: &str = "https://docs.github.com/rest";
const HOURLY_LIMIT: u64 = 5000;
/// The page of a fault.
const PAGE: &[u8] = b"<!DOCTYPE html><html><title>Not this way</title></html>";

/// A request, as far as the model looks at it.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) authorization: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The token of the `Authorization` header.
    pub(super) fn credential(&self) -> Option<&str> {
        let (scheme, token) = self.authorization.as_deref()?.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")).then_some(token)
    }
}

/// An answer.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// None: no body at all.
    pub(super) body: Option<Vec<u8>>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            body: Some(body.to_string().into_bytes()),
            ..Self::default()
        }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A refusal in GitHub's form.
pub(super) struct Refused(Reply);

impl Refused {
    pub(super) fn new(status: u16, message: &str) -> Self {
        let body = json!({"message": message, "documentation_url": DOCUMENTATION, "status": status.to_string()});
        Self(Reply::json(status, &body))
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "Not Found")
    }

    fn header(self, name: &str, value: impl ToString) -> Self {
        Self(self.0.header(name, value))
    }
}

pub(super) type Answer = Result<Reply, Refused>;
pub(super) type Handler = fn(&mut State, &Call<'_>) -> Answer;

/// A call of an endpoint.
pub(super) struct Call<'a> {
    /// The variable parts of the path, in order.
    pub(super) args: Vec<&'a str>,
    pub(super) request: &'a Request,
}

impl Call<'_> {
    pub(super) fn arg(&self, at: usize) -> &str {
        self.args.get(at).copied().unwrap_or_default()
    }

    /// A number in the path. What is none names nothing there is.
    pub(super) fn number(&self, at: usize) -> Result<u64, Refused> {
        self.arg(at).parse().map_err(|_| Refused::not_found())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.request.query.get(name).map(String::as_str)
    }

    pub(super) fn body(&self) -> Result<Value, Refused> {
        if self.request.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.request.body).map_err(|_| Refused::new(400, "Problems parsing JSON"))
    }

    /// One page of `items`, with `Link` where there are more.
    pub(super) fn page<T>(&self, items: Vec<T>, url: &str) -> (Vec<T>, Option<String>) {
        let number = |name: &str, default: usize| self.query(name).and_then(|n| n.parse().ok()).unwrap_or(default);
        let (per_page, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
        let rest = items.len().saturating_sub(per_page.saturating_mul(page));
        let skipped = per_page.saturating_mul(page - 1);
        let link = (rest > 0).then(|| {
            let mut query = self.request.query.clone();
            query.insert("page".to_owned(), (page + 1).to_string());
            let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("<{url}{}?{}>; rel=\"next\"", self.request.path, query.join("&"))
        });
        (items.into_iter().skip(skipped).take(per_page).collect(), link)
    }
}

/// What to do on the wire.
pub(super) struct Exchange {
    /// Wait so long first. Whatever the call did has been done.
    pub(super) delay: Duration,
    /// The answer; none: close the connection without one.
    pub(super) reply: Option<Reply>,
}

/// The primary rate limit: so many calls an hour.
pub(super) struct Quota {
    limit: u64,
    used: u64,
    resets_at: Option<DateTime<Utc>>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            limit: HOURLY_LIMIT,
            used: 0,
            resets_at: None,
        }
    }
}

impl Quota {
    pub(super) fn set(&mut self, change: RateLimitChange, now: DateTime<Utc>) {
        self.renew(now);
        self.limit = change.limit.unwrap_or(self.limit);
        if let Some(remaining) = change.remaining {
            self.used = self.limit.saturating_sub(remaining);
        }
    }

    /// Starts a new hour when the old one is over.
    fn renew(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.resets_at {
            Some(at) if now < at => at,
            _ => {
                self.used = 0;
                *self.resets_at.insert(now + TimeDelta::hours(1))
            }
        }
    }

    /// Limit, used, remaining, and when it starts anew.
    pub(super) fn figures(&mut self, now: DateTime<Utc>) -> (u64, u64, u64, i64) {
        let resets_at = self.renew(now).timestamp();
        (self.limit, self.used, self.limit.saturating_sub(self.used), resets_at)
    }
}

impl State {
    /// Serves one REST call.
    pub(super) fn serve(&mut self, request: &Request) -> Exchange {
        let Some((route, args)) = routes::find(&request.method, &request.path) else {
            let Refused(reply) = Refused::not_found();
            return Exchange {
                delay: Duration::ZERO,
                reply: Some(reply),
            };
        };
        *self.calls.entry(route.name.to_owned()).or_default() += 1;
        let fault = self.faults.next_call(route.name);
        let delay = fault.as_ref().map_or(Duration::ZERO, |f| {
            Duration::try_from_secs_f64(f.delay_s).unwrap_or_default()
        });
        let drop = fault.as_ref().and_then(|fault| fault.drop);
        if drop == Some(Drop::Before) {
            return Exchange { delay, reply: None };
        }
        let reply = match fault.and_then(|fault| self.faulty(&fault)) {
            Some(reply) => reply,
            None => self
                .answer(route, Call { args, request })
                .unwrap_or_else(|Refused(reply)| reply),
        };
        Exchange {
            delay,
            reply: (drop != Some(Drop::After)).then(|| self.finish(reply)),
        }
    }

    /// The answer a fault puts in the place of the real one.
    fn faulty(&self, fault: &Fault) -> Option<Reply> {
        let reason = |status: u16| {
            let status = StatusCode::from_u16(status).ok()?;
            status.canonical_reason()
        };
        let message = |usual: &str| fault.message.clone().unwrap_or_else(|| usual.to_owned());
        let mut reply = match fault.status {
            status if fault.page => Reply {
                status: status.unwrap_or(200),
                body: Some(PAGE.to_vec()),
                ..Reply::default()
            }
            .header("content-type", "text/html; charset=utf-8"),
            Some(status @ (403 | 429)) => Refused::new(status, &message("You have exceeded a secondary rate limit")).0,
            Some(status) => Refused::new(status, &message(reason(status).unwrap_or("Fault"))).0,
            None if fault.malformed => Reply {
                status: 200,
                body: Some(br#"{"id": 1, "#.to_vec()),
                ..Reply::default()
            },
            None => return None,
        };
        if let Some(seconds) = fault.reset_s {
            let reset = self.now() + TimeDelta::seconds(seconds.into());
            reply = reply
                .header("x-ratelimit-remaining", 0)
                .header("x-ratelimit-reset", reset.timestamp());
        }
        for (name, value) in &fault.headers {
            reply = reply.header(name, value);
        }
        Some(reply)
    }

    fn answer(&mut self, route: &routes::Route, call: Call<'_>) -> Answer {
        let repository = route.template.starts_with("/repos/").then(|| call.arg(1));
        self.admit(call.request, route.access, repository)?;
        let now = self.now();
        let counts = matches!(route.access, Access::Token | Access::Needs(..)) && route.name != "rate-limit";
        let (_, _, remaining, reset) = self.quota.figures(now);
        if counts && remaining == 0 {
            return Err(
                Refused::new(403, "API rate limit exceeded for installation ID 1.").header("x-ratelimit-reset", reset)
            );
        }
        let reply = (route.handler)(self, &call)?;
        let (reply, unchanged) = tag(call.request, reply);
        // An unchanged answer costs nothing.
        self.quota.used += u64::from(counts && !unchanged);
        Ok(reply)
    }

    /// The headers every answer has, unless a fault set them.
    fn finish(&mut self, mut reply: Reply) -> Reply {
        let (limit, used, remaining, reset) = self.quota.figures(self.now());
        let calls: u64 = self.calls.values().sum();
        let usual = [
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-used", used.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", reset.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
            ("x-github-request-id", format!("{calls:04X}:SIMULATED")),
        ];
        for (name, value) in usual {
            if !reply.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                reply = reply.header(name, value);
            }
        }
        reply
    }
}

/// Gives the answer to a `GET` an `ETag`, or a 304 in its place when the caller has it already.
fn tag(request: &Request, reply: Reply) -> (Reply, bool) {
    let Some(body) = reply
        .body
        .as_ref()
        .filter(|_| request.method == "GET" && reply.status == 200)
    else {
        return (reply, false);
    };
    let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(body)));
    if request.if_none_match.as_deref() == Some(&etag) {
        (Reply::empty(304).header("etag", etag), true)
    } else {
        (reply.header("etag", etag), false)
    }
}
