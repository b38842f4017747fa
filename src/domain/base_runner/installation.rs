//! The folder of a runner program: the registration in its files, its service, and the missing parts.

use crate::domain::ids::RunnerId;
use serde_json::{Map, Value};
use std::path::Path;

/// The files of a registration, which `config.sh` and a JIT configuration write.
pub const REGISTRATION_FILES: [&str; 3] = [".runner", ".credentials", ".credentials_rsaparams"];
/// The settings of the registration before, while a new one is made. `config.sh` refuses to run beside `.runner`.
pub const EARLIER_SETTINGS: &str = ".runner.before";
/// The work folder of a runner that names none.
pub const DEFAULT_WORK_FOLDER: &str = "_work";

/// The settings in `.runner`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunnerSettings {
    /// GitHub's id of the runner.
    pub id: Option<RunnerId>,
    pub name: String,
    /// The page of the repository or organization.
    pub url: String,
    pub work_folder: String,
    /// True for a runner that GitHub removes after one job.
    pub is_ephemeral: bool,
}

impl RunnerSettings {
    /// Parses the content of `.runner`. The runner program writes a byte order mark, ignores the case of keys, and writes
    /// numbers and truth values as text in some versions.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
        let field = |wanted: &str| {
            let found = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
        };
        let name = field("agentName").filter(|name| !name.is_empty() && name != "null")?;
        Some(Self {
            id: field("agentId").and_then(|id| id.parse().ok()).map(RunnerId),
            name,
            url: field("gitHubUrl").unwrap_or_default(),
            work_folder: field("workFolder").unwrap_or_else(|| DEFAULT_WORK_FOLDER.to_owned()),
            is_ephemeral: field("ephemeral").is_some_and(|word| word.eq_ignore_ascii_case("true")),
        })
    }
}

/// The registration in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    Missing,
    /// A file of it is missing, unreadable or damaged.
    Damaged,
    Present(RunnerSettings),
    /// The registration with these settings was removed for a new one, which did not finish.
    Interrupted(RunnerSettings),
}

/// A folder with the runner program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub registration: Registration,
    /// True if `svc.sh` exists, which `config.sh` writes.
    pub has_service_script: bool,
    /// The name of the service, which `svc.sh install` stores.
    pub unit: Option<String>,
    /// The user id that owns the program.
    pub owner: u32,
}

/// Returns the command that installs the runner program in a folder.
#[must_use]
pub fn download_command(home: &Path, release: &str) -> String {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let home = home.display();
    format!(
        "mkdir -p {home} && curl -fsSL \
         https://github.com/actions/runner/releases/download/v{release}/actions-runner-linux-{processor}-{release}.tar.gz | \
         tar -xz -C {home}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_every_version_of_the_runner_are_read() {
        let expected = RunnerSettings {
            id: Some(RunnerId(7)),
            name: "base".to_owned(),
            url: "https://github.com/octo-org/chem-model".to_owned(),
            work_folder: "_work".to_owned(),
            is_ephemeral: false,
        };
        let plain = "\u{feff}{\"agentId\": 7, \"agentName\": \"base\", \"poolId\": 1, \"workFolder\": \"_work\",
            \"gitHubUrl\": \"https://github.com/octo-org/chem-model\"}";
        assert_eq!(RunnerSettings::parse(plain), Some(expected.clone()));
        let jit = "{\"AgentId\": \"7\", \"AgentName\": \"base\", \"Ephemeral\": \"True\",
            \"GitHubUrl\": \"https://github.com/octo-org/chem-model\"}";
        let ephemeral = RunnerSettings {
            is_ephemeral: true,
            ..expected
        };
        assert_eq!(RunnerSettings::parse(jit), Some(ephemeral));
        for damaged in ["", "{", "[]", "{}", "{\"agentName\": \"\"}", "{\"agentName\": null}"] {
            assert_eq!(RunnerSettings::parse(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn the_download_command_names_release_and_folder() {
        let command = download_command(Path::new("/opt/runner"), "2.336.0");
        assert!(command.contains("/v2.336.0/actions-runner-linux-"), "{command}");
        assert!(command.ends_with("tar -xz -C /opt/runner"), "{command}");
    }
}
