//! The command line of `replay`, and its loop over fixtures.

use super::fixture::{self, Deliver, Fixture};
use super::local::Local;
use super::play::{self, Played};
use super::report::{Colour, Report, Skipped};
use super::target::{Admin, Target};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use anyhow::{Context, Result, anyhow};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate replay fixtures
  jitgate replay fixtures/fork-writes-our-labels.json --json
  jitgate replay fixtures --target http://127.0.0.1:8080 --admin-url http://127.0.0.1:9090 \\
      --admin-token-file jitgate-state/admin-token

Against --target, deliveries are signed with the first webhook secret of this configuration, and the gate has to be on a
simulated GitHub (`jitgate simulate`), enforce, and serve a repository for each scenario (JITGATE__REPOSITORIES=o/1,o/2,...).
Scenarios with settings of their own, moving time or a restart are skipped there.")]
pub struct Args {
    /// Fixtures, or directories with fixtures
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// URL of the public listener of a running jitgate. By default a jitgate inside this process is used
    #[arg(long, value_name = "URL", requires = "admin_url")]
    pub target: Option<String>,
    /// URL of the admin listener of the running jitgate
    #[arg(long, value_name = "URL", requires = "target")]
    pub admin_url: Option<String>,
    /// File with the bearer token of the admin listener. By default `server.admin_token_file`
    #[arg(long, value_name = "FILE", requires = "target")]
    pub admin_token_file: Option<PathBuf>,
}

/// Runs `replay`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    let files = read(&args.paths)?;
    let report = match (args.target, args.admin_url) {
        (Some(target), Some(admin_url)) => against(target, admin_url, args.admin_token_file, &files, session).await?,
        _ => locally(&files)
            .await
            .map_err(|error| Failure::new(Exit::Configuration, error))?,
    };
    if session.global.json {
        output::print_json(&report.to_json())?;
    } else {
        let colour = Colour(std::io::stdout().is_terminal());
        output::print_coloured(|out| out.write_all(report.to_text(colour).as_bytes()))?;
    }
    Ok(if report.passed() { Exit::Done } else { Exit::Negative })
}

type File = (PathBuf, Fixture);

fn read(paths: &[PathBuf]) -> Result<Vec<File>, Failure> {
    let unreadable = |error| Failure::new(Exit::Configuration, anyhow::Error::new(error));
    let files = fixture::find(paths).map_err(unreadable)?;
    files
        .into_iter()
        .map(|path| Ok((path.clone(), fixture::read(&path).map_err(unreadable)?)))
        .collect()
}

/// Plays each fixture on a separate stage.
async fn locally(files: &[File]) -> Result<Report> {
    let begin = Instant::now();
    let mut report = Report::default();
    // A new client would read the certificates of the machine again, so all stages share one.
    let http = reqwest::Client::new();
    for (at, (path, fixture)) in files.iter().enumerate() {
        progress(at, files.len());
        let stage = Local::set_up(&fixture.settings, &http);
        let mut stage = stage.with_context(|| format!("{}: cannot set up the stage", path.display()))?;
        let played = play::play(&name_of(path), fixture, &mut stage).await;
        stage.tear_down().await;
        report.played.push(located(played, path)?);
    }
    report.took = begin.elapsed();
    progress(0, 0);
    Ok(report)
}

/// Plays the fixtures that can be played on a running jitgate, and skips the others.
async fn against(
    target: String,
    admin_url: String,
    token_file: Option<PathBuf>,
    files: &[File],
    session: &Session,
) -> Result<Report, Failure> {
    let config = session.config()?;
    let file = token_file.unwrap_or_else(|| config.server.admin_token_file.clone());
    let token = crate::config::read_secret_file(&file)
        .map_err(|error| Failure::new(Exit::Configuration, anyhow!("{}: {error}", file.display())))?;
    let secret = config.webhook.secrets.first().cloned().ok_or_else(|| {
        Failure::new(Exit::Configuration, anyhow!("webhook.secrets is empty"))
            .remedy("set it to the webhook secret of the target")
    })?;
    let variable = config
        .repositories
        .first()
        .map_or_else(String::new, |r| r.variable.clone());
    let admin = Admin { url: admin_url, token };
    let refused = |error| Failure::new(Exit::Usage, error);
    let mut stage = Target::connect(target, admin, secret, variable)
        .await
        .map_err(refused)?;
    let failed = |error| Failure::new(Exit::Negative, error);
    let begin = Instant::now();
    let mut report = Report::default();
    for (at, (path, fixture)) in files.iter().enumerate() {
        progress(at, files.len());
        let obstacle = match needs_a_stage_of_its_own(fixture) {
            None => stage.begin(&fixture.jobs()).await.map_err(failed)?,
            obstacle => obstacle,
        };
        if let Some(reason) = obstacle {
            report.skipped.push(Skipped {
                fixture: name_of(path),
                reason: reason.to_owned(),
            });
            continue;
        }
        let played = play::play(&name_of(path), fixture, &mut stage).await;
        report.played.push(located(played, path).map_err(failed)?);
    }
    report.took = begin.elapsed();
    progress(0, 0);
    Ok(report)
}

fn needs_a_stage_of_its_own(fixture: &Fixture) -> Option<&'static str> {
    if !fixture.settings.is_empty() {
        Some("has its own settings")
    } else if fixture.steps.iter().any(|step| step.advance_s.is_some()) {
        Some("advances the clock")
    } else if fixture.steps.iter().any(|step| step.restart) {
        Some("restarts jitgate")
    } else if fixture.steps.iter().any(|step| step.recover) {
        Some("makes a pass of recovery")
    } else if fixture.steps.iter().any(|step| step.history.is_some()) {
        Some("plays a history, which advances the clock")
    } else if fixture.steps.iter().any(|step| step.synthetic.is_some()) {
        Some("changes the simulated runners")
    } else if fixture.expects_a_canary() {
        Some("checks the rollout, which a running jitgate shows by `jitgate rollout status`")
    } else if fixture.github.get("rate_limit").is_some() {
        Some("exhausts a quota, which jitgate would remember")
    } else if fixture
        .steps
        .iter()
        .filter_map(|step| step.deliver.as_ref())
        .any(names_its_repository)
    {
        Some("names its repository")
    } else {
        None
    }
}

fn names_its_repository(deliver: &Deliver) -> bool {
    let payload = deliver.payload.as_ref();
    payload.is_some_and(|payload| payload.pointer("/repository/full_name").is_some())
}

fn located(played: Result<Played>, path: &Path) -> Result<Played> {
    played.with_context(|| path.display().to_string())
}

fn name_of(path: &Path) -> String {
    path.file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// Shows the progress on a terminal. A `total` of 0 clears the line.
fn progress(at: usize, total: usize) {
    let mut stderr = std::io::stderr().lock();
    if !stderr.is_terminal() {
        return;
    }
    let text = if total == 0 {
        "\r\x1b[K".to_owned()
    } else {
        format!("\r\x1b[Kscenario {} of {total}", at + 1)
    };
    // Failures to show progress are ignored.
    stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush())
        .unwrap_or_default();
}
