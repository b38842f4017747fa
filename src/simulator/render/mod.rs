//! The JSON of REST answers and of deliveries, complete enough for GitHub's own schemas.

pub(super) mod accounts;
pub(super) mod pulls;
pub(super) mod runs;
pub(super) mod webhook;
pub(super) mod words;
