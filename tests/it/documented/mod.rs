//! Each command against a GitHub that is built from GitHub's own description: requests as documented, and a remedy for
//! each refusal.

mod routing;
pub(crate) mod stage;
