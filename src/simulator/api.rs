//! Serves a REST call: fault, credentials, quota, the endpoint's answer, `ETag`.
//!
//! This file does no I/O: it turns a request into an exchange, which the server executes.

use super::access::Access;
use super::call::{Answer, Call, Refused, Reply, Request};
use super::routes;
use super::simulation::Simulation;
use super::world::{Drop, Fault};
use chrono::TimeDelta;
use http::StatusCode;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The web page that a fault returns.
const PAGE: &[u8] = b"<!DOCTYPE html><html><title>Not this way</title></html>";

/// The answer of the server, and its timing.
pub(super) struct Exchange {
    /// The delay before the answer. The call has taken effect already.
    pub(super) delay: Duration,
    /// The answer; none to close the connection without one.
    pub(super) reply: Option<Reply>,
}

impl Simulation {
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

    /// Returns the answer that a fault puts in place of the real one.
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
            let reset = self.state.now() + TimeDelta::seconds(seconds.into());
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
        let now = self.state.now();
        self.tokens.admit(call.request, route.access, repository, now)?;
        if matches!(route.access, Access::App) {
            self.apps.check(call.request)?;
        }
        let counts = matches!(route.access, Access::Token | Access::Needs(..)) && route.name != "rate-limit";
        let (_, _, remaining, reset) = self.quota.figures(now);
        if counts && remaining == 0 {
            return Err(
                Refused::new(403, "API rate limit exceeded for installation ID 1.").header("x-ratelimit-reset", reset)
            );
        }
        let reply = (route.handler)(self, &call)?;
        let (reply, unchanged) = tag(call.request, reply);
        // A 304 answer costs no quota.
        self.quota.used += u64::from(counts && !unchanged);
        Ok(reply)
    }

    /// Adds the headers that every answer has, unless a fault set them.
    fn finish(&mut self, mut reply: Reply) -> Reply {
        let (limit, used, remaining, reset) = self.quota.figures(self.state.now());
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

/// Adds an `ETag` to the answer to a `GET`, or replaces it with a 304 if the caller has it already.
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
