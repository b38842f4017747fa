//! One set-up of units: the configuration that the units will see, and the checks before a change.

use super::args::{MachineArgs, UNIT_DIRECTORY};
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::Session;
use crate::cli::sources;
use crate::config::{Loaded, Origin};
use crate::domain::units::{Program, Word};
use anyhow::anyhow;
use rustix::process::geteuid;
use std::path::{Path, PathBuf};

/// Settings whose default is a path below the working directory, with the places for a service.
const SERVICE_PLACES: [(&str, &str, &str); 2] = [
    ("server.state_dir", "JITGATE__SERVER__STATE_DIR", "%S/jitgate"),
    ("store.url", "JITGATE__STORE__URL", "sqlite:%S/jitgate/jitgate.db"),
];
/// The value of `%S` for a service of the machine.
const STATE_ROOT: &str = "/var/lib";
/// Directories that a hardened unit does not see.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// A set-up of units.
pub(super) struct Task<'a> {
    pub(super) session: &'a Session,
    pub(super) args: &'a MachineArgs,
    /// The name of the subcommand.
    pub(super) command: &'static str,
    /// The configuration as the units will see it.
    pub(super) loaded: Loaded,
    /// Obstacles, each with its remedy. With `--dry-run` they are warnings.
    pub(super) obstacles: Vec<Failure>,
}

impl<'a> Task<'a> {
    /// Starts a set-up with the configuration of the units, which does not depend on the environment of this process.
    pub(super) fn new(session: &'a Session, args: &'a MachineArgs, command: &'static str) -> Result<Self, Failure> {
        let mut obstacles = Vec::new();
        let loaded = match sources::configuration_of_a_service(&session.global) {
            Ok(loaded) => loaded,
            Err(problems) => {
                obstacles.push(Failure::from(problems));
                sources::without_a_file(serde_json::Map::new())?
            }
        };
        let mut task = Self {
            session,
            args,
            command,
            loaded,
            obstacles,
        };
        if !geteuid().is_root() && args.unit_dir == Path::new(UNIT_DIRECTORY) {
            let error = anyhow!("{UNIT_DIRECTORY} and systemd can only be changed by root");
            let remedy = format!(
                "run `sudo jitgate setup {command}` with the same arguments, or look at the steps with --dry-run"
            );
            task.obstacles
                .push(Failure::new(Exit::RunnerHost, error).remedy(remedy));
        }
        Ok(task)
    }

    /// Returns the program of the units.
    pub(super) fn program(&mut self) -> Result<Program, Failure> {
        let path = match &self.args.program {
            Some(path) => path.clone(),
            None => std::env::current_exe().map_err(|error| Failure::new(Exit::RunnerHost, error))?,
        };
        let path = self.seen_by_units(
            &path,
            "--program",
            "install it as /usr/local/bin/jitgate and run that one",
        );
        let config = self.loaded.file.clone();
        let config = config.map(|file| self.seen_by_units(&file, "--config", "move it to /etc/jitgate/jitgate.toml"));
        let given = SERVICE_PLACES.iter().filter(|(key, ..)| self.has_default(key));
        let environment = given
            .map(|(_, name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Ok(Program {
            path: word(&path?, "--program")?,
            config: config.transpose()?.map(|file| word(&file, "--config")).transpose()?,
            user: self.args.user.clone(),
            environment,
        })
    }

    fn has_default(&self, key: &str) -> bool {
        let setting = self.loaded.settings.get(key);
        setting.is_none_or(|setting| !matches!(setting.origin, Some(Origin::File(_))))
    }

    /// Returns the absolute path of a file that units must be able to read.
    fn seen_by_units(&mut self, path: &Path, flag: &str, remedy: &str) -> Result<PathBuf, Failure> {
        let unusable = |what: String| {
            Failure::new(Exit::Usage, anyhow!("{flag} {}: {what}", path.display())).remedy(remedy.to_owned())
        };
        let absolute = std::path::absolute(path).map_err(|error| unusable(error.to_string()))?;
        if let Err(error) = absolute.metadata() {
            self.obstacles.push(unusable(error.to_string()));
        }
        let real = absolute.canonicalize().unwrap_or_else(|_| absolute.clone());
        // Units in another directory are for another machine.
        let is_here = self.args.unit_dir == Path::new(UNIT_DIRECTORY);
        if let Some(hidden) = HIDDEN.iter().find(|hidden| is_here && real.starts_with(hidden)) {
            self.obstacles
                .push(unusable(format!("a hardened unit does not see files in {hidden}")));
        }
        Ok(absolute)
    }

    /// Returns the configuration with the places that the environment of the units sets.
    pub(super) fn settings_of_units(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut sections = serde_json::Map::new();
        for (key, _, value) in SERVICE_PLACES.iter().filter(|(key, ..)| self.has_default(key)) {
            if let Some((section, name)) = key.split_once('.') {
                sections.insert(
                    section.to_owned(),
                    serde_json::json!({name: value.replace("%S", STATE_ROOT)}),
                );
            }
        }
        sections
    }
}

/// Returns a path as a word of a unit.
pub(super) fn word(path: &Path, flag: &str) -> Result<Word, Failure> {
    let text = path.to_str().unwrap_or_default();
    Word::parse(text).map_err(|error| {
        Failure::new(Exit::Usage, anyhow!("{flag} {}: {error}", path.display()))
            .remedy("use a path of letters, digits and ._-/@+,=:")
    })
}
