//! The steps of `runner recover`: restart services, register again if needed, wait until the runners are healthy.

use super::health::{Assessment, LocalRunner};
use super::repair;

/// The planned recovery. Without a step the runners are healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The services to restart.
    pub restart: Vec<String>,
    /// The repair of the registration, if one is needed.
    pub register: Option<repair::Plan>,
}

impl Recovery {
    /// Returns true if nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.restart.is_empty() && self.register.is_none()
    }
}

/// Plans the recovery. A service is restarted if it is not active, or if GitHub shows its runner as offline. A runner that
/// GitHub does not have is registered again instead, and one that executes a job is left alone. A repair that only starts
/// a service is left to the restart of services.
#[must_use]
pub fn plan(local: &[LocalRunner], assessment: &Assessment, repair: Option<repair::Plan>) -> Recovery {
    let installs = |plan: &repair::Plan| plan.steps.contains(&repair::Step::InstallService);
    let register = repair.filter(installs);
    let must_restart = |local: &&LocalRunner| {
        let runner = assessment
            .base_runners
            .iter()
            .find(|runner| runner.unit.as_deref() == Some(local.unit.as_str()));
        let is_registered_again = register.as_ref().is_some_and(|plan| plan.name == local.name);
        runner.is_some_and(|runner| {
            let is_down = !local.is_active || runner.github_status == Some("offline");
            is_down && !runner.busy && runner.github_status.is_some() && !is_registered_again
        })
    };
    Recovery {
        restart: local
            .iter()
            .filter(must_restart)
            .map(|local| local.unit.clone())
            .collect(),
        register,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::base_runner::health::BaseRunner;

    #[test]
    fn only_services_that_are_down_are_restarted() {
        for (is_active, status, busy, restarts) in [
            (true, Some("online"), false, false),
            (true, Some("offline"), false, true),
            (false, Some("online"), false, true),
            (false, Some("offline"), false, true),
            (true, Some("offline"), true, false),
            (false, Some("online"), true, false),
            (true, None, false, false),
            (false, None, false, false),
        ] {
            let local = [LocalRunner {
                unit: "u".to_owned(),
                is_active,
                state: String::new(),
                name: "a".to_owned(),
                folder: None,
            }];
            let assessment = Assessment {
                base_runners: vec![BaseRunner {
                    name: "a".to_owned(),
                    unit: Some("u".to_owned()),
                    active: Some(is_active),
                    github_status: status,
                    busy,
                }],
                problems: Vec::new(),
            };
            let recovery = plan(&local, &assessment, None);
            assert_eq!(!recovery.restart.is_empty(), restarts, "{is_active} {status:?} {busy}");
            assert_eq!(recovery.is_empty(), !restarts);
        }
    }
}
