//! The checks at GitHub: the App, the repositories and the clock; and the runner program, whose releases GitHub lists.

use crate::adapters::clock::SystemClock;
use crate::adapters::runner_home::LocalHomes;
use crate::adapters::tools::ProcessTools;
use crate::app::settings::Repository;
use crate::app::verify::{self, Connections, Known, app_access, clock, runner_program};
use crate::config::{Config, Host, Loaded};
use crate::domain::finding::{Finding, Subject};
use crate::domain::ids::RepositoryName;
use crate::ports::{Clock, Examination, RunnerHomes};
use crate::runtime::{self, WiringError};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// Time that the checks of one subject may take, in addition to the timeouts of each request.
const DEADLINE: Duration = Duration::from_secs(60);

/// Checks GitHub; `only` restricts the repositories.
pub(super) async fn all(loaded: &Loaded, only: Option<&RepositoryName>) -> Vec<Finding> {
    let config = &loaded.config;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = (|| {
        let github = runtime::open_github(config, &clock, Arc::new(()))?;
        let app = runtime::open_github_app(config, &clock)?;
        let administration = runtime::open_administration(config, &clock)?;
        let examination = runtime::open_examination(config, &clock)?;
        Ok((github, app, administration, examination))
    })();
    let (github, app, administration, examination) = match opened {
        Ok(opened) => opened,
        // Missing credentials are a finding of the configuration.
        Err(WiringError::NoCredentials) => return Vec::new(),
        Err(error) => {
            let remedy = "correct github.api_url, and install the package ca-certificates";
            return vec![Finding::problem(Subject::Github, error.to_string(), remedy)];
        }
    };
    let repositories = runtime::repositories(config);
    let is_wanted = |repository: &&Repository| only.is_none_or(|only| repository.name.matches(only.as_str()));
    let wanted: Vec<&Repository> = repositories.iter().filter(is_wanted).collect();
    // A failing store has its own finding.
    let store = runtime::open_store_beside(config, clock.clone()).ok();
    let known = Known {
        ledger: store.as_ref().map(|store| store.ledger.as_ref()),
        prefix: &config.runners.name_prefix,
        others: &config.runners.known,
    };
    let connections = Connections {
        github: github.as_ref(),
        administration: administration.as_ref(),
        examination: examination.as_ref(),
    };
    let repository = async |repository: &Repository| {
        let what = repository.name.to_string();
        within(&what, verify::at_github(connections, repository, known)).await
    };
    let app = app_access::check(github.as_ref(), app.as_ref(), examination.as_ref(), &wanted);
    let (there, app, time, program) = futures::join!(
        join_all(wanted.iter().map(|wanted| repository(wanted))),
        within("app", app),
        within("clock", async { vec![clock::check(examination.as_ref()).await] }),
        within("runner program", async {
            program(config, examination.as_ref(), &wanted, clock.as_ref()).await
        }),
    );
    verify::merged(there.concat().into_iter().chain(app).chain(time).chain(program))
}

async fn within(what: &str, checks: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let checked = tokio::time::timeout(DEADLINE, checks).await;
    checked.unwrap_or_else(|_| {
        let why = format!("the checks took more than {} s", DEADLINE.as_secs());
        vec![Finding::unknown(Subject::Github, what, why)]
    })
}

async fn program(
    config: &Config,
    examination: &dyn Examination,
    wanted: &[&Repository],
    clock: &dyn Clock,
) -> Vec<Finding> {
    let (Host::Local, Some(repository)) = (config.runners.host, wanted.first()) else {
        return Vec::new();
    };
    let home = &config.local.runner_home;
    // Root does not start a program that another account can replace.
    let is_safe = !runtime::is_root() || LocalHomes.look(home).is_ok_and(|there| there.owner == 0);
    if !is_safe {
        let what = format!("release of the runner program in {}", home.display());
        let why = "it does not belong to root, and root does not start it; run verify as its owner";
        return vec![Finding::unknown(Subject::Host, &what, why)];
    }
    vec![runner_program::check(&ProcessTools, examination, home, &repository.scope, clock.now()).await]
}
