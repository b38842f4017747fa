//! Takes one step of a plan.

use super::alert;
use super::task::Task;
use crate::adapters::private_file::{self, PUBLIC_MODE};
use crate::adapters::tools::ProcessTools;
use crate::cli::exit::{Exit, Failure};
use crate::domain::units::Step;
use crate::ports::Tools;
use crate::ports::tools::ToolCall;
use anyhow::anyhow;
use std::time::Duration;

/// Time that a change of a unit may take: a start waits for the token refresh, and a stop for work in flight.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(240);

/// Takes a step. Every step can be repeated.
pub(super) async fn take(step: &Step, task: &Task<'_>) -> Result<(), Failure> {
    match step {
        Step::CreateUser(name) => {
            let call = ToolCall::new("useradd", CHANGE_TIMEOUT).args(["--system", "--user-group", "--no-create-home"]);
            let call = call.args(["--home-dir", "/var/lib/jitgate", "--shell", "/usr/sbin/nologin", name]);
            run(&call, "create the account by hand, or name another one with --user").await
        }
        Step::CloseDirectory { path, user } => {
            let owner = format!("--owner={user}");
            let call = ToolCall::new("install", CHANGE_TIMEOUT).args(["--directory", "--mode=0700", &owner, path]);
            run(&call, "create the directory by hand").await
        }
        Step::Write(unit) => {
            let path = task.args.unit_dir.join(unit.name);
            let origin = task.args.person.origin(task.session.clock.now());
            let by = origin.by.unwrap_or_default();
            let person = origin
                .why
                .map_or_else(|| format!("By {by}."), |why| format!("By {by}: {why}"));
            let text = unit.generated(task.command, &person);
            // systemd warns of a unit that others cannot read.
            private_file::replace(&path, PUBLIC_MODE, text.as_bytes()).map_err(|error| {
                Failure::new(Exit::RunnerHost, error)
                    .remedy("run the command as root, and check the space and the mode of that directory")
            })
        }
        Step::Reload => systemctl(&["daemon-reload"], None).await,
        Step::Disable(unit) => systemctl(&["disable", "--now", unit], Some(unit)).await,
        Step::Enable(unit) => systemctl(&["enable", "--now", unit], Some(unit)).await,
        Step::RunOnce(unit) => systemctl(&["start", unit], Some(unit)).await,
        Step::Restart(unit) => systemctl(&["restart", unit], Some(unit)).await,
        Step::RaiseAlert => alert::raise(task).await,
        Step::EndAlert => alert::end(task).await,
    }
}

async fn systemctl(words: &[&str], unit: Option<&str>) -> Result<(), Failure> {
    let remedy = match unit {
        Some(unit) => format!("see `systemctl status {unit}` and `journalctl -u {unit}`, then run this command again"),
        None => "see `journalctl -b -p warning`, then run this command again".to_owned(),
    };
    run(&ToolCall::new("systemctl", CHANGE_TIMEOUT).args(words), &remedy).await
}

async fn run(call: &ToolCall, remedy: &str) -> Result<(), Failure> {
    let failed = |error: anyhow::Error| Failure::new(Exit::RunnerHost, error).remedy(remedy.to_owned());
    let output = ProcessTools.run(call).await.map_err(|error| failed(error.into()))?;
    if output.is_success() {
        return Ok(());
    }
    let why = output.last_line().unwrap_or("no reason given").to_owned();
    Err(failed(anyhow!("`{}` failed: {why}", call.in_words())))
}
