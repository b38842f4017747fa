//! The command line of `why`.

use crate::cli::credentials::CredentialArgs;
use crate::cli::one_repository::OneRepository;

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate why 101
  jitgate why 101 --json
  jitgate why --pr 7
  jitgate why --pr 7 --repo octo-org/chem-model --token-source gh --json

The id of a job is the last number in the URL of its page at GitHub: .../actions/runs/RUN/job/JOB

With --pr the command asks GitHub for the pull request as it is now. It decides on the jobs of its
head commit, on a job with the configured labels, and on a job with a hosted label, by the rules
of the job gate. Nothing is stored, and no runner is made. The two imagined jobs belong to a run
that the author of the pull request causes.

Exit codes: 0 the reasons are shown; 1 jitgate does not know the job; 2 the command line; 3 the
configuration or the credentials; 4 GitHub does not know the pull request, or did not answer; 5
the store.")]
pub struct Args {
    /// Id of the job
    #[arg(value_name = "JOB_ID", required_unless_present = "pr", conflicts_with = "pr")]
    pub job: Option<u64>,
    /// Number of a pull request
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub pr: Option<u64>,
    /// Path of the workflow that the imagined jobs of --pr belong to
    #[arg(long, value_name = "PATH", default_value = ".github/workflows/ci.yml")]
    pub workflow: String,
    #[command(flatten)]
    pub which: OneRepository,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}
