//! The common part of all list endpoints: the query, its words, the limit and the answer.

use super::problem::{Problem, store_failed};
use crate::domain::text::one_of;
use crate::ports::Failure;
use actix_web::http::StatusCode;
use actix_web::web::Query;
use actix_web::{Error, HttpResponse};
use serde::Serialize;

/// The number of items in one answer, unless the query sets another.
pub(super) const DEFAULT_LIMIT: usize = 200;
const MAX_LISTED: usize = 1000;

/// The reason for an answer without a list.
pub(super) enum Refused {
    Query(String),
    Store(Failure),
}

impl From<String> for Refused {
    fn from(detail: String) -> Self {
        Self::Query(detail)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

/// Answers a query with a list.
pub(super) async fn answer<Q, T: Serialize>(
    query: Result<Query<Q>, Error>,
    list: impl AsyncFnOnce(Q) -> Result<T, Refused>,
) -> HttpResponse {
    let listed = match query {
        Ok(query) => list(query.into_inner()).await,
        Err(error) => Err(Refused::Query(error.to_string())),
    };
    match listed {
        Ok(listed) => HttpResponse::Ok().json(listed),
        Err(Refused::Query(detail)) => Problem::new(StatusCode::BAD_REQUEST, "query", "Bad request", detail).answer(),
        Err(Refused::Store(failure)) => store_failed(&failure),
    }
}

pub(super) fn limit(requested: Option<usize>, default: usize) -> usize {
    requested.unwrap_or(default).min(MAX_LISTED)
}

/// Parses words that are separated by commas.
pub(super) fn words<T: Copy>(text: Option<&str>, all: &[T], as_str: fn(T) -> &'static str) -> Result<Vec<T>, String> {
    let words = text.into_iter().flat_map(|text| text.split(','));
    let read = |word| one_of(all, as_str, word).map_err(|expected| format!("unknown word {word:?}: {expected}"));
    words.map(read).collect()
}
