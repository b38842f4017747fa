//! `jitgate image verify`.

use super::args::Verify;
use crate::adapters::image::inspect;
use crate::app::verify::runner_program::{self, Program};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::{findings, output};
use crate::domain::finding::{Finding, Severity, Subject};
use crate::domain::image::Manifest;
use crate::domain::runner_release::{ADOPTION, Release};
use crate::runtime;
use chrono::{DateTime, Utc};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Runs `image verify`.
pub(super) async fn run(args: &Verify, session: &Session) -> Outcome {
    let image = place(args, session)?;
    let inspection = inspect(&image);
    let mut found = inspection.findings;
    if let Some((manifest, built_at)) = &inspection.manifest {
        found.push(release(&image, manifest, *built_at, session).await);
    }
    let is_wrong = |finding: &Finding| matches!(finding.severity, Severity::Problem | Severity::Warning);
    let is_ok = !found.iter().any(is_wrong);
    if session.global.json {
        let name = inspection
            .manifest
            .as_ref()
            .map(|(manifest, _)| manifest.runner.clone());
        output::print_json(&json!({"image": image, "ok": is_ok, "runner": name.flatten(), "findings": found}))?;
    } else {
        output::print(|out| findings::print(out, &found))?;
    }
    Ok(if is_ok { Exit::Done } else { Exit::Negative })
}

/// Returns the folder of the image.
fn place(args: &Verify, session: &Session) -> Result<PathBuf, Failure> {
    if let Some(image) = &args.image {
        return Ok(image.clone());
    }
    let configured = match &args.place.images {
        Some(_) => None,
        None => session.config()?.qemu.image.clone(),
    };
    match configured {
        Some(image) => Ok(image),
        None => Ok(args.place.images(session)?.current()),
    }
}

/// Judges the release of the runner program by GitHub's answer, otherwise by the age of the image.
async fn release(image: &Path, manifest: &Manifest, built_at: DateTime<Utc>, session: &Session) -> Finding {
    let what = format!("the runner program in {}", image.display());
    let why = match manifest.runner.as_deref().and_then(Release::parse) {
        None => "the manifest does not have it".to_owned(),
        Some(installed) => match at_github(&what, installed, session).await {
            // A finding about GitHub says that it did not answer.
            Ok(finding) if finding.subject == Subject::Host && finding.severity != Severity::Unknown => return finding,
            Ok(finding) => finding.what,
            Err(why) => why,
        },
    };
    by_age(image, built_at, &why, session)
}

async fn at_github(what: &str, installed: Release, session: &Session) -> Result<Finding, String> {
    let config = session
        .config()
        .map_err(|_| "the configuration is invalid".to_owned())?;
    let repositories = runtime::repositories(config);
    let repository = repositories.first().ok_or("no repository is configured")?;
    let examination = runtime::open_examination(config, &session.clock).map_err(|error| error.to_string())?;
    let program = Program {
        what,
        remedy: &|current| {
            format!("build a new image with `jitgate image build --runner actions-runner-linux-x64-{current}.tar.gz`")
        },
    };
    let now = session.clock.now();
    Ok(runner_program::judge_release(examination.as_ref(), installed, program, &repository.scope, now).await)
}

fn by_age(image: &Path, built_at: DateTime<Utc>, why: &str, session: &Session) -> Finding {
    let age = session.clock.now() - built_at;
    let what = format!(
        "the image {} is {} days old; its age counts, because the release of its runner program is not judged: {why}",
        image.display(),
        age.num_days()
    );
    if age <= ADOPTION {
        return Finding::ok(Subject::Host, what);
    }
    Finding::warning(
        Subject::Host,
        what,
        "build a new one, with the current release of the runner program",
    )
}
