//! The registration that `runner register` and `runner recover` ask for: flags, account, warnings, texts.

use super::args::RegistrationArgs;
use super::target::Target;
use super::texts::{environment, of_github, of_host};
use crate::adapters::runner_home::LocalHomes;
use crate::adapters::tools::ProcessTools;
use crate::app::base_runners::account::Account;
use crate::app::base_runners::preflight;
use crate::app::base_runners::register::{Order, RegisterError, config_arguments};
use crate::cli::exit::{Exit, Failure};
use crate::domain::base_runner::problem::Problem;
use crate::domain::base_runner::repair::{Plan, Refusal, Request, Step};
use crate::ports::RunnerHomes;
use crate::ports::github::RunnerScope;
use crate::runtime;
use anyhow::anyhow;
use std::path::Path;
use std::time::Duration;

/// The programs that a registration needs.
const PROGRAMS: [&str; 3] = ["config.sh", "run.sh", "bin/Runner.Listener"];
/// The group of all runners without another one.
const DEFAULT_GROUP: &str = "Default";

/// Returns the registration that the flags ask for.
///
/// # Errors
/// If the runner program or its account is missing, or if the flags contradict each other.
pub(super) async fn order<'a>(
    args: &'a RegistrationArgs,
    target: &Target,
    force: bool,
    timeout: Duration,
) -> Result<Order<'a>, Failure> {
    let home = args.runner_home.as_path();
    if let Some(problem) = preflight::check(&LocalHomes, &ProcessTools, home, &PROGRAMS)
        .await
        .first()
    {
        return Err(of_host(problem));
    }
    let account = account(args).await?;
    let mut environment = environment();
    // A service of root must be asked for by name.
    if account.uid == 0 {
        environment.push(("RUNNER_ALLOW_RUNASROOT".to_owned(), "1".into()));
    }
    Ok(Order {
        request: Request {
            url: target.url.clone(),
            name: args.name.clone(),
            default_name: runtime::default_runner_name(),
            labels: labels(&args.labels)?,
            work_folder: args.work.clone(),
            force,
        },
        scope: target.scope.clone(),
        home,
        group: group(args, &target.scope)?,
        is_own_account: account.uid == runtime::own_uid(),
        account,
        environment,
        timeout,
    })
}

/// Returns the labels of a flag; none without the flag.
pub(super) fn labels(given: &[String]) -> Result<Option<Vec<String>>, Failure> {
    let labels: Vec<String> = given.iter().map(|label| label.trim().to_owned()).collect();
    if labels.iter().any(String::is_empty) {
        let error = anyhow!("--labels contains an empty label");
        return Err(Failure::new(Exit::Usage, error).remedy("separate labels by single commas"));
    }
    Ok((!labels.is_empty()).then_some(labels))
}

/// Returns the runner group for `config.sh`, which accepts one for organizations only.
fn group(args: &RegistrationArgs, scope: &RunnerScope) -> Result<Option<String>, Failure> {
    let Some(group) = args
        .group
        .as_deref()
        .filter(|group| !group.eq_ignore_ascii_case(DEFAULT_GROUP))
    else {
        return Ok(None);
    };
    match scope {
        RunnerScope::Organization(_) => Ok(Some(group.to_owned())),
        RunnerScope::Repository(_) => {
            let error = anyhow!("--group {group}: runners of a repository have no groups");
            Err(Failure::new(Exit::Usage, error).remedy("add --scope org, or omit --group"))
        }
    }
}

/// Returns the account of the service: by default the owner of the runner program.
async fn account(args: &RegistrationArgs) -> Result<Account, Failure> {
    let home = args.runner_home.as_path();
    let installation = LocalHomes
        .look(home)
        .map_err(|error| of_home(home, &error.to_string()))?;
    let key = args
        .service_user
        .clone()
        .unwrap_or_else(|| installation.owner.to_string());
    let found = Account::find(&ProcessTools, &key).await;
    let found = found.map_err(|error| Failure::new(Exit::RunnerHost, error))?;
    let Some(account) = found else {
        let error = anyhow!("this machine has no account {key}, as which the runner would run");
        return Err(Failure::new(Exit::RunnerHost, error)
            .remedy("create it (useradd --create-home runner), or name another one with --service-user"));
    };
    if account.uid == 0 && args.service_user.is_none() {
        let error = anyhow!("{} belongs to root, and jobs must not run as root", home.display());
        return Err(Failure::new(Exit::RunnerHost, error).remedy(format!(
            "give it to an account of its own: sudo chown -R runner: {}; --service-user root accepts root",
            home.display()
        )));
    }
    if account.uid != installation.owner && account.uid != 0 {
        let (name, home) = (&account.name, home.display());
        let error = anyhow!("{home} does not belong to {name}, as which the runner would run");
        return Err(Failure::new(Exit::RunnerHost, error).remedy(format!("sudo chown -R {name}: {home}")));
    }
    Ok(account)
}

fn of_home(home: &Path, what: &str) -> Failure {
    Failure::new(Exit::RunnerHost, anyhow!("{}: {what}", home.display()))
        .remedy("name the folder of the runner program with --runner-home")
}

/// Refuses to change services without root. `command` is the command line that root runs.
pub(super) fn require_root(command: &str) -> Result<(), Failure> {
    if runtime::is_root() {
        return Ok(());
    }
    let error = anyhow!("systemctl and svc.sh change services of the machine, which requires root");
    Err(Failure::new(Exit::RunnerHost, error).remedy(format!(
        "run: sudo {command}; the unit chem-runner-recovery.service does it without sudo (jitgate setup supervisor \
         installs it)"
    )))
}

/// Returns the warnings about a registration: its labels, and its absence in the configuration.
pub(super) fn warnings(target: &Target, plan: &Plan) -> Vec<Problem> {
    let (name, runners) = (&plan.name, &target.config.runners);
    let routing = &target.config.routing.labels;
    let mut warnings = Vec::new();
    if routing.has_trust_label(&plan.labels) {
        warnings.push(Problem::new(
            name,
            format!(
                "it has the label {} and no job gate: GitHub gives it any job with its labels, also one of an outsider \
                 that asks for them",
                routing.trust_label
            ),
            "leave the label out of --labels; `jitgate serve` makes a runner for each trusted job",
        ));
    }
    if !runners.known.is_match(name) {
        warnings.push(Problem::new(
            name,
            "runners.known and runners.base do not name it, so jitgate reports it as ungated (ungated-runner)",
            format!("add \"{name}\" to runners.base if it should always be online, otherwise to runners.known"),
        ));
    } else if !runners.base.iter().any(|base| base == name) {
        warnings.push(Problem::new(
            name,
            "runners.base does not name it, so jitgate does not notice when it is offline",
            format!("add \"{name}\" to runners.base if it should always be online"),
        ));
    }
    warnings
}

/// Returns a step in words.
pub(super) fn in_words(step: Step, order: &Order<'_>, plan: &Plan) -> String {
    let home = order.home.display();
    match step {
        Step::RequestToken => format!("request a registration token for {}", order.request.url),
        Step::RemoveService => format!("run {home}/svc.sh uninstall"),
        Step::RemoveRegistration => format!("remove the registration in {home}"),
        Step::Configure { replace } => {
            let arguments = config_arguments(order, plan, replace).join(" ");
            format!(
                "run {home}/config.sh {arguments} as {}, with the token in its environment",
                order.account.name
            )
        }
        Step::InstallService => format!("run {home}/svc.sh install {}", order.account.name),
        Step::StopService => format!("run {home}/svc.sh stop"),
        Step::StartService => format!("run {home}/svc.sh start"),
        Step::AwaitOnline => format!("wait until GitHub shows runner {} as online", plan.name),
    }
}

/// Returns the failure for a refusal of the plan.
pub(super) fn refused(home: &Path, refusal: &Refusal) -> Failure {
    let home = home.display();
    let (what, remedy) = match refusal {
        Refusal::Elsewhere(url) => (
            format!("{home} is registered for {url}"),
            "use another copy of the runner program, or replace the registration with --force",
        ),
        Refusal::InUse(name) => (
            format!("runner {name} is online and does not belong to {home}"),
            "stop the runner on the machine that runs it, or choose another name with --name",
        ),
        Refusal::Busy(name) => (
            format!("runner {name} executes a job, so its service is not touched"),
            "run the command again when the job is over",
        ),
    };
    Failure::new(Exit::Negative, anyhow!("{what}")).remedy(remedy)
}

/// Returns the failure of a registration.
pub(super) fn failed(home: &Path, error: &RegisterError) -> Failure {
    let host = |remedy: String| Failure::new(Exit::RunnerHost, anyhow!("{error}")).remedy(remedy);
    match error {
        RegisterError::GitHub { what, failure } => of_github(what, failure),
        RegisterError::Home(_) => of_home(home, &error.to_string()),
        RegisterError::Units(_) => host("run the command on the machine of the runner, with systemd".to_owned()),
        RegisterError::Tool(_) => host(format!("check that the scripts in {} can be executed", home.display())),
        RegisterError::Failed { .. } => host(format!(
            "read the newest log in {}/_diag, remove the cause and run the command again; it continues where it stopped",
            home.display()
        )),
        RegisterError::Offline { .. } => Failure::new(Exit::Negative, anyhow!("{error}"))
            .remedy("read the log of its service: journalctl -u 'actions.runner.*' -n 50"),
    }
}
