//! The steps from the present state of a machine to installed units.
//!
//! The plan follows from the present state alone, so a second run completes a run that was killed.

use super::unit::{Installed, Unit};
use std::collections::BTreeMap;

/// The units that the machine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub units: Vec<Unit>,
    /// The account of the units.
    pub user: String,
    /// The directory of the token, which belongs to the account.
    pub directory: Option<String>,
    /// Names of units that start now and at each boot, in this order.
    pub on: Vec<&'static str>,
    /// A service that runs once at the start of its timer, before the other units start.
    pub first: Option<&'static str>,
    /// Names of units that stop now and no longer start.
    pub off: Vec<&'static str>,
    /// True if an alert should report that the token is not refreshed, false if it should end.
    pub alert: Option<bool>,
    /// True if files that were edited by hand are replaced.
    pub replaces_edits: bool,
}

/// The present state of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    pub has_user: bool,
    /// True if the directory of the token exists and only the account can enter it.
    pub has_directory: bool,
    /// The unit files that exist, by name.
    pub files: BTreeMap<String, Found>,
    /// The state of the units in systemd, by name.
    pub units: BTreeMap<String, UnitState>,
    /// True if the alert about the token refresh is open.
    pub has_alert: bool,
}

/// A unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub text: String,
    /// The time of the last change, in seconds since 1970.
    pub changed_at_s: i64,
}

/// The state of a unit in systemd.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitState {
    pub is_enabled: bool,
    pub is_active: bool,
    /// True if the file has changed since systemd read it.
    pub is_outdated: bool,
    /// True if the last run failed.
    pub has_failed: bool,
    /// The start of an active unit, in seconds since 1970.
    pub active_since_s: i64,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    CreateUser(String),
    /// Creates the directory of the token, or closes it to others.
    CloseDirectory {
        path: String,
        user: String,
    },
    Write(Unit),
    /// Makes systemd read the changed files.
    Reload,
    Disable(&'static str),
    Enable(&'static str),
    /// Runs a service once, to its end.
    RunOnce(&'static str),
    Restart(&'static str),
    RaiseAlert,
    EndAlert,
}

/// A file that was edited by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The name of the unit.
    pub unit: &'static str,
}

impl Wanted {
    /// Returns the names of all units that the plan depends on.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.units.iter().map(|unit| unit.name).collect();
        names.extend(
            self.on
                .iter()
                .chain(&self.off)
                .copied()
                .filter(|name| !self.units.iter().any(|unit| unit.name == *name)),
        );
        names
    }
}

/// Returns the steps that are left.
///
/// # Errors
/// If files were edited by hand and must not be replaced.
pub fn plan(wanted: &Wanted, machine: &Machine) -> Result<Vec<Step>, Vec<Conflict>> {
    let installed = |unit: &Unit| {
        machine
            .files
            .get(unit.name)
            .map(|found| Installed::of(&found.text, unit))
    };
    let edited = wanted
        .units
        .iter()
        .filter(|unit| installed(unit) == Some(Installed::Foreign));
    let conflicts: Vec<Conflict> = edited.map(|unit| Conflict { unit: unit.name }).collect();
    if !wanted.replaces_edits && !conflicts.is_empty() {
        return Err(conflicts);
    }
    let mut steps = Vec::new();
    if !machine.has_user {
        steps.push(Step::CreateUser(wanted.user.clone()));
    }
    if let Some(path) = wanted.directory.as_ref().filter(|_| !machine.has_directory) {
        let (path, user) = (path.clone(), wanted.user.clone());
        steps.push(Step::CloseDirectory { path, user });
    }
    let written: Vec<&Unit> = wanted
        .units
        .iter()
        .filter(|unit| installed(unit) != Some(Installed::Same))
        .collect();
    steps.extend(written.iter().map(|unit| Step::Write((*unit).clone())));
    let state = |name: &str| machine.units.get(name).copied().unwrap_or_default();
    if !written.is_empty() || wanted.names().iter().any(|name| state(name).is_outdated) {
        steps.push(Step::Reload);
    }
    // The former mode ends before the other begins, because they exclude each other.
    let is_on = |name: &&&'static str| state(name).is_enabled || state(name).is_active;
    steps.extend(wanted.off.iter().filter(is_on).map(|name| Step::Disable(name)));
    for name in &wanted.on {
        let UnitState {
            is_enabled,
            is_active,
            active_since_s,
            ..
        } = state(name);
        // A timer that restarts also starts its service, so that a change of the service takes effect at once.
        let is_part = |other: &str| stem(other) == stem(name);
        let is_new = written.iter().any(|unit| is_part(unit.name));
        let mut found = machine.files.iter().filter(|(other, _)| is_part(other));
        let is_newer = found.any(|(_, found)| found.changed_at_s > active_since_s);
        if !is_enabled || !is_active {
            steps.push(Step::Enable(name));
        }
        if is_active && (is_new || is_newer) {
            steps.push(Step::Restart(name));
        }
        let runs_now = !is_active || is_new || is_newer;
        let first = wanted.first.filter(|first| stem(first) == stem(name));
        steps.extend(first.filter(|_| runs_now).map(Step::RunOnce));
    }
    match wanted.alert {
        Some(true) if !machine.has_alert => steps.push(Step::RaiseAlert),
        Some(false) if machine.has_alert => steps.push(Step::EndAlert),
        _ => {}
    }
    Ok(steps)
}

/// Returns the name that a timer or a path shares with its service.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::units::Section;

    const ON: &str = "a.service";
    const OFF: &str = "b.timer";

    fn unit(value: &str) -> Unit {
        Unit::new(ON, "Purpose.", [Section::new("Service").set("ExecStart", value)])
    }

    fn wanted() -> Wanted {
        Wanted {
            units: vec![unit("/bin/new")],
            user: "jitgate".to_owned(),
            directory: Some("/etc/d".to_owned()),
            on: vec![ON],
            first: None,
            off: vec![OFF],
            alert: None,
            replaces_edits: false,
        }
    }

    /// A machine on which everything is installed and runs.
    fn done() -> Machine {
        let found = Found {
            text: unit("/bin/new").generated("x", "By alice"),
            changed_at_s: 5,
        };
        let running = UnitState {
            is_enabled: true,
            is_active: true,
            is_outdated: false,
            has_failed: false,
            active_since_s: 5,
        };
        Machine {
            has_user: true,
            has_directory: true,
            files: BTreeMap::from([(ON.to_owned(), found)]),
            units: BTreeMap::from([(ON.to_owned(), running)]),
            has_alert: false,
        }
    }

    #[test]
    fn each_difference_has_its_steps() {
        let write = || Step::Write(unit("/bin/new"));
        let directory = || Step::CloseDirectory {
            path: "/etc/d".to_owned(),
            user: "jitgate".to_owned(),
        };
        type Change = fn(&mut Machine);
        let table: Vec<(&str, Change, Vec<Step>)> = vec![
            ("nothing", |_| {}, vec![]),
            (
                "everything",
                |machine| *machine = Machine::default(),
                vec![
                    Step::CreateUser("jitgate".to_owned()),
                    directory(),
                    write(),
                    Step::Reload,
                    Step::Enable(ON),
                ],
            ),
            (
                "the directory is open",
                |machine| machine.has_directory = false,
                vec![directory()],
            ),
            (
                "an older unit runs",
                |machine| machine.files.get_mut(ON).expect("it").text = unit("/bin/old").generated("x", "By bob"),
                vec![write(), Step::Reload, Step::Restart(ON)],
            ),
            (
                "killed before the reload",
                |machine| machine.units.get_mut(ON).expect("it").is_outdated = true,
                vec![Step::Reload],
            ),
            (
                "killed before the restart",
                |machine| machine.files.get_mut(ON).expect("it").changed_at_s = 6,
                vec![Step::Restart(ON)],
            ),
            (
                "stopped",
                |machine| machine.units.get_mut(ON).expect("it").is_active = false,
                vec![Step::Enable(ON)],
            ),
            (
                "the other mode is enabled",
                |machine| {
                    let enabled = UnitState {
                        is_enabled: true,
                        ..UnitState::default()
                    };
                    machine.units.insert(OFF.to_owned(), enabled);
                },
                vec![Step::Disable(OFF)],
            ),
            (
                "the other mode only runs",
                |machine| {
                    let running = UnitState {
                        is_active: true,
                        ..UnitState::default()
                    };
                    machine.units.insert(OFF.to_owned(), running);
                },
                vec![Step::Disable(OFF)],
            ),
            (
                "it runs, but not after a boot",
                |machine| machine.units.get_mut(ON).expect("it").is_enabled = false,
                vec![Step::Enable(ON)],
            ),
        ];
        for (name, change, steps) in table {
            let mut machine = done();
            change(&mut machine);
            assert_eq!(plan(&wanted(), &machine), Ok(steps), "{name}");
        }
    }

    #[test]
    fn a_changed_service_restarts_its_timer() {
        let wanted = Wanted {
            on: vec!["a.timer"],
            ..wanted()
        };
        let mut machine = done();
        let running = machine.units.remove(ON).expect("it");
        machine.units.insert("a.timer".to_owned(), running);
        assert_eq!(plan(&wanted, &machine), Ok(Vec::new()));
        machine.files.get_mut(ON).expect("it").changed_at_s = 6;
        assert_eq!(plan(&wanted, &machine), Ok(vec![Step::Restart("a.timer")]));
        machine.files.get_mut(ON).expect("it").text = unit("/bin/old").generated("x", "By bob");
        let steps = plan(&wanted, &machine).expect("a plan");
        assert_eq!(steps.last(), Some(&Step::Restart("a.timer")));
    }

    #[test]
    fn the_alert_follows_the_refresh() {
        for (alert, has_alert, steps) in [
            (Some(true), false, vec![Step::RaiseAlert]),
            (Some(true), true, vec![]),
            (Some(false), true, vec![Step::EndAlert]),
            (Some(false), false, vec![]),
            (None, true, vec![]),
        ] {
            let machine = Machine { has_alert, ..done() };
            assert_eq!(plan(&Wanted { alert, ..wanted() }, &machine), Ok(steps));
        }
    }

    #[test]
    fn a_service_runs_once_when_its_timer_starts_or_changes() {
        let wanted = Wanted {
            first: Some(ON),
            ..wanted()
        };
        assert_eq!(plan(&wanted, &done()), Ok(Vec::new()));
        let mut machine = done();
        machine.units.clear();
        assert_eq!(plan(&wanted, &machine), Ok(vec![Step::Enable(ON), Step::RunOnce(ON)]));
    }

    #[test]
    fn an_edited_file_is_replaced_only_on_request() {
        let mut machine = done();
        machine.files.get_mut(ON).expect("it").text.push_str("Nice=5\n");
        assert_eq!(plan(&wanted(), &machine), Err(vec![Conflict { unit: ON }]));
        let forced = Wanted {
            replaces_edits: true,
            ..wanted()
        };
        let steps = plan(&forced, &machine).expect("a plan");
        assert_eq!(steps, [Step::Write(unit("/bin/new")), Step::Reload, Step::Restart(ON)]);
    }
}
