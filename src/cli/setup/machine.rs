//! The present state of the machine: the account, the directory of the token, unit files, and what systemd reports.

use crate::adapters::tools::ProcessTools;
use crate::cli::exit::{Exit, Failure};
use crate::domain::units::{DEFAULT_TOKEN_FILE, Found, Machine, UnitState, Wanted};
use crate::ports::Tools;
use crate::ports::tools::{ToolCall, ToolOutput};
use anyhow::anyhow;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// Time that a question to the machine may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);
/// Time after a start in which a wrong setting ends a unit.
const SETTLING_TIME: Duration = Duration::from_millis(1500);
const PROPERTIES: &str = "--property=UnitFileState,ActiveState,NeedDaemonReload,Result,ActiveEnterTimestamp";

/// Returns the state of the machine, and the failure of systemd if it does not answer.
pub(super) async fn look(wanted: &Wanted, unit_dir: &Path) -> Result<(Machine, Option<Failure>), Failure> {
    let account = ToolCall::new("getent", QUESTION_TIMEOUT).args(["passwd", &wanted.user]);
    let account = run(&account, "install the Debian package libc-bin").await?;
    let uid = account.stdout.split(':').nth(2).and_then(|uid| uid.parse().ok());
    let is_closed = |path: &String| is_closed(path, uid);
    let (units, failure) = match units(&wanted.names()).await {
        Ok(units) => (units, None),
        Err(failure) => (BTreeMap::new(), Some(failure)),
    };
    let machine = Machine {
        has_user: uid.is_some(),
        has_directory: wanted.directory.as_ref().is_some_and(is_closed),
        files: files(wanted, unit_dir),
        units,
        has_alert: false,
    };
    Ok((machine, failure))
}

/// Returns the unit files that exist.
fn files(wanted: &Wanted, unit_dir: &Path) -> BTreeMap<String, Found> {
    let found = wanted.units.iter().filter_map(|unit| {
        let path = unit_dir.join(unit.name);
        let metadata = path.symlink_metadata().ok()?;
        // A file that cannot be read or is a link to /dev/null is not a unit of ours.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let changed_at_s = metadata.mtime();
        Some((unit.name.to_owned(), Found { text, changed_at_s }))
    });
    found.collect()
}

/// Waits until the units have had time to fail, and reports those that do not run.
pub(super) async fn settled(wanted: &Wanted) -> Result<(), Failure> {
    tokio::time::sleep(SETTLING_TIME).await;
    let states = units(&wanted.on).await?;
    let down = wanted.on.iter().filter(|name| {
        let state = states.get(**name).copied().unwrap_or_default();
        !state.is_active || state.has_failed
    });
    let down: Vec<&str> = down.copied().collect();
    let Some(first) = down.first() else { return Ok(()) };
    let error = anyhow!("installed, but does not run: {}", down.join(", "));
    let remedy = format!("see `journalctl -u {first}`, remove the cause, and run this command again");
    Err(Failure::new(Exit::RunnerHost, error).remedy(remedy))
}

/// Reports a directory that others use, too. Closing it would lock them out.
pub(super) fn open_directory(wanted: &Wanted, machine: &Machine) -> Option<Failure> {
    let directory = wanted.directory.as_ref().filter(|_| !machine.has_directory)?;
    let is_own = Path::new(DEFAULT_TOKEN_FILE).parent() == Some(Path::new(directory));
    if is_own || !Path::new(directory).exists() {
        return None;
    }
    let error = anyhow!("{directory}: does not belong to {} alone", wanted.user);
    let remedy = format!(
        "keep the token in a directory of its own, or run `install -d -m 0700 -o {} {directory}`",
        wanted.user
    );
    Some(Failure::new(Exit::RunnerHost, error).remedy(remedy))
}

/// Returns true if only this account can enter a directory.
fn is_closed(path: &str, uid: Option<u32>) -> bool {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir);
    metadata.is_some_and(|directory| Some(directory.uid()) == uid && directory.permissions().mode() & 0o7777 == 0o700)
}

/// Asks systemd for units. It answers for units without a file, too.
async fn units(names: &[&'static str]) -> Result<BTreeMap<String, UnitState>, Failure> {
    let call = ToolCall::new("systemctl", QUESTION_TIMEOUT).args(["show", "--timestamp=unix", PROPERTIES]);
    let output = run(&call.args(names), "install systemd").await?;
    if !output.is_success() {
        let why = output.last_line().unwrap_or("no reason given").to_owned();
        let error = anyhow!("systemd does not answer: {why}");
        return Err(Failure::new(Exit::RunnerHost, error)
            .remedy("run this command on a machine that systemd has started, or look at the steps with --dry-run"));
    }
    let states = output.stdout.split("\n\n").map(state);
    Ok(names.iter().map(|name| (*name).to_owned()).zip(states).collect())
}

/// Parses the properties of one unit.
fn state(properties: &str) -> UnitState {
    let value = |key: &str| {
        let mut lines = properties.lines();
        lines
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
    };
    UnitState {
        is_enabled: value("UnitFileState") == "enabled",
        is_active: ["active", "activating", "reloading"].contains(&value("ActiveState")),
        is_outdated: value("NeedDaemonReload") == "yes",
        has_failed: !["success", ""].contains(&value("Result")),
        active_since_s: value("ActiveEnterTimestamp")
            .trim_start_matches('@')
            .parse()
            .unwrap_or_default(),
    }
}

async fn run(call: &ToolCall, remedy: &str) -> Result<ToolOutput, Failure> {
    let output = ProcessTools.run(call).await;
    output.map_err(|error| Failure::new(Exit::RunnerHost, error).remedy(remedy.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_of_a_unit_are_parsed() {
        let shown =
            "UnitFileState=enabled\nActiveState=active\nNeedDaemonReload=no\nActiveEnterTimestamp=@1700000000\n";
        let expected = UnitState {
            is_enabled: true,
            is_active: true,
            is_outdated: false,
            has_failed: false,
            active_since_s: 1_700_000_000,
        };
        assert_eq!(state(shown), expected);
        let missing = "UnitFileState=\nActiveState=inactive\nNeedDaemonReload=no\nActiveEnterTimestamp=\n";
        assert_eq!(state(missing), UnitState::default());
        let failed = state("ActiveState=failed\nNeedDaemonReload=yes\nResult=exit-code");
        assert!(failed.is_outdated && failed.has_failed);
    }
}
