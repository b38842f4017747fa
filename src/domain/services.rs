//! The services of jitgate on this machine, as `systemctl show` prints them.

/// The services and timers that are installed for jitgate.
pub const UNITS: [&str; 10] = [
    "jitgate.service",
    "jitgate-ingress.service",
    "jitgate-worker.service",
    "chem-runner-pool-supervisor.service",
    "chem-runner-pool-reconcile.timer",
    "chem-runner-pool-reconcile.service",
    "chem-github-app-token-refresh.timer",
    "chem-github-app-token-refresh.service",
    "chem-runner-recover.path",
    "chem-runner-recover.service",
];
/// The properties that [`parse`] needs.
pub const PROPERTIES: &str = "Id,LoadState,UnitFileState,ActiveState";
/// Two units of which one may be active.
const EXCLUSIVE: [&str; 2] = [
    "chem-runner-pool-supervisor.service",
    "chem-runner-pool-reconcile.timer",
];

/// An installed unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// True if it starts with the machine.
    pub is_enabled: bool,
    /// systemd's word for its state.
    pub state: String,
}

impl Service {
    fn is_active(&self) -> bool {
        matches!(self.state.as_str(), "active" | "activating" | "reloading")
    }

    /// Returns the fault of the unit and its remedy.
    #[must_use]
    pub fn fault(&self) -> Option<(String, String)> {
        let name = &self.name;
        match self.state.as_str() {
            "failed" => Some((
                format!("{name} has failed"),
                format!("read its log: journalctl -u {name} -n 50; then: sudo systemctl restart {name}"),
            )),
            _ if self.is_enabled && !self.is_active() => Some((
                format!("{name} is enabled, but {}", self.state),
                format!("sudo systemctl start {name}, or: sudo systemctl disable {name}"),
            )),
            _ if !self.is_enabled && self.is_active() && !self.is_started_by_another() => Some((
                format!("{name} is active, but does not start with the machine"),
                format!("sudo systemctl enable {name}"),
            )),
            _ => None,
        }
    }

    /// Returns true if a timer or path starts the service.
    fn is_started_by_another(&self) -> bool {
        let stem = self.name.strip_suffix(".service");
        stem.is_some_and(|stem| {
            let names = |unit: &str| unit.starts_with(stem) && !unit.ends_with(".service");
            UNITS.iter().any(|unit| names(unit))
        })
    }
}

/// Reads the output of `systemctl show`: one block for each unit. Units that are not installed are left out.
#[must_use]
pub fn parse(output: &str) -> Vec<Service> {
    let blocks = output.split("\n\n");
    let read = |block: &str| {
        let value = |key: &str| {
            let mut pairs = block.lines().filter_map(|line| line.split_once('='));
            pairs
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.trim().to_owned())
        };
        let is_loaded = value("LoadState").is_some_and(|state| state != "not-found");
        Some(Service {
            name: value("Id").filter(|_| is_loaded)?,
            is_enabled: value("UnitFileState").is_some_and(|state| state.starts_with("enabled")),
            state: value("ActiveState").unwrap_or_default(),
        })
    };
    blocks.filter_map(read).collect()
}

/// Returns true if the supervisor and the timer that replaces it are both active.
#[must_use]
pub fn are_doubled(services: &[Service]) -> bool {
    let active = |name: &str| {
        services
            .iter()
            .any(|service| service.name == name && service.is_active())
    };
    EXCLUSIVE.iter().all(|name| active(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, load: &str, file: &str, active: &str) -> String {
        format!("Id={name}\nLoadState={load}\nUnitFileState={file}\nActiveState={active}\n")
    }

    #[test]
    fn faults_of_services_are_named_with_a_remedy() {
        for (name, file, active, fault) in [
            ("jitgate.service", "enabled", "active", None),
            ("jitgate.service", "disabled", "inactive", None),
            ("jitgate.service", "enabled", "failed", Some("has failed")),
            (
                "jitgate.service",
                "enabled",
                "inactive",
                Some("is enabled, but inactive"),
            ),
            (
                "jitgate.service",
                "disabled",
                "active",
                Some("does not start with the machine"),
            ),
            ("chem-runner-pool-reconcile.service", "static", "active", None),
            (
                "chem-runner-pool-reconcile.service",
                "static",
                "failed",
                Some("has failed"),
            ),
        ] {
            let services = parse(&shown(name, "loaded", file, active));
            let found = services[0].fault();
            assert_eq!(found.is_some(), fault.is_some(), "{name} {file} {active}: {found:?}");
            assert!(found.is_none_or(|found| found.0.contains(fault.unwrap_or_default())));
        }
    }

    #[test]
    fn absent_units_are_left_out_and_a_doubled_pool_is_noticed() {
        let both = [
            shown("jitgate.service", "not-found", "", "inactive"),
            shown("chem-runner-pool-supervisor.service", "loaded", "enabled", "active"),
            shown("chem-runner-pool-reconcile.timer", "loaded", "enabled", "active"),
        ];
        let services = parse(&both.join("\n"));
        assert_eq!(services.len(), 2);
        assert!(are_doubled(&services));
        assert!(!are_doubled(&services[..1]));
        let idle = shown("chem-runner-pool-reconcile.timer", "loaded", "disabled", "inactive");
        let one = [both[1].as_str(), idle.as_str()].join("\n");
        assert!(!are_doubled(&parse(&one)));
    }
}
