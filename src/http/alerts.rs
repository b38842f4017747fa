//! `/api/v1/alerts`: what is wrong, and who looks at it.

use super::admin::AdminState;
use super::list;
use super::problem::{Problem, store_failed};
use crate::app::alerts::{Asked, Settled};
use crate::domain::alert::{AlertKind, AlertState};
use crate::ports::Failure;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{Error, HttpResponse};
use serde::Deserialize;
use serde_json::json;

/// Largest body.
const BODY_LIMIT: usize = 4096;
/// Who says so, when the request does not tell.
const SOMEBODY: &str = "admin API";

/// The query of `GET /api/v1/alerts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsQuery {
    /// States, comma-separated.
    state: Option<String>,
    /// Kinds, comma-separated.
    kind: Option<String>,
    repository: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/v1/alerts`: those raised last first, at most 1000.
pub(super) async fn list(state: Data<AdminState>, query: Result<Query<AlertsQuery>, Error>) -> HttpResponse {
    list::answer(query, async |query: AlertsQuery| {
        let asked = Asked {
            states: list::words(query.state.as_deref(), &AlertState::ALL, AlertState::as_str)?,
            kinds: list::words(query.kind.as_deref(), AlertKind::ALL, AlertKind::as_str)?,
            repository: query.repository,
        };
        let limit = list::limit(query.limit, list::DEFAULT_LIMIT);
        Ok(json!({"alerts": state.ctx.alerts.list(&asked, limit).await?}))
    })
    .await
}

/// Who says so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Says {
    by: Option<String>,
}

/// `POST /api/v1/alerts/ID/ack`, with nothing or `{"by": NAME}`.
pub(super) async fn ack(state: Data<AdminState>, id: Path<String>, body: Bytes) -> HttpResponse {
    match somebody(&body) {
        Ok(by) => answer(state.ctx.alerts.ack(&id, &by).await),
        Err(problem) => problem.answer(),
    }
}

/// `POST /api/v1/alerts/ID/resolve`, with nothing or `{"by": NAME}`.
pub(super) async fn resolve(state: Data<AdminState>, id: Path<String>, body: Bytes) -> HttpResponse {
    match somebody(&body) {
        Ok(by) => answer(state.ctx.alerts.resolve(&id, &by).await),
        Err(problem) => problem.answer(),
    }
}

fn somebody(body: &Bytes) -> Result<String, Problem> {
    let refused = |status, detail: String| Problem::new(status, "body", "Bad request", detail);
    if body.len() > BODY_LIMIT {
        let detail = format!("the body has more than {BODY_LIMIT} bytes");
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    if body.is_empty() {
        return Ok(SOMEBODY.to_owned());
    }
    let says: Says = serde_json::from_slice(body).map_err(|error| {
        refused(
            StatusCode::BAD_REQUEST,
            format!("send {{\"by\": NAME}}, or nothing: {error}"),
        )
    })?;
    Ok(says.by.unwrap_or_else(|| SOMEBODY.to_owned()))
}

fn answer(settled: Result<Settled, Failure>) -> HttpResponse {
    match settled {
        Ok(Settled::Done(alert)) => HttpResponse::Ok().json(json!({"alert": alert})),
        Ok(Settled::Over(_)) => {
            let detail = "the alert is resolved, so nobody needs to look at it";
            Problem::new(StatusCode::CONFLICT, "resolved", "Conflict", detail).answer()
        }
        Ok(Settled::Unknown) => Problem::not_found().answer(),
        Err(failure) => store_failed(&failure),
    }
}
