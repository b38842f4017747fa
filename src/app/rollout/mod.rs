//! Self-hosted routing and its rollback.

pub mod rollback;
