//! `/api/v1/incidents`: the incidents.

use super::admin::AdminState;
use super::list;
use crate::app::incidents::{self, IncidentFilter};
use crate::domain::incident::{Incident, IncidentState};
use actix_web::web::{Data, Query};
use actix_web::{Error, HttpResponse};
use serde::Deserialize;
use serde_json::json;

/// The query of `GET /api/v1/incidents`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentsQuery {
    /// The states, separated by commas.
    state: Option<String>,
    repository: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/v1/incidents`: returns the incidents, the latest first, at most 1000.
pub(super) async fn list(state: Data<AdminState>, query: Result<Query<IncidentsQuery>, Error>) -> HttpResponse {
    list::answer(query, async |query: IncidentsQuery| {
        let filter = IncidentFilter {
            states: list::words(query.state.as_deref(), &IncidentState::ALL, IncidentState::as_str)?,
            repository: query.repository,
        };
        let limit = list::limit(query.limit, list::DEFAULT_LIMIT);
        let ctx = &state.ctx;
        let listed = incidents::list(ctx.ledger.as_ref(), &ctx.alerts, &filter, limit).await?;
        let listed: Vec<_> = listed.iter().map(Incident::summary).collect();
        Ok(json!({"incidents": listed}))
    })
    .await
}
