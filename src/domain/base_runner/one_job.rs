//! The steps of one job on a runner of a just-in-time configuration.
//!
//! The configuration is read before the first step. Its file is removed before the runner program starts, so that the job
//! cannot read it. The steps after the job are taken however it ended.

use super::installation::{Installation, Registration};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Remove the registration and the work folder of a job that was interrupted.
    RemoveLeftovers,
    RemoveJitFile,
    /// Run the runner program until it ends.
    Run,
    RemoveRegistration,
    RemoveWorkFolder,
    /// Remove the record at GitHub.
    RemoveRecord,
}

/// The reason why no job can run in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A runner is registered there for more than one job.
    Registered(String),
    /// The work folder contains files of unknown origin.
    UsedWorkFolder,
}

/// Plans the steps of a job.
///
/// # Errors
/// If the folder belongs to another runner, or if its work folder is not empty.
pub fn plan(
    installation: &Installation,
    is_work_folder_used: bool,
    has_credentials: bool,
) -> Result<Vec<Step>, Refusal> {
    let is_left_over = match &installation.registration {
        Registration::Present(settings) if !settings.is_ephemeral => {
            return Err(Refusal::Registered(settings.name.clone()));
        }
        Registration::Present(_) => true,
        Registration::Damaged | Registration::Interrupted(_) | Registration::Missing => false,
    };
    if is_work_folder_used && !is_left_over {
        return Err(Refusal::UsedWorkFolder);
    }
    let mut steps = Vec::new();
    if is_left_over {
        steps.push(Step::RemoveLeftovers);
    }
    steps.extend([
        Step::RemoveJitFile,
        Step::Run,
        Step::RemoveRegistration,
        Step::RemoveWorkFolder,
    ]);
    if has_credentials {
        steps.push(Step::RemoveRecord);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::base_runner::installation::RunnerSettings;

    #[test]
    fn a_job_runs_only_in_a_folder_that_belongs_to_no_other_runner() {
        let of = |is_ephemeral: Option<bool>| Installation {
            registration: is_ephemeral.map_or(Registration::Missing, |is_ephemeral| {
                Registration::Present(RunnerSettings {
                    name: "base".to_owned(),
                    is_ephemeral,
                    ..RunnerSettings::default()
                })
            }),
            has_service_script: false,
            unit: None,
            owner: 1000,
        };
        let usual = [
            Step::RemoveJitFile,
            Step::Run,
            Step::RemoveRegistration,
            Step::RemoveWorkFolder,
        ];
        assert_eq!(plan(&of(None), false, false).expect("a plan"), usual);
        let with_record = plan(&of(None), false, true).expect("a plan");
        assert_eq!(with_record.last(), Some(&Step::RemoveRecord));
        assert_eq!(plan(&of(None), true, true), Err(Refusal::UsedWorkFolder));
        let registered = Err(Refusal::Registered("base".to_owned()));
        assert_eq!(plan(&of(Some(false)), false, true), registered);
        let again = plan(&of(Some(true)), true, false).expect("a plan");
        assert_eq!(again.first(), Some(&Step::RemoveLeftovers));
        assert_eq!(again[1..], usual);
    }
}
