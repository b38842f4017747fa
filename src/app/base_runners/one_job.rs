//! Runs one job from a just-in-time configuration and removes everything that it needed.

use crate::domain::base_runner::jit_file::JitFile;
use crate::domain::base_runner::one_job::{Refusal, Step, plan};
use crate::ports::github::{Deletion, RunnerScope};
use crate::ports::runner_home::HomeLock;
use crate::ports::tools::{AttendedEnd, ToolCall, ToolError};
use crate::ports::{AttendedTools, Failure, GitHub, RunnerHomes};
use futures::future::BoxFuture;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable with which the runner program receives its configuration. Arguments are visible to other users.
const JIT_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// The ports of a job.
pub struct Ports<'a> {
    pub homes: &'a dyn RunnerHomes,
    pub tools: &'a dyn AttendedTools,
    /// GitHub and the scope of the runner's record; none without credentials.
    pub record: Option<(&'a dyn GitHub, RunnerScope)>,
}

/// A job to run.
pub struct Order<'a> {
    pub jit: JitFile,
    pub jit_path: &'a Path,
    pub home: &'a Path,
    pub timeout: Duration,
    /// The environment of the job.
    pub environment: Vec<(String, OsString)>,
}

/// The reason why a job cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    #[error("cannot be read: {0}")]
    Home(#[source] io::Error),
    #[error("is in use by another job, or by processes that an earlier job has left")]
    Locked,
    #[error("belongs to the registered runner {0}")]
    Registered(String),
    #[error("its work folder {0} is not empty")]
    UsedWorkFolder(PathBuf),
    #[error("its work folder {0} cannot be used: {1}")]
    WorkFolder(String, #[source] io::Error),
}

/// A planned job. The folder of the runner is locked.
pub struct Planned {
    pub steps: Vec<Step>,
    pub work_folder: PathBuf,
    _lock: Box<dyn HomeLock>,
}

/// The end of a job.
#[derive(Debug)]
pub struct Ran {
    /// None if the runner program was not started.
    pub end: Option<AttendedEnd>,
    /// The failures, in words.
    pub failures: Vec<String>,
}

/// Locks the folder of the runner and plans the job.
///
/// # Errors
/// If the folder cannot be used.
pub fn prepare(ports: &Ports<'_>, order: &Order<'_>) -> Result<Planned, CannotRun> {
    let lock = ports.homes.lock(order.home).map_err(CannotRun::Home)?;
    let lock = lock.ok_or(CannotRun::Locked)?;
    let installation = ports.homes.look(order.home).map_err(CannotRun::Home)?;
    let name = &order.jit.settings.work_folder;
    let found = ports.homes.work_folder(order.home, name);
    let (work_folder, is_used) = found.map_err(|error| CannotRun::WorkFolder(name.clone(), error))?;
    let steps = plan(&installation, is_used, ports.record.is_some());
    Ok(Planned {
        steps: steps.map_err(|refusal| match refusal {
            Refusal::Registered(name) => CannotRun::Registered(name),
            Refusal::UsedWorkFolder => CannotRun::UsedWorkFolder(work_folder.clone()),
        })?,
        work_folder,
        _lock: lock,
    })
}

/// Takes the steps of a job. After a failure before the runner program starts, only the steps after it are taken.
pub async fn run(ports: &Ports<'_>, order: &Order<'_>, planned: &Planned, stop: BoxFuture<'static, ()>) -> Ran {
    let mut ran = Ran {
        end: None,
        failures: Vec::new(),
    };
    let mut stop = Some(stop);
    for step in &planned.steps {
        let failure = match step {
            Step::RemoveLeftovers => remove_leftovers(ports, order, planned).err(),
            Step::RemoveJitFile => remove_file(ports, order.jit_path).err(),
            Step::Run if !ran.failures.is_empty() => None,
            Step::Run => match attend(ports, order, stop.take()).await {
                Ok(end) => {
                    ran.end = Some(end);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            Step::RemoveRegistration => remove_registration(ports, order).err(),
            Step::RemoveWorkFolder => remove_work_folder(ports, planned).err(),
            Step::RemoveRecord => remove_record(ports, order).await.err(),
        };
        ran.failures.extend(failure);
    }
    ran
}

async fn attend(
    ports: &Ports<'_>,
    order: &Order<'_>,
    stop: Option<BoxFuture<'static, ()>>,
) -> Result<AttendedEnd, ToolError> {
    let call = ToolCall::new(order.home.join("run.sh"), order.timeout)
        .within(order.home)
        .only(order.environment.clone())
        .secret(JIT_VARIABLE, order.jit.config.clone());
    let stop = stop.unwrap_or_else(|| Box::pin(std::future::pending()));
    ports.tools.attend(&call, stop).await
}

fn remove_leftovers(ports: &Ports<'_>, order: &Order<'_>, planned: &Planned) -> Result<(), String> {
    remove_registration(ports, order)?;
    remove_work_folder(ports, planned)
}

fn remove_file(ports: &Ports<'_>, path: &Path) -> Result<(), String> {
    let removed = ports.homes.remove_file(path);
    removed.map_err(|error| format!("{} cannot be removed: {error}", path.display()))
}

fn remove_registration(ports: &Ports<'_>, order: &Order<'_>) -> Result<(), String> {
    let removed = ports.homes.remove_registration(order.home);
    removed.map_err(|error| {
        format!(
            "the registration in {} cannot be removed: {error}",
            order.home.display()
        )
    })
}

fn remove_work_folder(ports: &Ports<'_>, planned: &Planned) -> Result<(), String> {
    let removed = ports.homes.remove_folder(&planned.work_folder);
    removed.map_err(|error| format!("{} cannot be removed: {error}", planned.work_folder.display()))
}

/// Removes GitHub's record, which usually has ended with the job.
async fn remove_record(ports: &Ports<'_>, order: &Order<'_>) -> Result<(), String> {
    let Some((github, scope)) = &ports.record else {
        return Ok(());
    };
    let name = &order.jit.name;
    let in_words = |failure: Failure| format!("GitHub's record of runner {name} is not removed: {failure}");
    let listed = github.runners_named(scope, name).await.map_err(in_words)?;
    // Another runner can have the name by now.
    if !listed.iter().any(|runner| runner.id == order.jit.id) {
        return Ok(());
    }
    match github.delete_runner(scope, order.jit.id).await.map_err(in_words)? {
        Deletion::Gone => Ok(()),
        Deletion::Busy => Err(format!(
            "GitHub's record of runner {name} is not removed: GitHub still shows a job on it"
        )),
    }
}
