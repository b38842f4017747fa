//! The request for one just-in-time runner by a person.
//!
//! GitHub creates the runner's record before its answer arrives. A request whose answer is lost is therefore never repeated:
//! its record is looked up by name and removed, and the next request has another name.

use crate::ports::github::{Deletion, JitOutcome, JitRequest, JitRunner, RunnerScope};
use crate::ports::{Failure, GitHub};

/// The reason why there is no runner.
#[derive(Debug, thiserror::Error)]
pub enum JitRequestError {
    /// GitHub refuses the request.
    #[error("{0}")]
    Refused(String),
    /// GitHub gave no answer, and no record is left.
    #[error(transparent)]
    Failed(Failure),
    /// The answer is lost, and GitHub may still have a record with this name.
    #[error("{failure}; GitHub may have a record of runner {name}")]
    Uncertain { name: String, failure: Failure },
    /// Other runners have all of the names.
    #[error("other runners have the names {}", .0.join(", "))]
    NamesTaken(Vec<String>),
}

/// Requests a runner, with the next name after a lost answer or a name that is taken. `report` receives what happened.
///
/// # Errors
/// If GitHub refuses, or gave no answer for any of the names.
pub async fn request_runner(
    github: &dyn GitHub,
    scope: &RunnerScope,
    template: &JitRequest,
    names: &[String],
    mut report: impl FnMut(&str),
) -> Result<(String, JitRunner), JitRequestError> {
    let mut lost = None;
    for name in names {
        let request = JitRequest {
            name: name.clone(),
            ..template.clone()
        };
        match github.generate_jit(scope, &request).await {
            Ok(JitOutcome::Made(runner)) => return Ok((name.clone(), runner)),
            Ok(JitOutcome::NameTaken) => report(&format!("another runner has the name {name}")),
            Ok(JitOutcome::Refused(why)) => return Err(JitRequestError::Refused(why)),
            Err(failure @ Failure::Transient(_)) => {
                report(&format!(
                    "no answer about runner {name}: {failure}; its record is looked up"
                ));
                remove(github, scope, name).await?;
                lost = Some(failure);
            }
            Err(failure) => return Err(JitRequestError::Failed(failure)),
        }
    }
    Err(match lost {
        Some(failure) => JitRequestError::Failed(failure),
        None => JitRequestError::NamesTaken(names.to_vec()),
    })
}

/// Removes the record that a lost answer may have left.
///
/// # Errors
/// If GitHub does not confirm that it is gone.
pub async fn remove(github: &dyn GitHub, scope: &RunnerScope, name: &str) -> Result<(), JitRequestError> {
    let uncertain = |failure| JitRequestError::Uncertain {
        name: name.to_owned(),
        failure,
    };
    for runner in github.runners_named(scope, name).await.map_err(uncertain)? {
        if github.delete_runner(scope, runner.id).await.map_err(uncertain)? == Deletion::Busy {
            return Err(uncertain(Failure::Permanent(format!("runner {name} runs a job"))));
        }
    }
    Ok(())
}
