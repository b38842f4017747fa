//! The end of a command: its exit code and, after a failure, the error and the remedy.

use crate::adapters::sqlite::OpenError;
use crate::config::Problems;
use crate::ports;
use crate::runtime::WiringError;
use crate::telemetry::one_line;
use std::fmt;
use std::process::ExitCode;

/// The exit codes. Scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded, or the answer is positive.
    Done = 0,
    /// The answer is negative: a mismatch, an unmet expectation, an unknown object.
    Negative = 1,
    /// The command line is invalid.
    Usage = 2,
    /// The configuration is invalid or incomplete.
    Configuration = 3,
    /// GitHub refused a request, or is unreachable.
    Github = 4,
    /// The store fails.
    Store = 5,
    /// The runner host fails.
    RunnerHost = 6,
    /// Another instance holds the lock of the store.
    Locked = 7,
    /// There is too little data for a judgement.
    TooLittleData = 8,
    /// A listen address is in use or does not exist yet. A later attempt can succeed.
    AddressInUse = 9,
    /// jitgate has a bug.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Returns the remedy for a request that failed at GitHub. `refused` is the one for missing access.
pub(super) fn remedy_at_github(failure: &ports::Failure, refused: &str) -> String {
    // GitHub rejects the state of an object by these codes, whatever the credentials are.
    let is_about_state = |text: &str| {
        ["answered 409", "answered 422"]
            .iter()
            .any(|answer| text.contains(answer))
    };
    match failure {
        ports::Failure::Permanent(text) if is_about_state(text) => {
            "run the command again; if GitHub repeats its answer, follow its message".to_owned()
        }
        ports::Failure::Permanent(_) => refused.to_owned(),
        ports::Failure::RateLimited { .. } | ports::Failure::Transient(_) => when_it_passes(failure),
    }
}

/// Returns the remedy for a failure that may pass.
pub(super) fn when_it_passes(failure: &ports::Failure) -> String {
    match failure {
        ports::Failure::RateLimited { until, .. } => {
            format!("run the command again after {}", until.format("%F %T UTC"))
        }
        ports::Failure::Transient(_) | ports::Failure::Permanent(_) => {
            "check the network, github.api_url, github.proxy and https://www.githubstatus.com, and run the command again"
                .to_owned()
        }
    }
}

/// The result of a command.
pub type Outcome = Result<Exit, Failure>;

/// The failure of a command. Its text has one line each for the error, the details and the remedy, and contains no
/// secrets.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    what: String,
    details: Vec<String>,
    remedy: Option<String>,
}

impl Failure {
    /// Returns a failure with the text of `error` and its causes.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            what: format!("{:#}", error.into()),
            details: Vec::new(),
            remedy: None,
        }
    }

    /// Returns the failure of a store that does not answer.
    pub(super) fn of_store(failure: ports::Failure) -> Self {
        Self::new(Exit::Store, failure)
            .remedy("check that the server of store.url runs and is reachable; `jitgate config check` asks it")
    }

    /// Returns the failure of a request to GitHub. `refused` is the remedy if GitHub refuses the request for good.
    pub(super) fn of_github(error: impl Into<anyhow::Error>, failure: &ports::Failure, refused: &str) -> Self {
        Self::new(Exit::Github, error).remedy(remedy_at_github(failure, refused))
    }

    /// Returns the error without its details and its remedy.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Names the step that failed.
    #[must_use]
    pub(super) fn context(mut self, step: &str) -> Self {
        self.what = format!("{step}: {}", self.what);
        self
    }

    /// Returns the failure as the text of a warning.
    #[must_use]
    pub(super) fn as_warning(&self) -> String {
        self.to_string().replacen("jitgate: error: ", "jitgate: warning: ", 1)
    }

    /// Adds a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<Problems> for Failure {
    fn from(Problems(problems): Problems) -> Self {
        let (count, noun) = (problems.len(), if problems.len() == 1 { "problem" } else { "problems" });
        Self {
            exit: Exit::Configuration,
            what: format!("the configuration has {count} {noun}"),
            details: problems.iter().map(ToString::to_string).collect(),
            remedy: Some("correct it, then run `jitgate config check`".to_owned()),
        }
    }
}

impl From<WiringError> for Failure {
    fn from(error: WiringError) -> Self {
        let exit = match &error {
            WiringError::Sqlite(OpenError::Held { .. }) => Exit::Locked,
            WiringError::Sqlite(_) | WiringError::InsideServe => Exit::Store,
            WiringError::Listen(error) if error.is_temporary() => Exit::AddressInUse,
            WiringError::Redis(_)
            | WiringError::NoCredentials
            | WiringError::GitHub(_)
            | WiringError::Alerts(_)
            | WiringError::Listen(_) => Exit::Configuration,
        };
        let is_listener = matches!(error, WiringError::Listen(_));
        let failure = Self::new(exit, error);
        match exit {
            _ if is_listener => {
                failure.remedy("stop the process that listens there, or change server.listen or server.admin_listen")
            }
            Exit::Locked => {
                failure.remedy("stop the other process first; commands such as `jitgate why` work beside it")
            }
            _ => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jitgate: error: {}", one_line(&self.what))?;
        for detail in &self.details {
            write!(f, "\n  {}", one_line(detail))?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\njitgate: remedy: {}", one_line(remedy)),
            None => Ok(()),
        }
    }
}
