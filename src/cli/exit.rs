//! How a command ends: its exit code and, when it failed, what failed and what to do next.

use crate::adapters::sqlite::OpenError;
use crate::config::Problems;
use crate::ports;
use crate::runtime::WiringError;
use crate::telemetry::one_line;
use std::fmt;
use std::process::ExitCode;

/// Exit codes: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, healthy.
    Done = 0,
    /// A negative answer: degraded, a mismatch, an unmet expectation, a rollback.
    Negative = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The configuration is invalid or incomplete.
    Configuration = 3,
    /// GitHub refused, or is out of reach.
    Github = 4,
    /// The store failed.
    Store = 5,
    /// The runner host failed.
    RunnerHost = 6,
    /// Another instance holds the lock.
    Locked = 7,
    /// Too little data to judge.
    TooLittleData = 8,
    /// An address to listen on is in use, or not there yet; a later try may succeed.
    AddressInUse = 9,
    /// A bug in jitgate.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How a command ends.
pub type Outcome = Result<Exit, Failure>;

/// A command that could not do its work. Printed, it is an error for people: no secrets, one line each for the error,
/// its details and the remedy.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    what: String,
    details: Vec<String>,
    remedy: Option<String>,
}

impl Failure {
    /// A failure with what failed, for which object, and why: `error` with its causes.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            what: format!("{:#}", error.into()),
            details: Vec::new(),
            remedy: None,
        }
    }

    /// A failure of the store to answer.
    pub(super) fn of_store(failure: ports::Failure) -> Self {
        Self::new(Exit::Store, failure)
            .remedy("see that the server of store.url runs and can be reached; `jitgate config check` asks it")
    }

    /// Adds what to do next.
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
            remedy: Some("correct it, and try `jitgate config check`".to_owned()),
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
                failure.remedy("stop what listens there, or change server.listen or server.admin_listen")
            }
            Exit::Locked => failure.remedy("stop that one first; commands such as `jitgate why` work beside it"),
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
