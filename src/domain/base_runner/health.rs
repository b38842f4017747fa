//! The judgement of the operator's own runners: services of this machine against GitHub's inventory.

use super::listed::ListedRunner;
use super::problem::Problem;
use serde::Serialize;
use std::collections::BTreeSet;

/// A service of this machine and its runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRunner {
    pub unit: String,
    pub is_active: bool,
    /// systemd's word for its state.
    pub state: String,
    /// The name of its runner.
    pub name: String,
    /// The folder of the runner program, if systemd shows it.
    pub folder: Option<String>,
}

/// The facts that the judgement compares.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub local: &'a [LocalRunner],
    /// GitHub's inventory.
    pub runners: &'a [ListedRunner],
    /// The names of runners that should be online, on any machine.
    pub base: &'a [String],
    /// The names of jitgate's runners, which are not the operator's.
    pub ours: &'a BTreeSet<String>,
}

/// The rules that the operator selects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Only runners with all these labels count.
    pub labels: Vec<String>,
    /// A runner that is online at GitHub must have an active service on this machine.
    pub strict: bool,
    /// A machine without any active runner is healthy.
    pub allow_zero_capacity: bool,
}

/// One of the operator's runners. Its JSON form is part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseRunner {
    pub name: String,
    /// Its service on this machine; none on another machine.
    pub unit: Option<String>,
    pub active: Option<bool>,
    /// `online` or `offline`; none if GitHub does not have it.
    pub github_status: Option<&'static str>,
    pub busy: bool,
}

/// The result of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    pub base_runners: Vec<BaseRunner>,
    pub problems: Vec<Problem>,
}

/// Compares the services of this machine with GitHub's inventory.
#[must_use]
pub fn assess(seen: Seen<'_>, rules: &Rules) -> Assessment {
    let listed = |name: &str| {
        let mut named = seen.runners.iter();
        named.find(|runner| runner.name.eq_ignore_ascii_case(name))
    };
    let counts = |name: &str| listed(name).is_none_or(|runner| runner.has_all(&rules.labels));
    let (mut base_runners, mut problems) = (Vec::new(), Vec::new());
    for local in seen.local.iter().filter(|local| counts(&local.name)) {
        let runner = listed(&local.name);
        base_runners.push(base_runner(&local.name, Some(local), runner));
        problems.extend(of_service(local, runner, rules));
    }
    let has_service = |name: &str| seen.local.iter().any(|local| local.name.eq_ignore_ascii_case(name));
    for name in seen.base.iter().filter(|name| !has_service(name) && counts(name)) {
        let runner = listed(name);
        base_runners.push(base_runner(name, None, runner));
        problems.extend(of_another_machine(name, runner));
    }
    let is_active = |name: &str| {
        let mut own = seen.local.iter();
        own.any(|local| local.is_active && local.name.eq_ignore_ascii_case(name))
    };
    let is_strange = |runner: &&ListedRunner| {
        runner.is_online
            && runner.has_all(&rules.labels)
            && !is_active(&runner.name)
            && !seen.ours.contains(&runner.name)
    };
    if rules.strict {
        problems.extend(seen.runners.iter().filter(is_strange).map(without_service));
    }
    let is_online = |runner: &BaseRunner| runner.github_status == Some("online");
    if !base_runners.is_empty() && !rules.allow_zero_capacity && !base_runners.iter().any(is_online) {
        problems.push(Problem::new(
            "capacity",
            "no runner is online",
            "restore one of the runners, or route jobs to hosted runners: jitgate routing disable",
        ));
    }
    Assessment { base_runners, problems }
}

fn base_runner(name: &str, local: Option<&LocalRunner>, runner: Option<&ListedRunner>) -> BaseRunner {
    BaseRunner {
        name: name.to_owned(),
        unit: local.map(|local| local.unit.clone()),
        active: local.map(|local| local.is_active),
        github_status: runner.map(ListedRunner::status),
        busy: runner.is_some_and(|runner| runner.is_busy),
    }
}

fn of_service(local: &LocalRunner, runner: Option<&ListedRunner>, rules: &Rules) -> Option<Problem> {
    let LocalRunner { unit, name, state, .. } = local;
    let folder = local.folder.as_deref().unwrap_or("DIR");
    match runner {
        None => Some(Problem::new(
            name,
            format!("GitHub has no such runner, and its service {unit} is {state}"),
            format!("jitgate runner register --runner-home {folder}"),
        )),
        // A service and a runner that are both off are consistent.
        Some(runner) if !local.is_active && !runner.is_online && rules.allow_zero_capacity => None,
        Some(_) if !local.is_active => Some(Problem::new(
            name,
            format!("its service {unit} is {state}"),
            format!("sudo systemctl restart {unit}, or jitgate runner recover"),
        )),
        Some(runner) if !runner.is_online => Some(Problem::new(
            name,
            format!("its service {unit} is active, but GitHub shows the runner as offline"),
            format!("read its log (journalctl -u {unit}), then: jitgate runner recover --runner-home {folder}"),
        )),
        Some(_) => None,
    }
}

fn of_another_machine(name: &str, runner: Option<&ListedRunner>) -> Option<Problem> {
    let what = match runner {
        None => "runners.base names it, but GitHub has no such runner",
        Some(runner) if !runner.is_online => "runners.base names it, but GitHub shows it as offline",
        Some(_) => return None,
    };
    let remedy = "run jitgate runner recover on its machine, or remove it from runners.base";
    Some(Problem::new(name, what, remedy))
}

fn without_service(runner: &ListedRunner) -> Problem {
    Problem::new(
        &runner.name,
        "GitHub shows it as online, but it has no active service on this machine",
        "find out which machine runs it; if it is intended, run the command without --strict-gh",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::RunnerId;

    fn local(name: &str, state: &str) -> LocalRunner {
        LocalRunner {
            unit: format!("{name}.service"),
            is_active: state == "active",
            state: state.to_owned(),
            name: name.to_owned(),
            folder: None,
        }
    }

    fn listed(name: &str, is_online: bool) -> ListedRunner {
        ListedRunner {
            id: RunnerId(1),
            name: name.to_owned(),
            is_online,
            is_busy: false,
            labels: vec!["gpu".to_owned()],
        }
    }

    fn problems(local: &[LocalRunner], runners: &[ListedRunner], base: &[&str], rules: &Rules) -> Vec<String> {
        let base: Vec<String> = base.iter().map(|name| (*name).to_owned()).collect();
        let seen = Seen {
            local,
            runners,
            base: &base,
            ours: &BTreeSet::from(["ours".to_owned()]),
        };
        let assessment = assess(seen, rules);
        assessment.problems.into_iter().map(|problem| problem.subject).collect()
    }

    #[test]
    fn the_table_of_states_is_complete() {
        let usual = Rules::default();
        let zero = Rules {
            allow_zero_capacity: true,
            ..Rules::default()
        };
        for (state, at_github, expected, with_zero) in [
            ("active", Some(true), &[][..], &[][..]),
            ("active", Some(false), &["a", "capacity"], &["a"]),
            ("active", None, &["a", "capacity"], &["a"]),
            ("inactive", Some(true), &["a"], &["a"]),
            ("inactive", Some(false), &["a", "capacity"], &[]),
            ("failed", None, &["a", "capacity"], &["a"]),
        ] {
            let local = [local("a", state)];
            let runners: Vec<ListedRunner> = at_github.into_iter().map(|online| listed("a", online)).collect();
            assert_eq!(
                problems(&local, &runners, &[], &usual),
                expected,
                "{state} {at_github:?}"
            );
            assert_eq!(
                problems(&local, &runners, &[], &zero),
                with_zero,
                "{state} {at_github:?}"
            );
        }
        assert!(problems(&[], &[], &[], &usual).is_empty(), "no base runner is expected");
    }

    #[test]
    fn named_runners_count_on_every_machine() {
        let usual = Rules::default();
        assert!(problems(&[], &[listed("b", true)], &["b"], &usual).is_empty());
        assert_eq!(problems(&[], &[listed("b", false)], &["b"], &usual), ["b", "capacity"]);
        assert_eq!(problems(&[], &[], &["b"], &usual), ["b", "capacity"]);
        let both = [listed("a", true), listed("b", false)];
        assert_eq!(problems(&[local("a", "active")], &both, &["a", "b"], &usual), ["b"]);
    }

    #[test]
    fn strict_comparison_finds_runners_without_a_service() {
        let strict = Rules {
            strict: true,
            ..Rules::default()
        };
        let runners = [
            listed("a", true),
            listed("elsewhere", true),
            listed("off", false),
            listed("ours", true),
        ];
        let local = [local("a", "active")];
        assert_eq!(problems(&local, &runners, &[], &strict), ["elsewhere"]);
        assert!(problems(&local, &runners, &[], &Rules::default()).is_empty());
        let filtered = Rules {
            labels: vec!["cpu".to_owned()],
            ..strict
        };
        assert!(
            problems(&local, &runners, &[], &filtered).is_empty(),
            "none has the label"
        );
    }
}
