//! The admin API: the state and the history of jitgate. Every request needs the bearer token, on loopback too, and an
//! accepted `Host` and `Origin`, so that no web page can reach the API through a browser.

use super::list;
use super::problem::{Problem, store_failed};
use crate::app::jobs::history;
use crate::app::jobs::record::load_job;
use crate::app::pool::pass;
use crate::app::rollout::status::stages;
use crate::app::{Context, Ingest};
use crate::domain::ids::{DeliveryId, JobId};
use crate::ports::queue::{DeliveryState, Filter};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::web::{Data, Path, Query};
use actix_web::{Error, HttpResponse};
use chrono::{DateTime, Utc};
use http::uri::Authority;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The timeout for the check for a simulated GitHub, so that the status does not wait for a GitHub that hangs.
const SIMULATED_TIMEOUT: Duration = Duration::from_millis(500);

/// The sources of the admin API's answers.
pub struct AdminState {
    /// The ports of the worker.
    pub ctx: Arc<Context>,
    /// The ingress, if this process has one.
    pub ingest: Option<Arc<Ingest>>,
    pub token: SecretString,
    /// The accepted `Host` values; empty for a unix socket.
    pub hosts: Vec<String>,
    /// True if GitHub is simulated; empty until that is known.
    pub simulated: OnceCell<bool>,
}

/// Passes on a request with the token, an accepted `Host` and no foreign `Origin`.
pub(super) async fn authorize<B: MessageBody + 'static>(
    state: Data<AdminState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<actix_web::body::EitherBody<B>>, Error> {
    match check(&state, &request) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(problem) => {
            let mut builder = problem.builder();
            if problem.status == StatusCode::UNAUTHORIZED {
                builder.insert_header((WWW_AUTHENTICATE, "Bearer"));
            }
            Ok(request
                .into_response(builder.body(problem.body()))
                .map_into_right_body())
        }
    }
}

fn check(state: &AdminState, request: &ServiceRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST).unwrap_or_default();
    let is_accepted =
        |host: &str| state.hosts.is_empty() || state.hosts.iter().any(|accepted| is_same_host(accepted, host));
    if !is_accepted(host) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host",
            "Misdirected request",
            "the Host header does not name this listener",
        ));
    }
    if let Some(origin) = header(ORIGIN) {
        let origin_host = origin.split_once("://").map_or(origin, |(_, host)| host);
        if !is_accepted(origin_host) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "origin",
                "Forbidden",
                "requests from other origins are rejected",
            ));
        }
    }
    let given = header(AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    // Digests have a fixed length, and their comparison reveals nothing about the token.
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    if given.is_some_and(|given| digest(given) == digest(state.token.expose_secret())) {
        Ok(())
    } else {
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "token",
            "Unauthorized",
            "missing or invalid admin token; send Authorization: Bearer TOKEN with the token in server.admin_token_file",
        ))
    }
}

/// Returns true if a request's host is accepted. An accepted host without a port matches every port.
fn is_same_host(accepted: &str, host: &str) -> bool {
    let authority = host.parse::<Authority>();
    accepted.eq_ignore_ascii_case(host)
        || authority.is_ok_and(|authority| authority.host().eq_ignore_ascii_case(accepted))
}

/// `GET /api/v1/status`.
pub(super) async fn status(state: Data<AdminState>) -> HttpResponse {
    let ctx = &state.ctx;
    let depth = match ctx.queue.depth().await {
        Ok(depth) => depth,
        Err(failure) => return store_failed(&failure),
    };
    let policy = &ctx.settings.rollout;
    let rollouts = match stages(ctx.ledger.as_ref(), &ctx.settings.repositories, policy).await {
        Ok(rollouts) => rollouts,
        Err(failure) => return store_failed(&failure),
    };
    let simulated = state.simulated.get_or_try_init(|| ctx.github.is_simulated());
    let simulated = tokio::time::timeout(SIMULATED_TIMEOUT, simulated).await;
    let simulated = simulated.ok().and_then(Result::ok);
    // A runner host that does not answer must not prevent the status.
    let quiet = pass::is_quiet(ctx).await.ok();
    let repositories: Vec<_> = ctx.settings.repositories.iter().map(|r| json!(r.name)).collect();
    HttpResponse::Ok().json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "instance": ctx.settings.instance,
        "time": ctx.clock.now(),
        "repositories": repositories,
        "rollouts": rollouts,
        "queue": depth,
        "webhook_secrets_used": state.ingest.as_ref().map(|ingest| ingest.secrets_used()),
        "mode": ctx.settings.mode,
        "pool": {"quiet": quiet},
        "github": {"api_url": ctx.settings.api_url, "simulated": simulated},
    }))
}

/// The query of `GET /api/v1/deliveries`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveriesQuery {
    /// The states, separated by commas.
    state: Option<String>,
    repository: Option<String>,
    job: Option<u64>,
    since: Option<DateTime<Utc>>,
    limit: Option<usize>,
}

/// `GET /api/v1/deliveries`: returns the newest deliveries, at most 1000.
pub(super) async fn deliveries(state: Data<AdminState>, query: Result<Query<DeliveriesQuery>, Error>) -> HttpResponse {
    list::answer(query, async |query: DeliveriesQuery| {
        let filter = Filter {
            states: list::words(query.state.as_deref(), &DeliveryState::ALL, DeliveryState::as_str)?,
            repository: query.repository,
            job: query.job.map(JobId),
            since: query.since,
        };
        let limit = list::limit(query.limit, list::DEFAULT_LIMIT);
        let deliveries = state.ctx.queue.deliveries(&filter, limit).await?;
        Ok(json!({"deliveries": deliveries}))
    })
    .await
}

/// `GET /api/v1/deliveries/GUID`: returns the delivery and its decision.
pub(super) async fn delivery(state: Data<AdminState>, guid: Path<String>) -> HttpResponse {
    let Some(id) = DeliveryId::parse(&guid) else {
        return Problem::not_found().answer();
    };
    let delivery = match state.ctx.queue.delivery(&id).await {
        Ok(Some(delivery)) => delivery,
        Ok(None) => return Problem::not_found().answer(),
        Err(failure) => return store_failed(&failure),
    };
    let job = match delivery.job {
        Some(job) => match load_job(&state.ctx, job).await {
            Ok(job) => job,
            Err(failure) => return store_failed(&failure),
        },
        None => None,
    };
    let decision = job.as_ref().and_then(|job| job.entry(&id)).map(|entry| &entry.decision);
    HttpResponse::Ok().json(json!({"delivery": delivery, "decision": decision}))
}

/// `GET /api/v1/jobs/ID`: returns the newest decision record, the job's state and its earlier decisions.
pub(super) async fn job(state: Data<AdminState>, id: Path<String>) -> HttpResponse {
    let ctx = &state.ctx;
    let Ok(id) = id.parse() else {
        return Problem::not_found().answer();
    };
    match history::of_job(ctx.queue.as_ref(), ctx.ledger.as_ref(), JobId(id)).await {
        Ok(Some(story)) => HttpResponse::Ok().json(story),
        Ok(None) => Problem::not_found().answer(),
        Err(failure) => store_failed(&failure),
    }
}
