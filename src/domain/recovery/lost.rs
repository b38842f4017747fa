//! Lost jobs: a job that started on a runner and ended with it, not by itself.

use crate::domain::event::{Job, JobStatus};
use crate::domain::runner::Outcome;

/// The steps with which a runner program reports the end of a job.
const LAST_STEPS: [&str; 2] = ["Complete job", "Complete runner"];

/// Returns true if a job was lost together with its machine: GitHub failed it some minutes after it had heard of the
/// runner for the last time, so the runner did not report its last step. `outcome` is that of the runner, if it has ended;
/// a runner that jitgate ended for a reason is not lost.
#[must_use]
pub fn is_lost(job: &Job, outcome: Option<Outcome>) -> bool {
    let is_over = |name: &str| {
        let mut steps = job.steps.iter();
        steps.any(|step| step.name == name && step.status == "completed")
    };
    let ended_by_itself = matches!(outcome, None | Some(Outcome::Completed | Outcome::Died | Outcome::Lost));
    job.status == JobStatus::Completed
        && job.conclusion.as_deref() == Some("failure")
        && ended_by_itself
        && !LAST_STEPS.iter().any(|name| is_over(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Step;

    use crate::domain::samples;

    fn job(conclusion: &str, steps: &[(&str, &str)]) -> Job {
        let step = |(name, status): &(&str, &str)| Step {
            name: (*name).to_owned(),
            status: (*status).to_owned(),
            conclusion: None,
            started_at: None,
        };
        Job {
            conclusion: Some(conclusion.to_owned()),
            steps: steps.iter().map(step).collect(),
            ..samples::job(JobStatus::Completed)
        }
    }

    #[test]
    fn a_job_is_lost_if_its_runner_did_not_report_the_end() {
        let begun = [("Set up job", "completed"), ("Run make", "in_progress")];
        let ended = [
            ("Set up job", "completed"),
            ("Run make", "completed"),
            ("Complete job", "completed"),
        ];
        for (what, job, outcome, expected) in [
            ("the machine died", job("failure", &begun), Some(Outcome::Died), true),
            (
                "its slot vanished",
                job("failure", &begun),
                Some(Outcome::Completed),
                true,
            ),
            ("the connection was lost", job("failure", &begun), None, true),
            ("no step was reported", job("failure", &[]), Some(Outcome::Died), true),
            ("a step failed", job("failure", &ended), Some(Outcome::Completed), false),
            ("it succeeded", job("success", &ended), Some(Outcome::Completed), false),
            (
                "a person cancelled it",
                job("cancelled", &begun),
                Some(Outcome::Completed),
                false,
            ),
            (
                "it took too long",
                job("failure", &begun),
                Some(Outcome::TooLong),
                false,
            ),
            (
                "it filled the disk",
                job("failure", &begun),
                Some(Outcome::DiskFull),
                false,
            ),
            (
                "its runner was stolen",
                job("failure", &begun),
                Some(Outcome::Stolen),
                false,
            ),
            (
                "the end has begun",
                job("failure", &[("Complete job", "in_progress")]),
                None,
                true,
            ),
        ] {
            assert_eq!(is_lost(&job, outcome), expected, "{what}");
        }
        let running = Job {
            status: JobStatus::InProgress,
            ..job("failure", &begun)
        };
        assert!(!is_lost(&running, None));
    }
}
