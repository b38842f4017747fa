//! `/api/v1/alerts`: lists, acknowledges and resolves alerts.

use super::admin::AdminState;
use super::list;
use super::problem::{Problem, store_failed};
use crate::app::alerts::{AlertFilter, Settled};
use crate::domain::alert::{AlertKind, AlertState};
use crate::ports::Failure;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{Error, HttpResponse};
use serde::Deserialize;
use serde_json::json;

/// The largest body.
const MAX_BODY_BYTES: usize = 4096;
/// The name in the record if the request has none.
const DEFAULT_NAME: &str = "admin API";

/// The query of `GET /api/v1/alerts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsQuery {
    /// The states, separated by commas.
    state: Option<String>,
    /// The kinds, separated by commas.
    kind: Option<String>,
    repository: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/v1/alerts`: returns the alerts, the last raised first, at most 1000.
pub(super) async fn list(state: Data<AdminState>, query: Result<Query<AlertsQuery>, Error>) -> HttpResponse {
    list::answer(query, async |query: AlertsQuery| {
        let filter = AlertFilter {
            states: list::words(query.state.as_deref(), &AlertState::ALL, AlertState::as_str)?,
            kinds: list::words(query.kind.as_deref(), AlertKind::ALL, AlertKind::as_str)?,
            repository: query.repository,
        };
        let limit = list::limit(query.limit, list::DEFAULT_LIMIT);
        Ok(json!({"alerts": state.ctx.alerts.list(&filter, limit).await?}))
    })
    .await
}

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settlement {
    by: Option<String>,
}

/// `POST /api/v1/alerts/ID/ack` with an empty body or `{"by": NAME}`.
pub(super) async fn ack(state: Data<AdminState>, id: Path<String>, body: Bytes) -> HttpResponse {
    match name(&body) {
        Ok(by) => answer(state.ctx.alerts.ack(&id, &by).await),
        Err(problem) => problem.answer(),
    }
}

/// `POST /api/v1/alerts/ID/resolve` with an empty body or `{"by": NAME}`.
pub(super) async fn resolve(state: Data<AdminState>, id: Path<String>, body: Bytes) -> HttpResponse {
    match name(&body) {
        Ok(by) => answer(state.ctx.alerts.resolve(&id, &by).await),
        Err(problem) => problem.answer(),
    }
}

fn name(body: &Bytes) -> Result<String, Problem> {
    let refused = |status, detail: String| Problem::new(status, "body", "Bad request", detail);
    if body.len() > MAX_BODY_BYTES {
        let detail = format!("the body is larger than {MAX_BODY_BYTES} bytes");
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    if body.is_empty() {
        return Ok(DEFAULT_NAME.to_owned());
    }
    let settlement: Settlement = serde_json::from_slice(body).map_err(|error| {
        refused(
            StatusCode::BAD_REQUEST,
            format!("invalid body: {error}; send {{\"by\": NAME}} or an empty body"),
        )
    })?;
    Ok(settlement.by.unwrap_or_else(|| DEFAULT_NAME.to_owned()))
}

fn answer(settled: Result<Settled, Failure>) -> HttpResponse {
    match settled {
        Ok(Settled::Done(alert)) => HttpResponse::Ok().json(json!({"alert": alert})),
        Ok(Settled::Over(_)) => {
            let detail = "the alert is already resolved";
            Problem::new(StatusCode::CONFLICT, "resolved", "Conflict", detail).answer()
        }
        Ok(Settled::Unknown) => Problem::not_found().answer(),
        Err(failure) => store_failed(&failure),
    }
}
