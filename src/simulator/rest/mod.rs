//! The answers of the endpoints, one file per subject.

pub(super) mod actions;
pub(super) mod app;
pub(super) mod contents;
pub(super) mod groups;
pub(super) mod path;
pub(super) mod policies;
pub(super) mod repositories;
pub(super) mod runners;
