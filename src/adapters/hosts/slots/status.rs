//! The status file of a slot. One process writes it at a time (the host until the slot is ready, the keeper from then on) and
//! replaces it in one step, so that no reader sees half of it.

use super::layout::SlotDir;
use super::process::ProcessId;
use crate::domain::slot::SlotState;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The content of a status file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Status {
    /// The boot of the machine in which this was written.
    pub(super) machine_start: String,
    pub(super) state: SlotState,
    pub(super) since: DateTime<Utc>,
    /// The time at which the slot was ready for a claim, if it was.
    #[serde(default)]
    pub(super) booted: Option<DateTime<Utc>>,
    /// The runner that the slot was claimed for.
    pub(super) runner: Option<String>,
    pub(super) keeper: Option<ProcessId>,
    /// The first processes of the guest: everything in it dies with them.
    #[serde(rename = "environment")]
    pub(super) processes: Vec<ProcessId>,
}

impl Status {
    /// Returns the status of a slot in which nothing has started yet.
    pub(super) fn unkept(state: SlotState, since: DateTime<Utc>, machine_start: &str) -> Self {
        Self {
            machine_start: machine_start.to_owned(),
            booted: (state == SlotState::Ready).then_some(since),
            state,
            since,
            runner: None,
            keeper: None,
            processes: Vec::new(),
        }
    }

    /// Returns true if no keeper has started in the slot.
    pub(super) fn is_unkept(&self) -> bool {
        self.keeper.is_none() && matches!(self.state, SlotState::Booting | SlotState::Ready)
    }

    /// Returns none when there is no status file, or none that can be read or parsed.
    pub(super) fn read(slot: &SlotDir) -> Option<Self> {
        Self::try_read(slot).ok().flatten()
    }

    /// Returns none when there is no status file or it cannot be parsed, and an error when it cannot be read at the moment,
    /// for lack of a file descriptor for example.
    pub(super) fn try_read(slot: &SlotDir) -> io::Result<Option<Self>> {
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
