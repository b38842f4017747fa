//! The endpoints' own answers, one file per subject.

use super::api::{Call, Refused};
use super::state::State;

pub(super) mod actions;
pub(super) mod app;
pub(super) mod repositories;
pub(super) mod runners;

/// The repository a path under `/repos/{owner}/{repo}` is about.
fn repository(state: &State, call: &Call<'_>) -> Result<u64, Refused> {
    let name = format!("{}/{}", call.arg(0), call.arg(1));
    let found = state.repository_named(&name).filter(|repository| !repository.deleted);
    found.map(|repository| repository.id).ok_or_else(Refused::not_found)
}
