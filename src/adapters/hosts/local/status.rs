//! The status file of a slot: written by one at a time (the gate until it is ready, its keeper from then on) and replaced
//! in one step, so that whoever reads it never sees half.

use super::layout::SlotDir;
use super::process::ProcessId;
use crate::ports::runner_host::{Ending, Hello, SlotState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// What a slot's directory says of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Status {
    /// The start of the machine it was written in.
    pub(super) machine_start: String,
    /// Where it stands.
    #[serde(with = "StateFile")]
    pub(super) state: SlotState,
    /// Since when.
    pub(super) since: DateTime<Utc>,
    /// The runner it was claimed for.
    pub(super) runner: Option<String>,
    /// Its keeper.
    pub(super) keeper: Option<ProcessId>,
    /// The first processes of its environment: everything in it ends with them.
    pub(super) environment: Vec<ProcessId>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SlotState", rename_all = "snake_case")]
enum StateFile {
    Booting,
    Ready,
    Claimed,
    AtGate(#[serde(with = "HelloFile")] Hello),
    Open,
    Ended(#[serde(with = "EndingFile")] Ending),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Hello", deny_unknown_fields)]
pub(super) struct HelloFile {
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    run_id: Option<u64>,
    #[serde(default)]
    run_attempt: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ending", rename_all = "snake_case")]
enum EndingFile {
    BootFailed(String),
    Exited,
    GateUnanswered,
    GateAbused,
    TooLong,
    DiskFull,
    Lost,
}

impl Status {
    /// Of a slot in which nothing was started yet.
    pub(super) fn new(state: SlotState, since: DateTime<Utc>, machine_start: &str) -> Self {
        Self {
            machine_start: machine_start.to_owned(),
            state,
            since,
            runner: None,
            keeper: None,
            environment: Vec::new(),
        }
    }

    /// None when there is none, or nothing that makes sense.
    pub(super) fn read(slot: &SlotDir) -> Option<Self> {
        Self::look(slot).ok().flatten()
    }

    /// The same, where it matters whether there is none or it cannot be read just now, for want of a descriptor say.
    pub(super) fn look(slot: &SlotDir) -> io::Result<Option<Self>> {
        match fs::read(slot.status()) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, slot: &SlotDir) -> io::Result<()> {
        let draft = slot.status().with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        drop(file);
        fs::rename(draft, slot.status())
    }
}
