//! `/api/v1/runners`: the runners there are, or were, and the jobs that wait for one.

use super::admin::{AdminState, bad_query, store_failed};
use crate::app::runners::list::{self, LISTED, LISTED_AT_MOST};
use crate::domain::runner::RunnerState;
use actix_web::web::{Data, Query};
use actix_web::{Error, HttpResponse};
use serde::Deserialize;

/// What `GET /api/v1/runners` can be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// States, comma-separated.
    state: Option<String>,
    repository: Option<String>,
    all: Option<bool>,
    limit: Option<usize>,
}

impl Asked {
    fn checked(self) -> Result<list::Asked, String> {
        let words = self.state.iter().flat_map(|words| words.split(','));
        let state = |word: &str| RunnerState::parse(word).ok_or_else(|| format!("there is no state {word:?}"));
        Ok(list::Asked {
            states: words.map(state).collect::<Result<_, _>>()?,
            repository: self.repository,
            all: self.all.unwrap_or_default(),
            limit: self.limit.unwrap_or(LISTED).min(LISTED_AT_MOST),
        })
    }
}

/// `GET /api/v1/runners`: those that changed last, at most 1000.
pub(super) async fn runners(state: Data<AdminState>, asked: Result<Query<Asked>, Error>) -> HttpResponse {
    let asked = asked.map_err(|error| error.to_string());
    let asked = match asked.and_then(|asked| asked.into_inner().checked()) {
        Ok(asked) => asked,
        Err(detail) => return bad_query(detail),
    };
    match list::call(state.ctx.ledger.as_ref(), &asked).await {
        Ok(roster) => HttpResponse::Ok().json(roster),
        Err(failure) => store_failed(&failure),
    }
}
