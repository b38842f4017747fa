//! The file with a just-in-time configuration, as `jit request` writes it.

use super::installation::RunnerSettings;
use crate::domain::ids::RunnerId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

/// A just-in-time configuration and the runner that it belongs to.
#[derive(Debug)]
pub struct JitFile {
    pub id: RunnerId,
    pub name: String,
    /// `encoded_jit_config`, which holds a private key.
    pub config: SecretString,
    /// The settings that the runner program will write to `.runner`.
    pub settings: RunnerSettings,
}

/// The fault of a file. It contains no part of the file, which is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JitFileError {
    #[error("it is not JSON with runner.id, runner.name and encoded_jit_config")]
    Form,
    #[error("its encoded_jit_config is not a configuration of a runner")]
    Configuration,
    #[error("its encoded_jit_config belongs to runner {found} instead of {named}")]
    Mismatch { named: String, found: String },
}

impl JitFile {
    /// Parses the content of the file.
    ///
    /// # Errors
    /// If a part is missing, or if the configuration belongs to another runner.
    pub fn parse(text: &SecretString) -> Result<Self, JitFileError> {
        #[derive(Deserialize)]
        struct File {
            runner: Runner,
            encoded_jit_config: String,
        }
        #[derive(Deserialize)]
        struct Runner {
            id: RunnerId,
            name: String,
        }
        let file: File = serde_json::from_str(text.expose_secret()).map_err(|_| JitFileError::Form)?;
        let settings = settings(&file.encoded_jit_config).ok_or(JitFileError::Configuration)?;
        if settings.name != file.runner.name {
            return Err(JitFileError::Mismatch {
                named: file.runner.name,
                found: settings.name,
            });
        }
        Ok(Self {
            id: file.runner.id,
            name: file.runner.name,
            config: SecretString::from(file.encoded_jit_config),
            settings,
        })
    }
}

/// Returns the settings in an encoded configuration: base64 of an object whose values are files in base64.
fn settings(encoded: &str) -> Option<RunnerSettings> {
    let decoded = |text: &str| STANDARD.decode(text.trim()).ok();
    let files: Value = serde_json::from_slice(&decoded(encoded)?).ok()?;
    let file = decoded(files.get(".runner")?.as_str()?)?;
    RunnerSettings::parse(std::str::from_utf8(&file).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(name: &str, configured: &str) -> SecretString {
        let settings = json!({"agentId": 7, "agentName": configured, "workFolder": "_work", "ephemeral": true});
        let files = json!({".runner": STANDARD.encode(settings.to_string())});
        let encoded = STANDARD.encode(files.to_string());
        let text = json!({"runner": {"id": 7, "name": name}, "encoded_jit_config": encoded});
        SecretString::from(text.to_string())
    }

    #[test]
    fn a_file_is_read_with_the_settings_of_its_runner() {
        let read = JitFile::parse(&file("one", "one")).expect("a good file");
        assert_eq!((read.id, read.name.as_str()), (RunnerId(7), "one"));
        assert!(read.settings.is_ephemeral && read.settings.work_folder == "_work");
        assert!(!format!("{read:?}").contains(read.config.expose_secret()));
    }

    #[test]
    fn damaged_files_and_those_of_another_runner_are_rejected() {
        let other = JitFile::parse(&file("one", "two")).expect_err("another runner");
        assert_eq!(
            other.to_string(),
            "its encoded_jit_config belongs to runner two instead of one"
        );
        for text in ["", "{}", "{\"runner\": {\"id\": 1, \"name\": \"a\"}}"] {
            let error = JitFile::parse(&SecretString::from(text)).expect_err("a damaged file");
            assert_eq!(error, JitFileError::Form, "{text}");
        }
        let text = "{\"runner\": {\"id\": 1, \"name\": \"a\"}, \"encoded_jit_config\": \"s3cret\"}";
        let error = JitFile::parse(&SecretString::from(text)).expect_err("a damaged file");
        assert!(!error.to_string().contains("s3cret"));
        assert_eq!(error, JitFileError::Configuration);
    }
}
