//! Services of runners: the output of `systemctl`, and the names that `svc.sh` gives to services.

use super::place::Place;

/// The pattern of the names of all services of runners.
pub const UNIT_PATTERN: &str = "actions.runner.*";
/// The properties that `systemctl show` prints for [`parse_shown`].
pub const SHOWN_PROPERTIES: &str = "Id,LoadState,ActiveState,WorkingDirectory";

/// A service as systemd shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    pub name: String,
    /// True if systemd has read its file.
    pub is_installed: bool,
    /// systemd's word, such as `active`, `inactive` or `failed`.
    pub state: String,
    /// The folder of the runner program.
    pub folder: Option<String>,
}

impl Unit {
    /// Returns true if the service runs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }
}

/// Returns the names in the first column of `systemctl list-units` or `list-unit-files`.
#[must_use]
pub fn parse_names(output: &str) -> Vec<String> {
    let first = output.lines().filter_map(|line| line.split_whitespace().next());
    let services = first.filter(|name| name.starts_with("actions.runner.") && name.ends_with(".service"));
    services.map(str::to_owned).collect()
}

/// Parses the output of `systemctl show`: one block for each service, with a property in each line.
#[must_use]
pub fn parse_shown(output: &str) -> Vec<Unit> {
    let unit = |block: &str| {
        let mut unit = Unit::default();
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "Id" => unit.name = value.to_owned(),
                "LoadState" => unit.is_installed = value == "loaded",
                "ActiveState" => unit.state = value.to_owned(),
                "WorkingDirectory" if !value.is_empty() => unit.folder = Some(value.to_owned()),
                _ => {}
            }
        }
        (!unit.name.is_empty()).then_some(unit)
    };
    output.split("\n\n").filter_map(unit).collect()
}

/// Returns the name of the runner that a service of this place belongs to, as far as the name of the service shows it:
/// `actions.runner.OWNER-NAME.RUNNER.service`. It is only needed if the folder of the runner cannot be read.
#[must_use]
pub fn runner_of(unit: &str, place: &Place) -> Option<String> {
    let owner = match place {
        Place::Repository(name) => format!("{}-{}", name.owner(), name.name()),
        Place::Organization(login) => login.clone(),
    };
    let rest = unit.strip_prefix("actions.runner.")?.strip_suffix(".service")?;
    let (start, rest) = rest.split_at_checked(owner.len())?;
    let runner = rest.strip_prefix('.').filter(|_| start.eq_ignore_ascii_case(&owner))?;
    Some(runner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::RepositoryName;

    #[test]
    fn the_output_of_systemctl_is_read() {
        let listed = "actions.runner.octo-org-chem.base.service loaded active running GitHub Actions Runner\n\
                      other.service loaded active running x\n";
        assert_eq!(parse_names(listed), ["actions.runner.octo-org-chem.base.service"]);
        let shown = "Id=a.service\nLoadState=loaded\nActiveState=active\nWorkingDirectory=/opt/a\n\n\
                     Id=b.service\nLoadState=not-found\nActiveState=inactive\nWorkingDirectory=\n";
        let units = parse_shown(shown);
        assert_eq!(units.len(), 2);
        assert!(units[0].is_active() && units[0].is_installed);
        assert_eq!(units[0].folder.as_deref(), Some("/opt/a"));
        assert!(!units[1].is_active() && !units[1].is_installed && units[1].folder.is_none());
        assert!(parse_shown("").is_empty());
    }

    #[test]
    fn the_name_of_a_service_shows_its_runner() {
        let place = Place::Repository(RepositoryName::parse("octo-org/my.repo").expect("a name"));
        let runner = runner_of("actions.runner.octo-org-my.repo.base.one.service", &place);
        assert_eq!(runner.as_deref(), Some("base.one"));
        assert_eq!(runner_of("actions.runner.octo-org-other.base.service", &place), None);
        let organization = Place::Organization("octo-org".to_owned());
        let runner = runner_of("actions.runner.octo-org.base.service", &organization);
        assert_eq!(runner.as_deref(), Some("base"));
        assert_eq!(
            runner_of("actions.runner.octo-org-chem.base.service", &organization),
            None
        );
    }
}
