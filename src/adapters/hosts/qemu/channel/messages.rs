//! The messages of the channel. Each is one JSON object on one line.

use serde::{Deserialize, Serialize};
use std::io;

/// The version of the protocol, which the guest reports.
pub(crate) const VERSION: u32 = 1;
/// Longest line to the guest.
pub(crate) const MAX_TO_GUEST_BYTES: usize = 256 * 1024;
/// Longest line from the guest.
pub(crate) const MAX_FROM_GUEST_BYTES: usize = 16 * 1024;
/// Longest text in a message from the guest.
pub(crate) const MAX_TEXT_BYTES: usize = 4096;
/// Longest name of a log file.
const MAX_NAME_BYTES: usize = 100;

/// A message of the keeper. It has no `Debug`, because it can contain the JIT configuration.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ToGuest {
    /// A conversation begins anew. The guest drops everything that it remembers of an earlier one.
    Open { nonce: String },
    /// Random bytes in Base64, and the time in nanoseconds since 1970.
    Prepare { entropy: String, unix_ns: i64 },
    /// Starts the runner program.
    Run { jit_config: String },
    /// The answer of the job gate to a question.
    Answer { id: u64, text: String },
    /// The job gate has closed the connection of a question.
    Close { id: u64 },
}

/// A message of the guest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FromGuest {
    /// The answer to [`ToGuest::Open`].
    Hello { nonce: String, version: u32 },
    /// The answer to [`ToGuest::Prepare`].
    Prepared {},
    /// The runner program has started.
    Started {},
    /// A piece of the output of the runner program.
    Output { text: String },
    /// A connection to the job gate, with its first line. Ids increase.
    Ask { id: u64, text: String },
    /// The connection has ended. Each question ends with one of these.
    Hangup { id: u64 },
    /// A piece of a log file of the runner program.
    Diag { name: String, text: String },
    /// The runner program has ended. No message follows.
    Ended { code: i32 },
}

/// Returns the line of a message.
pub(crate) fn encoded(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Returns true for the plain name of a file that is not hidden.
pub(crate) fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.starts_with('.') && name.chars().all(is_plain)
}
