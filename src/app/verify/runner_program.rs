//! The runner program of this machine against the releases that GitHub accepts.

use super::unanswered::unanswered;
use crate::domain::finding::{Finding, Subject};
use crate::domain::runner_release::{ADOPTION, MINIMUM, Release, Standing, judge};
use crate::ports::github::RunnerScope;
use crate::ports::tools::ToolCall;
use crate::ports::{Examination, Tools};
use chrono::{DateTime, Utc};
use std::path::Path;
use std::time::Duration;

/// Time that the program may take to print its version.
const TIMEOUT: Duration = Duration::from_secs(10);
const PROGRAM: &str = "bin/Runner.Listener";

/// A runner program in messages.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// Its name and place.
    pub what: &'a str,
    /// Returns how to install a release there.
    pub remedy: &'a (dyn Fn(Release) -> String + Sync),
}

/// Checks the program in a folder.
pub async fn check(
    tools: &dyn Tools,
    examination: &dyn Examination,
    home: &Path,
    scope: &RunnerScope,
    now: DateTime<Utc>,
) -> Finding {
    let place = home.display();
    let what = format!("the runner program in {place}");
    let program = Program {
        what: &what,
        remedy: &|current| {
            format!(
                "install {current} in {place}: https://github.com/actions/runner/releases/tag/v{current}; jobs that run keep \
                 their copy"
            )
        },
    };
    match installed(tools, home).await {
        Ok(installed) => judge_release(examination, installed, program, scope, now).await,
        Err(why) => Finding::unknown(Subject::Host, &format!("release of {}", &what[4..]), why),
    }
}

/// Judges a release by GitHub's current one.
pub async fn judge_release(
    examination: &dyn Examination,
    installed: Release,
    program: Program<'_>,
    scope: &RunnerScope,
    now: DateTime<Utc>,
) -> Finding {
    let current = match examination.runner_release(scope).await {
        Ok(Some(current)) => current,
        Ok(None) => {
            let what = format!("{} is {installed}", program.what);
            return Finding::unknown(Subject::Host, &what, "GitHub lists no release for Linux");
        }
        Err(failure) => return unanswered("releases of the runner program", &failure),
    };
    // Without a date the release is reported as outdated.
    let released_at = match installed < current {
        true => examination.released_at(current).await.ok().flatten(),
        false => None,
    };
    judged(program, installed, current, judge(installed, current, released_at, now))
}

async fn installed(tools: &dyn Tools, home: &Path) -> Result<Release, String> {
    let call = ToolCall::new(home.join(PROGRAM), TIMEOUT).arg("--version").within(home);
    let output = tools.run(&call).await.map_err(|error| error.to_string())?;
    let version = output
        .stdout
        .lines()
        .find_map(Release::parse)
        .filter(|_| output.is_success());
    version.ok_or_else(|| {
        let said = output.last_line().unwrap_or("nothing").to_owned();
        format!(
            "`{} --version` printed no version, but: {said}",
            home.join(PROGRAM).display()
        )
    })
}

fn judged(program: Program<'_>, installed: Release, current: Release, standing: Standing) -> Finding {
    let what = format!("{} is {installed}", program.what);
    let remedy = (program.remedy)(current);
    match standing {
        Standing::Current => Finding::ok(
            Subject::Host,
            format!("{what}, and GitHub's current release is {current}"),
        ),
        Standing::Outdated(Some(deadline)) => Finding::warning(
            Subject::Host,
            format!(
                "{what}; GitHub rejects it after {}, because {current} exists",
                deadline.format("%F")
            ),
            remedy,
        ),
        Standing::Outdated(None) => Finding::warning(
            Subject::Host,
            format!(
                "{what}, and {current} exists; GitHub rejects it {} days after that release",
                ADOPTION.num_days()
            ),
            remedy,
        ),
        Standing::Expired => Finding::problem(
            Subject::Host,
            format!(
                "{what}, and GitHub rejects it: {current} is older than {} days",
                ADOPTION.num_days()
            ),
            remedy,
        ),
        Standing::TooOld => Finding::problem(
            Subject::Host,
            format!("{what}, and GitHub rejects releases before {MINIMUM}"),
            remedy,
        ),
    }
}
