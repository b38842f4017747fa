//! The state machine of the keeper's end. It judges every byte of the guest, has no I/O and a bounded size.
//!
//! ```text
//!  closed ──open──> opening ──hello──> greeted ──prepare──> preparing ──prepared──> prepared ──run──> starting
//!    all is dropped    ^ all else is dropped                                           │                 │ started
//!                      └──────────────── open, from any state before `run` ────────────┘                 v
//!                                                                          over <──ended── running (ask, output, diag)
//! ```
//!
//! Any other message, line or id is abuse, which no later message undoes.

use super::lines::{Line, Lines};
use super::messages::{
    FromGuest, MAX_FROM_GUEST_BYTES, MAX_TEXT_BYTES, MAX_TO_GUEST_BYTES, ToGuest, VERSION, encoded, is_file_name,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Bytes that a guest may send in all.
pub(super) const MAX_RECEIVED_BYTES: u64 = 64 * 1024 * 1024;
/// Questions at the same time.
pub(super) const MAX_QUESTIONS: usize = 16;
/// Log files of the runner program, and their size in all.
const MAX_LOG_FILES: usize = 16;
pub(super) const MAX_LOG_BYTES: usize = 2 * 1024 * 1024;

/// The guest broke the protocol. The texts contain nothing that the guest sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Abuse {
    #[error("the guest sent more than {MAX_RECEIVED_BYTES} bytes")]
    TooMuch,
    #[error("the guest sent a line of more than {MAX_FROM_GUEST_BYTES} bytes")]
    TooLong,
    #[error("the guest sent a line that is not a message")]
    Invalid,
    #[error("the guest sent a message out of turn")]
    OutOfTurn,
    #[error("the guest sent an id that is not valid")]
    WrongId,
    #[error("the guest speaks another version of the protocol; run `jitgate image build` again")]
    Version,
    #[error("the guest does not read")]
    Unread,
}

/// An event that the guest caused by a valid message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Greeted,
    Prepared,
    Started,
    Output(String),
    Asked { id: u64, text: String },
    Left { id: u64 },
    Log { name: String, text: String },
    Ended { code: i32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Opening,
    Greeted,
    Preparing,
    Prepared,
    Starting,
    Running,
    Over,
    Abused(Abuse),
}

/// The answers that the guest may still receive for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Waiting,
    Answered,
    Closed,
}

/// One conversation with a guest.
pub(super) struct Session {
    phase: Phase,
    nonce: String,
    lines: Lines,
    received: u64,
    last_id: Option<u64>,
    questions: BTreeMap<u64, Question>,
    logs: BTreeSet<String>,
    log_bytes: usize,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Closed,
            nonce: String::new(),
            lines: Lines::new(MAX_FROM_GUEST_BYTES),
            received: 0,
            last_id: None,
            questions: BTreeMap::new(),
            logs: BTreeSet::new(),
            log_bytes: 0,
        }
    }

    /// Begins anew and returns the line for the guest. It starts with a line end, which ends a line that was torn before.
    pub(super) fn open(&mut self, nonce: &str) -> io::Result<Vec<u8>> {
        self.check(|phase| !matches!(phase, Phase::Starting | Phase::Running | Phase::Over))?;
        self.phase = Phase::Opening;
        nonce.clone_into(&mut self.nonce);
        let nonce = nonce.to_owned();
        Ok([b"\n", &*encoded(&ToGuest::Open { nonce })?].concat())
    }

    /// Returns the line with random bytes and the time, in nanoseconds since 1970.
    pub(super) fn prepare(&mut self, entropy: &[u8], unix_ns: i64) -> io::Result<Vec<u8>> {
        self.check(|phase| matches!(phase, Phase::Greeted))?;
        self.phase = Phase::Preparing;
        encoded(&ToGuest::Prepare {
            entropy: STANDARD.encode(entropy),
            unix_ns,
        })
    }

    /// Returns the line that starts the runner program. A guest that is not prepared gets none: its random numbers could be
    /// those of another guest.
    pub(super) fn run(&mut self, jit_config: &str) -> io::Result<Vec<u8>> {
        self.check(|phase| matches!(phase, Phase::Prepared))?;
        let line = encoded(&ToGuest::Run {
            jit_config: jit_config.to_owned(),
        })?;
        if line.len() > MAX_TO_GUEST_BYTES {
            return Err(io::Error::other("the JIT configuration is too long"));
        }
        self.phase = Phase::Starting;
        Ok(line)
    }

    /// Returns the line with the answer to a question. There is none for a question that was not asked, was answered before,
    /// or is over.
    pub(super) fn answer(&mut self, id: u64, text: &str) -> Option<Vec<u8>> {
        let question = self.questions.get_mut(&id).filter(|it| **it == Question::Waiting)?;
        *question = Question::Answered;
        let text = text.to_owned();
        encoded(&ToGuest::Answer { id, text }).ok()
    }

    /// Returns the line that closes the connection of a question, once.
    pub(super) fn close(&mut self, id: u64) -> Option<Vec<u8>> {
        let question = self.questions.get_mut(&id).filter(|it| **it != Question::Closed)?;
        *question = Question::Closed;
        encoded(&ToGuest::Close { id }).ok()
    }

    /// Takes bytes from the front of `bytes` until an event has happened or no bytes are left.
    pub(super) fn receive(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, Abuse> {
        if let Phase::Abused(abuse) = self.phase {
            return Err(abuse);
        }
        let event = self.event(bytes);
        if let Err(abuse) = &event {
            self.condemn(*abuse);
        }
        event
    }

    /// Ends the conversation for good.
    pub(super) fn condemn(&mut self, abuse: Abuse) {
        self.phase = Phase::Abused(abuse);
        self.questions.clear();
    }

    fn check(&self, is_due: impl Fn(Phase) -> bool) -> io::Result<()> {
        match self.phase {
            Phase::Abused(abuse) => Err(abuse.into()),
            phase if is_due(phase) => Ok(()),
            _ => Err(io::Error::other("the guest is not ready for this")),
        }
    }

    fn event(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, Abuse> {
        loop {
            let before = bytes.len();
            let line = self.lines.next(bytes);
            self.received = self.received.saturating_add((before - bytes.len()) as u64);
            if self.received > MAX_RECEIVED_BYTES {
                return Err(Abuse::TooMuch);
            }
            let Some(line) = line else { return Ok(None) };
            if matches!(self.phase, Phase::Closed | Phase::Opening) {
                if let Some(greeted) = self.greeting(&line) {
                    return greeted.map(Some);
                }
                continue;
            }
            let Line::Whole(line) = line else {
                return Err(Abuse::TooLong);
            };
            let message = serde_json::from_slice(&line).map_err(|_| Abuse::Invalid)?;
            return self.judge(message).map(Some);
        }
    }

    /// Returns the result of a line before the hello, or none for a line that is dropped.
    fn greeting(&mut self, line: &Line) -> Option<Result<Event, Abuse>> {
        let Line::Whole(line) = line else { return None };
        match serde_json::from_slice(line) {
            Ok(FromGuest::Hello { nonce, version }) if self.phase == Phase::Opening && nonce == self.nonce => {
                self.phase = Phase::Greeted;
                let is_known = version == VERSION;
                Some(if is_known {
                    Ok(Event::Greeted)
                } else {
                    Err(Abuse::Version)
                })
            }
            _ => None,
        }
    }

    fn judge(&mut self, message: FromGuest) -> Result<Event, Abuse> {
        match (self.phase, message) {
            (Phase::Preparing, FromGuest::Prepared {}) => {
                self.phase = Phase::Prepared;
                Ok(Event::Prepared)
            }
            (Phase::Starting, FromGuest::Started {}) => {
                self.phase = Phase::Running;
                Ok(Event::Started)
            }
            (Phase::Starting | Phase::Running, FromGuest::Output { text }) => Ok(Event::Output(bounded(text)?)),
            (Phase::Starting | Phase::Running, FromGuest::Ended { code }) => {
                self.phase = Phase::Over;
                Ok(Event::Ended { code })
            }
            (Phase::Running, FromGuest::Ask { id, text }) => self.ask(id, bounded(text)?),
            (Phase::Running, FromGuest::Hangup { id }) => {
                self.questions.remove(&id).ok_or(Abuse::WrongId)?;
                Ok(Event::Left { id })
            }
            (Phase::Running, FromGuest::Diag { name, text }) => self.log(name, bounded(text)?),
            _ => Err(Abuse::OutOfTurn),
        }
    }

    fn ask(&mut self, id: u64, text: String) -> Result<Event, Abuse> {
        if self.last_id.is_some_and(|last| id <= last) {
            return Err(Abuse::WrongId);
        }
        if self.questions.len() >= MAX_QUESTIONS {
            return Err(Abuse::TooMuch);
        }
        self.last_id = Some(id);
        self.questions.insert(id, Question::Waiting);
        Ok(Event::Asked { id, text })
    }

    fn log(&mut self, name: String, text: String) -> Result<Event, Abuse> {
        if !is_file_name(&name) {
            return Err(Abuse::Invalid);
        }
        self.log_bytes = self.log_bytes.saturating_add(text.len());
        self.logs.insert(name.clone());
        if self.logs.len() > MAX_LOG_FILES || self.log_bytes > MAX_LOG_BYTES {
            return Err(Abuse::TooMuch);
        }
        Ok(Event::Log { name, text })
    }

    /// Returns the bytes that the guest makes this session hold.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let logs: usize = self.logs.iter().map(String::len).sum();
        self.lines.held() + logs + self.questions.len()
    }
}

impl From<Abuse> for io::Error {
    fn from(abuse: Abuse) -> Self {
        Self::new(io::ErrorKind::InvalidData, abuse)
    }
}

fn bounded(text: String) -> Result<String, Abuse> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Abuse::TooLong);
    }
    Ok(text)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
