//! Gathers the state of the machine, plans the steps, takes them, and looks at the result.

use super::report::Report;
use super::task::Task;
use super::{alert, machine, perform};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::domain::units::{Conflict, Wanted, plan};
use anyhow::anyhow;

/// Gathers the state of the machine, plans the steps, and takes them.
pub(super) async fn run(mut task: Task<'_>, mut wanted: Wanted) -> Outcome {
    wanted.replaces_edits = task.args.force;
    let is_dry = task.args.dry_run;
    let refused = |obstacles: Vec<Failure>| {
        for obstacle in obstacles {
            if !is_dry {
                return Err(obstacle);
            }
            output::report(&obstacle.as_warning());
        }
        Ok(())
    };
    refused(std::mem::take(&mut task.obstacles))?;
    let (mut machine, unanswered) = machine::look(&wanted, &task.args.unit_dir).await?;
    // Without systemd there is nothing to compare with, but the steps can be shown.
    refused(Vec::from_iter(unanswered))?;
    if let Some(obstacle) = machine::open_directory(&wanted, &machine) {
        refused(vec![obstacle])?;
    }
    machine.has_alert = alert::is_open(&task, &wanted).await;
    let steps = match plan(&wanted, &machine) {
        Ok(steps) => steps,
        Err(conflicts) if is_dry => {
            output::report(&edited(&conflicts, task.command).as_warning());
            let forced = Wanted {
                replaces_edits: true,
                ..wanted.clone()
            };
            plan(&forced, &machine).unwrap_or_default()
        }
        Err(conflicts) => return Err(edited(&conflicts, task.command)),
    };
    if steps.is_empty() {
        task.session.note_unchanged();
    }
    if !is_dry {
        for step in &steps {
            perform::take(step, &task).await?;
        }
        if !steps.is_empty() {
            machine::settled(&wanted).await?;
        }
    }
    Report {
        command: task.command,
        is_dry,
        steps: &steps,
        unit_dir: &task.args.unit_dir,
    }
    .print(task.session)?;
    Ok(Exit::Done)
}

fn edited(conflicts: &[Conflict], command: &str) -> Failure {
    let names: Vec<&str> = conflicts.iter().map(|conflict| conflict.unit).collect();
    let error = anyhow!(
        "edited by hand, or not written by `jitgate setup {command}`: {}",
        names.join(", ")
    );
    let first = names.first().copied().unwrap_or_default();
    let remedy =
        format!("move your changes to a drop-in (`systemctl edit {first}`), then replace the file with --force");
    Failure::new(Exit::Negative, error).remedy(remedy)
}
