//! `jitgate setup token-refresh`.

use super::app_key::{AppFlags, AppKey};
use super::args::TokenRefresh;
use super::install;
use super::task::{Task, word};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::units::{Program, TOKEN_REFRESH, TOKEN_REFRESH_TIMER, TokenUnits, Wanted};
use anyhow::anyhow;
use std::path::Path;

/// Maximum interval between two refreshes: a token lasts an hour.
const MAX_INTERVAL_S: u64 = 50 * 60;
/// Minimum interval between two refreshes.
const MIN_INTERVAL_S: u64 = 5;
/// The default interval between two refreshes.
pub(super) const DEFAULT_INTERVAL_S: u64 = 30 * 60;

/// Runs `setup token-refresh`.
pub(super) async fn run(args: &TokenRefresh, session: &Session) -> Outcome {
    if !(MIN_INTERVAL_S..=MAX_INTERVAL_S).contains(&args.interval) {
        let error = anyhow!(
            "--interval {} is not between {MIN_INTERVAL_S} and {MAX_INTERVAL_S} s",
            args.interval
        );
        let remedy =
            "a token expires after 60 minutes: refresh it every 30 minutes, and at least every 50 (--interval 3000)";
        return Err(Failure::new(Exit::Usage, error).remedy(remedy));
    }
    let mut task = Task::new(session, &args.machine, "token-refresh")?;
    let mut program = task.program()?;
    program.environment.extend(api_url(args.api_url.as_deref()));
    let flags = AppFlags {
        id: args.app_id.as_deref(),
        installation_id: args.app_installation_id,
        private_key_file: args.app_private_key_file.as_deref(),
    };
    let app = flags.complete(&mut task)?;
    let refresh = units(program, app, &args.token_file, args.interval)?;
    let wanted = Wanted {
        directory: Some(refresh.token_directory.to_string()),
        units: refresh.units(),
        user: args.machine.user.to_string(),
        on: vec![TOKEN_REFRESH_TIMER],
        first: Some(TOKEN_REFRESH),
        off: Vec::new(),
        alert: Some(false),
        replaces_edits: false,
    };
    install::run(task, wanted).await
}

/// Returns the setting for another API of GitHub.
pub(super) fn api_url(url: Option<&str>) -> Option<(String, String)> {
    url.map(|url| ("JITGATE__GITHUB__API_URL".to_owned(), url.replace('%', "%%")))
}

/// Returns the units of the token refresh.
pub(super) fn units(
    mut program: Program,
    app: AppKey,
    token_file: &Path,
    interval_s: u64,
) -> Result<TokenUnits, Failure> {
    let flag = "--token-file";
    program
        .environment
        .retain(|(name, _)| name.starts_with("JITGATE__GITHUB__"));
    let directory = token_file.parent().filter(|_| token_file.is_absolute());
    let Some(directory) = directory else {
        let error = anyhow!("{flag} {}: is not an absolute path of a file", token_file.display());
        return Err(Failure::new(Exit::Usage, error).remedy("name a file in a directory of its own, below /etc"));
    };
    Ok(TokenUnits {
        program,
        app_id: app.id,
        installation_id: app.installation_id,
        private_key_file: app.private_key_file,
        token_directory: word(directory, flag)?,
        token_file: word(token_file, flag)?,
        interval_s,
    })
}
