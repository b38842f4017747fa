//! `jitgate setup recovery`.

use super::args::Recovery;
use super::install;
use super::task::{Task, word};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::units::{RECOVERY_PATH, RecoveryUnits, Wanted, Word};
use anyhow::anyhow;

/// Runs `setup recovery`.
pub(super) async fn run(args: &Recovery, session: &Session) -> Outcome {
    let mut task = Task::new(session, &args.machine, "recovery")?;
    let named = match args.which.name()? {
        Some(named) => Ok(named.to_string()),
        None => args
            .which
            .configured(&task.loaded.config)
            .map(|repository| repository.name.to_string()),
    };
    let repository = named.unwrap_or_else(|failure| {
        task.obstacles.push(failure);
        "OWNER/NAME".to_owned()
    });
    let home = std::path::absolute(&args.runner_home).unwrap_or_else(|_| args.runner_home.clone());
    if !home.is_dir() {
        let error = anyhow!("--runner-home {}: is not a directory", home.display());
        task.obstacles
            .push(Failure::new(Exit::Usage, error).remedy("name the directory of the base runner"));
    }
    let token_file = args.token_file.as_deref().map(|file| word(file, "--token-file"));
    let recovery = RecoveryUnits {
        program: task.program()?,
        repository: Word::parse(&repository).map_err(|error| Failure::new(Exit::Usage, anyhow!("--repo {error}")))?,
        labels: args.labels.clone(),
        group: args.group.clone(),
        runner_home: word(&home, "--runner-home")?,
        token_file: token_file.transpose()?,
    };
    let wanted = Wanted {
        units: recovery.units(),
        user: args.machine.user.to_string(),
        directory: None,
        on: vec![RECOVERY_PATH],
        first: None,
        off: Vec::new(),
        alert: None,
        replaces_edits: false,
    };
    install::run(task, wanted).await
}
