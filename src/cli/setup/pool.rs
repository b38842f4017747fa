//! `jitgate setup supervisor` and `jitgate setup reconcile-timer`.

use super::app_key::AppFlags;
use super::args::Pool;
use super::task::{Task, word};
use super::{install, token_refresh};
use crate::cli::credentials::TokenSource;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::pool::bounds as worker_bounds;
use crate::cli::session::Session;
use crate::domain::scale::Control;
use crate::domain::units::{
    DEFAULT_TOKEN_FILE, PoolUnits, RECONCILE_TIMER, SUPERVISOR, TOKEN_REFRESH, TOKEN_REFRESH_TIMER, TokenUnits, Wanted,
    Word,
};
use anyhow::anyhow;
use std::path::{Path, PathBuf};

/// The way in which the pool is kept filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Supervisor,
    Timer,
}

impl Mode {
    fn command(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Timer => "reconcile-timer",
        }
    }

    /// Returns the default interval between two passes, in seconds.
    fn interval_s(self) -> u64 {
        match self {
            Self::Supervisor => 15,
            Self::Timer => 60,
        }
    }
}

/// The credentials of the pool.
enum Token {
    Configured,
    File(Word),
    /// The token of an App, with the units that refresh it.
    Refreshed(Box<TokenUnits>),
    /// The token of an App without a refresh.
    Expiring(Word),
}

/// Runs `setup supervisor` or `setup reconcile-timer`.
pub(super) async fn run(args: &Pool, mode: Mode, session: &Session) -> Outcome {
    let mut task = Task::new(session, &args.machine, mode.command())?;
    let mut program = task.program()?;
    program.environment.extend(repository(args, &mut task)?);
    program
        .environment
        .extend(token_refresh::api_url(args.worker.credentials.app.api_url.as_deref()));
    let bounds = bounds(args, &task)?;
    let token = token(args, &mut task, &program)?;
    let pool = PoolUnits {
        program,
        min: bounds.min,
        max: bounds.max,
        target: bounds.target_effective,
        interval_s: args.interval.unwrap_or(mode.interval_s()),
        token_file: match &token {
            Token::Configured => None,
            Token::File(file) | Token::Expiring(file) => Some(file.clone()),
            Token::Refreshed(refresh) => Some(refresh.token_file.clone()),
        },
        is_refreshed: matches!(token, Token::Refreshed(_)),
    };
    let (units, on, off) = match mode {
        Mode::Supervisor => (pool.supervisor(), SUPERVISOR, RECONCILE_TIMER),
        Mode::Timer => (pool.reconcile(), RECONCILE_TIMER, SUPERVISOR),
    };
    let mut wanted = Wanted {
        units,
        user: args.machine.user.to_string(),
        directory: None,
        on: vec![on],
        first: None,
        off: vec![off],
        alert: None,
        replaces_edits: false,
    };
    match token {
        Token::Configured | Token::File(_) => {}
        Token::Refreshed(refresh) => {
            wanted.directory = Some(refresh.token_directory.to_string());
            wanted.units.extend(refresh.units());
            wanted.on.insert(0, TOKEN_REFRESH_TIMER);
            wanted.first = Some(TOKEN_REFRESH);
            wanted.alert = Some(false);
        }
        Token::Expiring(_) => {
            wanted.off.push(TOKEN_REFRESH_TIMER);
            wanted.alert = Some(true);
        }
    }
    install::run(task, wanted).await
}

/// Returns the setting for a repository that the configuration does not have because it has none.
fn repository(args: &Pool, task: &mut Task<'_>) -> Result<Option<(String, String)>, Failure> {
    let configured = &task.loaded.config.repositories;
    match args.worker.which.name()? {
        Some(named) if configured.is_empty() => Ok(Some(("JITGATE__REPOSITORIES".to_owned(), named.to_string()))),
        Some(_) => {
            let found = args.worker.which.configured(&task.loaded.config);
            task.obstacles.extend(found.err());
            Ok(None)
        }
        None => {
            if configured.is_empty() {
                let error = anyhow!("no repository is selected");
                let failure = Failure::new(Exit::Usage, error);
                task.obstacles
                    .push(failure.remedy("add --repo OWNER/NAME, or configure a [[repositories]] table"));
            }
            Ok(None)
        }
    }
}

/// Returns the bounds of the worker, which must leave a slot.
fn bounds(args: &Pool, task: &Task<'_>) -> Result<Control, Failure> {
    let bounds = worker_bounds(&args.worker.bounds, &task.loaded.config)?;
    if bounds.max == 0 {
        return Err(usage("--max 0 leaves no slot", "use a maximum of at least 1"));
    }
    Ok(bounds)
}

fn token(args: &Pool, task: &mut Task<'_>, program: &crate::domain::units::Program) -> Result<Token, Failure> {
    let given = &args.worker.credentials;
    let named = match (given.app.is_given(), &given.token_file) {
        (true, _) => Some(TokenSource::App),
        (false, Some(_)) => Some(TokenSource::File),
        (false, None) => None,
    };
    let source = given.token_source.or(named);
    if args.disable_app_token_refresh_setup && source != Some(TokenSource::App) {
        return Err(usage(
            "--disable-app-token-refresh-setup has no effect without --token-source app",
            "add --token-source app, or leave the flag out",
        ));
    }
    match source {
        None => Ok(Token::Configured),
        Some(TokenSource::Env | TokenSource::Gh) => Err(usage(
            "a service has neither the environment nor the `gh` login of a person",
            "use --token-source app, or --token-source file with --token-file FILE",
        )),
        Some(TokenSource::File) => match &given.token_file {
            Some(file) => Ok(Token::File(word(&absolute(file), "--token-file")?)),
            None => Err(usage(
                "--token-source file requires --token-file",
                "add --token-file FILE",
            )),
        },
        Some(TokenSource::App) => {
            let file = given.token_file.as_deref().unwrap_or(Path::new(DEFAULT_TOKEN_FILE));
            if args.disable_app_token_refresh_setup {
                if !args.allow_expiring_app_token {
                    return Err(usage(
                        "without the token refresh the pool stops working within an hour",
                        "leave out --disable-app-token-refresh-setup, or accept this with --allow-expiring-app-token",
                    ));
                }
                return Ok(Token::Expiring(word(&absolute(file), "--token-file")?));
            }
            let flags = AppFlags {
                id: given.app.app_id.as_deref(),
                installation_id: given.app.app_installation_id,
                private_key_file: given.app.app_private_key_file.as_deref(),
            };
            let app = flags.complete(task)?;
            let units = token_refresh::units(program.clone(), app, &absolute(file), token_refresh::DEFAULT_INTERVAL_S)?;
            Ok(Token::Refreshed(Box::new(units)))
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn usage(what: &str, remedy: &str) -> Failure {
    Failure::new(Exit::Usage, anyhow!("{what}")).remedy(remedy.to_owned())
}
