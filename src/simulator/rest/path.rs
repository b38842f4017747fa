//! The object that a path refers to.

use crate::simulator::call::{Call, Refused};
use crate::simulator::state::State;

/// Returns the repository of a path under `/repos/{owner}/{repo}`.
pub(super) fn repository(state: &State, call: &Call<'_>) -> Result<u64, Refused> {
    let name = format!("{}/{}", call.arg(0), call.arg(1));
    let found = state.repository_named(&name).filter(|repository| !repository.deleted);
    found.map(|repository| repository.id).ok_or_else(Refused::not_found)
}
