//! Routing of trusted jobs to self-hosted runners, and the return from it.

pub mod rollback;
