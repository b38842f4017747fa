//! Registers a runner program at GitHub and installs its service, as far as that is needed.

use super::account::Account;
use super::units::{self, UnitsError};
use crate::domain::base_runner::installation::{EARLIER_SETTINGS, Installation};
use crate::domain::base_runner::listed::ListedRunner;
use crate::domain::base_runner::repair::{Plan, Refusal, Request, Situation, Step, plan};
use crate::domain::base_runner::unit::Unit;
use crate::ports::github::RunnerScope;
use crate::ports::tools::{ToolCall, ToolError};
use crate::ports::{Failure, GitHub, RegistrationTokens, RunnerHomes, Tools};
use secrecy::SecretString;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// The variable with which `config.sh` receives its token. Arguments are visible to other users.
const TOKEN_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_TOKEN";
/// Time that `config.sh` may take; it updates the runner program in some cases.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(300);
/// Time that `svc.sh` may take, including a service that stops slowly.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(150);
/// Interval between two looks at GitHub.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The ports of a registration.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    pub homes: &'a dyn RunnerHomes,
    pub tools: &'a dyn Tools,
    pub github: &'a dyn GitHub,
    pub tokens: &'a dyn RegistrationTokens,
}

/// The wanted registration.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    pub request: Request,
    pub scope: RunnerScope,
    pub home: &'a Path,
    /// The runner group; only organizations have some.
    pub group: Option<String>,
    /// The account of the service.
    pub account: Account,
    /// True if this process already runs as the account.
    pub is_own_account: bool,
    /// The environment of `config.sh` and `svc.sh`.
    pub environment: Vec<(String, OsString)>,
    /// Time until GitHub must show the runner as online.
    pub timeout: Duration,
}

/// The failure of a registration.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("{what}: {failure}")]
    GitHub { what: String, failure: Failure },
    #[error("the folder of the runner cannot be used: {0}")]
    Home(#[source] io::Error),
    #[error(transparent)]
    Units(#[from] UnitsError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("`{program}` failed: {reason}")]
    Failed { program: String, reason: String },
    #[error("GitHub does not show runner {name} as online after {after_s} s")]
    Offline { name: String, after_s: u64 },
}

/// Plans the registration.
///
/// # Errors
/// If the present state cannot be read. The inner result is a refusal.
pub async fn gather(ports: Ports<'_>, order: &Order<'_>) -> Result<Result<Plan, Refusal>, RegisterError> {
    let installation = ports.homes.look(order.home).map_err(RegisterError::Home)?;
    let listed = ports
        .github
        .runners(&order.scope)
        .await
        .map_err(|failure| RegisterError::GitHub {
            what: "cannot list the runners".to_owned(),
            failure,
        })?;
    let runners: Vec<ListedRunner> = listed.into_iter().map(ListedRunner::from).collect();
    let unit = service(ports.tools, &installation).await?;
    let situation = Situation {
        installation: &installation,
        unit: unit.as_ref(),
        runners: &runners,
    };
    Ok(plan(&order.request, &situation))
}

async fn service(tools: &dyn Tools, installation: &Installation) -> Result<Option<Unit>, UnitsError> {
    let names: Vec<String> = installation.unit.iter().cloned().collect();
    Ok(units::shown(tools, &names).await?.into_iter().next())
}

/// Takes the steps of a plan. It can be repeated after an interruption: the next plan starts from what is there then.
///
/// # Errors
/// The failure of the first step that fails. The steps after it are not taken.
pub async fn carry_out(ports: Ports<'_>, order: &Order<'_>, plan: &Plan) -> Result<(), RegisterError> {
    let mut token = None;
    for step in &plan.steps {
        tracing::info!(step = ?step, runner = plan.name, "registration step");
        match step {
            Step::RequestToken => token = Some(request_token(ports, order).await?),
            Step::RemoveService => {
                let stopped = service_script(ports, order, &["uninstall"]).await;
                // The script of a damaged installation can fail; `install` then reports what is left.
                if let Err(error) = stopped {
                    tracing::warn!(%error, "the old service is not removed");
                }
            }
            Step::RemoveRegistration => ports
                .homes
                .set_registration_aside(order.home)
                .map_err(RegisterError::Home)?,
            Step::Configure { replace } => {
                configure(ports, order, plan, *replace, token.take()).await?;
                let earlier = order.home.join(EARLIER_SETTINGS);
                ports.homes.remove_file(&earlier).map_err(RegisterError::Home)?;
            }
            Step::InstallService => service_script(ports, order, &["install", &order.account.name]).await?,
            Step::StopService => service_script(ports, order, &["stop"]).await?,
            Step::StartService => service_script(ports, order, &["start"]).await?,
            Step::AwaitOnline => await_online(ports, order, &plan.name).await?,
        }
    }
    Ok(())
}

async fn request_token(ports: Ports<'_>, order: &Order<'_>) -> Result<SecretString, RegisterError> {
    let token = ports.tokens.registration_token(&order.scope).await;
    token.map_err(|failure| RegisterError::GitHub {
        what: "cannot get a registration token".to_owned(),
        failure,
    })
}

/// Returns the arguments of `config.sh`, without the token.
#[must_use]
pub fn config_arguments(order: &Order<'_>, plan: &Plan, replace: bool) -> Vec<String> {
    let mut arguments = vec!["--unattended", "--url", &order.request.url, "--name", &plan.name];
    arguments.extend(["--work", &plan.work_folder]);
    let labels = plan.labels.join(",");
    if !labels.is_empty() {
        arguments.extend(["--labels", &labels]);
    }
    if let Some(group) = &order.group {
        arguments.extend(["--runnergroup", group]);
    }
    if replace {
        arguments.push("--replace");
    }
    arguments.into_iter().map(str::to_owned).collect()
}

async fn configure(
    ports: Ports<'_>,
    order: &Order<'_>,
    plan: &Plan,
    replace: bool,
    token: Option<SecretString>,
) -> Result<(), RegisterError> {
    let script = order.home.join("config.sh").display().to_string();
    let words = [vec![script.clone()], config_arguments(order, plan, replace)].concat();
    let mut words = order.account.command(order.is_own_account, &words).into_iter();
    let mut call = ToolCall::new(words.next().unwrap_or(script), CONFIG_TIMEOUT)
        .args(words)
        .within(order.home)
        .only(order.environment.clone());
    if let Some(token) = token {
        call = call.secret(TOKEN_VARIABLE, token);
    }
    succeed(ports, "config.sh", &call).await
}

async fn service_script(ports: Ports<'_>, order: &Order<'_>, arguments: &[&str]) -> Result<(), RegisterError> {
    let call = ToolCall::new(order.home.join("svc.sh"), SERVICE_TIMEOUT)
        .args(arguments)
        .within(order.home)
        .only(order.environment.clone());
    succeed(ports, &format!("svc.sh {}", arguments.join(" ")), &call).await
}

async fn succeed(ports: Ports<'_>, program: &str, call: &ToolCall) -> Result<(), RegisterError> {
    let output = ports.tools.run(call).await?;
    if output.is_success() {
        return Ok(());
    }
    Err(RegisterError::Failed {
        program: program.to_owned(),
        reason: output.last_line().unwrap_or("it ends without a message").to_owned(),
    })
}

/// Waits until GitHub shows the runner as online. A failure of GitHub is another look later.
async fn await_online(ports: Ports<'_>, order: &Order<'_>, name: &str) -> Result<(), RegisterError> {
    let deadline = Instant::now() + order.timeout;
    loop {
        let listed = ports.github.runners_named(&order.scope, name).await;
        if listed.is_ok_and(|listed| listed.iter().any(|runner| runner.online)) {
            return Ok(());
        }
        if Instant::now() + LOOK_INTERVAL > deadline {
            return Err(RegisterError::Offline {
                name: name.to_owned(),
                after_s: order.timeout.as_secs(),
            });
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
