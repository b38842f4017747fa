//! A folder with a configuration for the described GitHub, and `jitgate` commands in it.

use crate::commands::stage::Answer;
use crate::store_contract::AMPLE;
use crate::support::command::search_path;
use crate::support::openapi::{Fault, OpenApiGithub};
use crate::support::scripted::KEY;
use jitgate::adapters::clock::SystemClock;
use jitgate::adapters::sqlite::{OpenMode, SqliteStore};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The configured repository.
pub(crate) const REPOSITORY: &str = "octo-org/octo-repo";

/// A described GitHub, and a folder whose configuration names it.
pub(crate) struct Stage {
    pub(crate) github: OpenApiGithub,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let stage = Self {
            github: OpenApiGithub::start(),
            folder: TempDir::new().expect("a folder"),
        };
        stage.write_secret("app.pem", &KEY.private_pem);
        let toml = format!(
            "[webhook]\nsecrets = [\"hunter2-hunter2-hunter2\"]\n
             [github]\napi_url = \"{}\"\ntimeout_s = 1\napp_id = \"4711\"\nprivate_key_file = \"{}\"\n
             [store]\nurl = \"sqlite:{}\"\n
             [runners]\nhost = \"synthetic\"\n
             [[repositories]]\nfull_name = \"{REPOSITORY}\"\n",
            stage.github.url(),
            stage.at("app.pem").display(),
            stage.at("jitgate.db").display(),
        );
        fs::write(stage.at("jitgate.toml"), toml).expect("a file");
        stage
    }

    /// Creates the store, as `jitgate serve` does.
    pub(crate) fn create_store(&self) {
        let store = SqliteStore::open(&self.at("jitgate.db"), OpenMode::Serve, Arc::new(SystemClock), AMPLE);
        store.expect("a store");
    }

    /// Adds lines to the table of the repository, which is the last one of the configuration.
    pub(crate) fn configure(&self, lines: &str) {
        let path = self.at("jitgate.toml");
        let text = fs::read_to_string(&path).expect("the configuration");
        fs::write(path, format!("{text}{lines}")).expect("a file");
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner can read, as the commands demand it of secrets.
    pub(crate) fn write_secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        path
    }

    /// Runs a command in the folder, with `PATH` and nothing else of the environment.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.run_with(args, &[])
    }

    /// The same, with more environment variables.
    pub(crate) fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", search_path())
            .envs(environment.iter().copied())
            .output()
            .expect("jitgate runs");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Lets each of the operations fail in each way, and expects exit code 4 and a remedy. An operation that treats a
    /// status as an answer names it in `except`.
    pub(crate) fn assert_refusals_have_a_remedy(&self, args: &[&str], operations: &[&str], except: &[(&str, u16)]) {
        for operation in operations {
            for fault in Fault::ALL {
                if matches!(fault, Fault::Status(status) if except.contains(&(operation, status))) {
                    continue;
                }
                let before = self.github.calls_of(operation);
                self.github.fail(operation, fault);
                let answer = self.run(args);
                self.github.heal();
                let context = format!("{args:?}, {operation}, {fault:?}: {}{}", answer.out, answer.err);
                assert!(self.github.calls_of(operation) > before, "no request: {context}");
                assert_eq!(answer.code, 4, "{context}");
                assert!(fault.is_met_by(&answer.err), "{context}");
            }
        }
    }

    /// Returns the names, modes and contents of all files of the folder.
    pub(crate) fn files(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut files = Vec::new();
        collect(self.folder.path(), &mut files);
        // SQLite creates these beside a database that is only read.
        let is_beside_a_store = |path: &Path| path.extension().is_some_and(|end| end == "db-wal" || end == "db-shm");
        files.retain(|(path, ..)| !is_beside_a_store(path));
        files.sort();
        files
    }

    /// Expects that a command changes neither the folder nor GitHub.
    pub(crate) fn assert_changes_nothing(&self, args: &[&str], environment: &[(&str, &str)]) -> Answer {
        let (files, changes) = (self.files(), self.github.changes());
        let answer = self.run_with(args, environment);
        assert_eq!(answer.code, 0, "{args:?}: {}", answer.err);
        assert_eq!(self.github.changes(), changes, "{args:?} changes GitHub");
        assert!(self.files() == files, "{args:?} changes files");
        answer
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let about = fs::symlink_metadata(&path).expect("metadata");
        let content = if about.is_file() {
            fs::read(&path).expect("a file")
        } else {
            Vec::new()
        };
        files.push((path.clone(), about.permissions().mode(), content));
        if about.is_dir() {
            collect(&path, files);
        }
    }
}
