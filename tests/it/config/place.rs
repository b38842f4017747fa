//! A directory to start jitgate in, and shorter ways to load a configuration.

use jitgate::config::{self, Loaded, Problem, Problems, Sources};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Nothing that is printed may hold it.
pub(crate) const SECRET: &str = "hunter2-hunter2-hunter2";

/// A directory to start jitgate in.
pub(crate) struct Place(pub(crate) TempDir);

/// The result of a command.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// A place with this `jitgate.toml`.
    pub(crate) fn with(toml: &str) -> Self {
        let place = Self(TempDir::new().expect("a directory"));
        place.file("jitgate.toml", toml, 0o600);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    /// Runs `jitgate` here with nothing but `env` in the environment.
    pub(crate) fn jitgate(&self, args: &[&str], env: &[(&str, &str)]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .args(args)
            .env_clear()
            .envs(env.iter().copied())
            .current_dir(self.0.path())
            .output()
            .expect("jitgate starts");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("JSON on stdout")
    }
}

pub(crate) fn load(toml: &str) -> Result<Loaded, Problems> {
    let overrides: toml::Table = toml.parse().expect("the test writes TOML");
    let Value::Object(overrides) = serde_json::to_value(overrides).expect("JSON") else {
        panic!("a table")
    };
    config::load(Sources {
        overrides,
        ..Sources::default()
    })
}

pub(crate) fn load_env(env: &[(&str, &str)]) -> Result<Loaded, Problems> {
    config::load(Sources {
        env: env
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        ..Sources::default()
    })
}

pub(crate) fn problems(toml: &str) -> Vec<Problem> {
    load(toml).err().map_or_else(Vec::new, |problems| problems.0)
}
