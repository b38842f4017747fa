//! The services of runners on this machine, through `systemctl`.

use crate::domain::base_runner::health::LocalRunner;
use crate::domain::base_runner::installation::Registration;
use crate::domain::base_runner::place::{Place, is_same_page};
use crate::domain::base_runner::unit::{SHOWN_PROPERTIES, UNIT_PATTERN, Unit, parse_names, parse_shown, runner_of};
use crate::ports::tools::{ToolCall, ToolError};
use crate::ports::{RunnerHomes, Tools};
use std::path::Path;
use std::time::Duration;

/// Time that a look at services may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// Time that the restart of a service may take. A service that stops has 90 s by systemd's default.
const RESTART_TIMEOUT: Duration = Duration::from_secs(120);

/// The failure of `systemctl`.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("`{call}` failed: {reason}")]
    Failed { call: String, reason: String },
}

impl UnitsError {
    /// Returns true if this machine, such as a container, does not run systemd.
    fn is_without_systemd(&self) -> bool {
        match self {
            Self::Tool(ToolError::Missing { .. }) => true,
            Self::Tool(_) => false,
            Self::Failed { reason, .. } => {
                reason.contains("not been booted with systemd") || reason.contains("Host is down")
            }
        }
    }
}

/// Returns the services of runners that belong to the place with this page.
///
/// # Errors
/// If systemd does not answer.
pub async fn local_runners(
    tools: &dyn Tools,
    homes: &dyn RunnerHomes,
    place: &Place,
    url: &str,
) -> Result<Vec<LocalRunner>, UnitsError> {
    // A stopped service may not be loaded, and a running one may have lost its file.
    let loaded = [
        "list-units",
        "--all",
        "--full",
        "--plain",
        "--no-legend",
        "--no-pager",
        UNIT_PATTERN,
    ];
    let installed = [
        "list-unit-files",
        "--full",
        "--plain",
        "--no-legend",
        "--no-pager",
        UNIT_PATTERN,
    ];
    let mut names = match systemctl(tools, &loaded, LOOK_TIMEOUT).await {
        Ok(output) => parse_names(&output),
        Err(error) if error.is_without_systemd() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    names.extend(parse_names(&systemctl(tools, &installed, LOOK_TIMEOUT).await?));
    names.sort_unstable();
    names.dedup();
    let units = shown(tools, &names).await?;
    Ok(units
        .into_iter()
        .filter_map(|unit| local_runner(homes, place, url, unit))
        .collect())
}

/// Returns the state of services.
///
/// # Errors
/// If systemd does not answer.
pub async fn shown(tools: &dyn Tools, names: &[String]) -> Result<Vec<Unit>, UnitsError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = vec!["show", "--no-pager", "--property", SHOWN_PROPERTIES, "--"];
    arguments.extend(names.iter().map(String::as_str));
    Ok(parse_shown(&systemctl(tools, &arguments, LOOK_TIMEOUT).await?))
}

/// Restarts a service. Only root may do this.
///
/// # Errors
/// If the service does not start.
pub async fn restart(tools: &dyn Tools, unit: &str) -> Result<(), UnitsError> {
    let arguments = ["restart", "--no-ask-password", "--", unit];
    systemctl(tools, &arguments, RESTART_TIMEOUT).await.map(|_| ())
}

async fn systemctl(tools: &dyn Tools, arguments: &[&str], timeout: Duration) -> Result<String, UnitsError> {
    let call = ToolCall::new("systemctl", timeout).args(arguments);
    let output = tools.run(&call).await?;
    // `list-unit-files` ends with 1 if there is none.
    let is_empty_list = arguments.first().is_some_and(|verb| verb.starts_with("list-"))
        && output.code == Some(1)
        && output.last_line().is_none();
    if output.is_success() || is_empty_list {
        return Ok(output.stdout);
    }
    Err(UnitsError::Failed {
        call: call.in_words(),
        reason: output.last_line().unwrap_or("it ends without a message").to_owned(),
    })
}

/// Returns the runner of a service; none if it belongs to another place.
fn local_runner(homes: &dyn RunnerHomes, place: &Place, url: &str, unit: Unit) -> Option<LocalRunner> {
    let installation = unit
        .folder
        .as_deref()
        .and_then(|folder| homes.look(Path::new(folder)).ok());
    let name = match installation.map(|installation| installation.registration) {
        Some(Registration::Present(settings)) => is_same_page(&settings.url, url).then_some(settings.name)?,
        _ => runner_of(&unit.name, place)?,
    };
    Some(LocalRunner {
        is_active: unit.is_active(),
        unit: unit.name,
        state: unit.state,
        name,
        folder: unit.folder,
    })
}
