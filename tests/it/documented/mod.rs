//! Each command against a GitHub that is built from GitHub's own description: requests as documented, and a remedy for
//! each refusal.

mod app;
mod dry_runs;
mod jit;
mod pool;
mod refusals;
mod routing;
mod setup_dry_run;
mod setup_github;
pub(crate) mod stage;
mod verify;
