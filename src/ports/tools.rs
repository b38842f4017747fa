//! The port to external programs of this machine, such as `systemctl`, `gh` and the runner's `config.sh`.

use async_trait::async_trait;
use futures::future::BoxFuture;
use secrecy::SecretString;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One call of a program. There is no shell in between, so arguments need no quoting.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// A name, which is looked up in `PATH`, or a path.
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// The working directory; by default the one of this process.
    pub directory: Option<PathBuf>,
    /// The environment; by default the one of this process without the settings of jitgate.
    pub environment: Option<Vec<(String, OsString)>>,
    /// Variables in addition to that environment.
    pub variables: Vec<(String, OsString)>,
    /// The file that is its standard input; by default it is empty.
    pub input: Option<PathBuf>,
    /// Secrets for its environment. Other users of the machine can read arguments, but not the environment.
    pub secrets: Vec<(String, SecretString)>,
    /// Time after which the program and its children are killed.
    pub timeout: Duration,
}

impl ToolCall {
    /// Returns a call of `program` without arguments.
    #[must_use]
    pub fn new(program: impl Into<OsString>, timeout: Duration) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            environment: None,
            variables: Vec::new(),
            input: None,
            secrets: Vec::new(),
            timeout,
        }
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Appends several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn within(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Sets the environment, so that the program inherits nothing.
    #[must_use]
    pub fn only(mut self, environment: Vec<(String, OsString)>) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the file that is the standard input.
    #[must_use]
    pub fn reading(mut self, file: &Path) -> Self {
        self.input = Some(file.to_owned());
        self
    }

    /// Adds a secret to the environment.
    #[must_use]
    pub fn secret(mut self, name: &str, value: SecretString) -> Self {
        self.secrets.push((name.to_owned(), value));
        self
    }

    /// Returns the command line for messages.
    #[must_use]
    pub fn in_words(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// The end of a program that was not killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// The exit code; `None` if a signal ended the program.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl ToolOutput {
    /// Reports whether the program ended with the exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// Returns the last line that the program wrote, which usually names the fault.
    #[must_use]
    pub fn last_line(&self) -> Option<&str> {
        let lines = self.stderr.lines().rev().chain(self.stdout.lines().rev());
        lines.map(str::trim).find(|line| !line.is_empty())
    }
}

/// The failure of a call. A program that ends with an exit code other than 0 is not a failure of the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    #[error("the program {program} is not installed")]
    Missing { program: String },
    #[error("`{call}` did not end within {timeout_s} s")]
    TimedOut { call: String, timeout_s: u64 },
    #[error("`{call}` cannot be run: {reason}")]
    Unusable { call: String, reason: String },
}

/// The end of a program that ran in the foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttendedEnd {
    /// It ended by itself, with this exit code; none if a signal ended it.
    Ended(Option<i32>),
    /// It was interrupted on request.
    Stopped,
    /// It was interrupted because its time was over.
    TimedOut,
}

/// Runs external programs in the foreground.
#[async_trait]
pub trait AttendedTools: Send + Sync + 'static {
    /// Runs a program to its end, with its output on the standard error of this process. When `stop` completes or its
    /// time is over, the program and its children are interrupted, and killed if they do not end soon.
    ///
    /// # Errors
    /// If the program is missing or cannot be started.
    async fn attend(&self, call: &ToolCall, stop: BoxFuture<'static, ()>) -> Result<AttendedEnd, ToolError>;
}

/// Runs external programs.
#[async_trait]
pub trait Tools: Send + Sync + 'static {
    /// Runs a program to its end. Its output is bounded.
    ///
    /// # Errors
    /// If the program is missing, cannot be started, or was killed because its time was over.
    async fn run(&self, call: &ToolCall) -> Result<ToolOutput, ToolError>;
}
