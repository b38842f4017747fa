//! `/api/v1/runners`: present and past runners, and the jobs that wait for one.

use super::admin::AdminState;
use super::list;
use crate::app::runners::list::{DEFAULT_LIMIT, RunnerFilter, list_runners};
use crate::domain::runner::RunnerState;
use actix_web::web::{Data, Query};
use actix_web::{Error, HttpResponse};
use serde::Deserialize;

/// The query of `GET /api/v1/runners`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunnersQuery {
    /// The states, separated by commas.
    state: Option<String>,
    repository: Option<String>,
    all: Option<bool>,
    limit: Option<usize>,
}

/// `GET /api/v1/runners`: returns the runners, the last changed first, at most 1000.
pub(super) async fn runners(state: Data<AdminState>, query: Result<Query<RunnersQuery>, Error>) -> HttpResponse {
    list::answer(query, async |query: RunnersQuery| {
        let filter = RunnerFilter {
            states: list::words(query.state.as_deref(), &RunnerState::ALL, RunnerState::as_str)?,
            repository: query.repository,
            all: query.all.unwrap_or_default(),
            limit: list::limit(query.limit, DEFAULT_LIMIT),
        };
        Ok(list_runners(state.ctx.ledger.as_ref(), &filter).await?)
    })
    .await
}
