//! Dispatches `why` by its object: a job, or a pull request.

use super::args::Args;
use super::{job, pull};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::ids::JobId;
use anyhow::anyhow;

/// Runs `why`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match (args.job, args.pr) {
        (Some(_), _) if args.which.repo.is_some() => {
            let error = anyhow!("--repo belongs to --pr; the id of a job is unique at GitHub");
            Err(Failure::new(Exit::Usage, error).remedy("omit --repo, or use --pr NUMBER"))
        }
        (Some(id), _) => job::run(JobId(id), session).await,
        (None, number) => pull::run(&args, number.unwrap_or_default(), session).await,
    }
}
