//! Cuts output into pieces that fit into messages.

use crate::adapters::hosts::qemu::channel::{MAX_FROM_GUEST_BYTES, MAX_TEXT_BYTES};
use std::mem;

/// Longest text of a piece once it is written as JSON. The rest of a line belongs to the message around it.
const MAX_WRITTEN_BYTES: usize = MAX_FROM_GUEST_BYTES - 1024;
/// A character that JSON can only write as six, such as `\u0000`.
const MAX_ESCAPE_BYTES: usize = 6;

/// Bytes of a stream that do not yet form a character.
#[derive(Default)]
pub(super) struct Pieces {
    torn: Vec<u8>,
}

impl Pieces {
    /// Returns the text in these bytes and those before, in pieces. Bytes that are no text are replaced.
    pub(super) fn of(&mut self, bytes: &[u8]) -> Vec<String> {
        self.torn.extend_from_slice(bytes);
        let all = mem::take(&mut self.torn);
        let mut text = String::new();
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let is_last = chunks.peek().is_none();
            if is_last && !invalid.is_empty() && is_torn(invalid) {
                self.torn = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        cut(&text)
    }
}

/// Returns true if more bytes could make this a character.
fn is_torn(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Cuts a text into pieces.
pub(super) fn cut(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut written = 0;
    for c in text.chars() {
        let needed = match c {
            '"' | '\\' => 2,
            c if c.is_control() => MAX_ESCAPE_BYTES,
            c => c.len_utf8(),
        };
        if piece.len() + c.len_utf8() > MAX_TEXT_BYTES || written + needed > MAX_WRITTEN_BYTES {
            pieces.push(mem::take(&mut piece));
            written = 0;
        }
        piece.push(c);
        written += needed;
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hosts::qemu::channel::{FromGuest, encoded};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_piece_fits_into_a_message_and_no_text_is_lost(
            text in proptest::collection::vec(prop_oneof![Just('\0'), Just('"'), Just('漢'), any::<char>()], 0..4000),
            size in 1_usize..9000,
        ) {
            let text: String = text.into_iter().collect();
            let mut pieces = Pieces::default();
            let pieces: Vec<String> = text.as_bytes().chunks(size).flat_map(|bytes| pieces.of(bytes)).collect();
            prop_assert_eq!(pieces.concat(), text);
            for text in pieces {
                prop_assert!(text.len() <= MAX_TEXT_BYTES);
                let message = FromGuest::Diag { name: "n".repeat(100), text };
                prop_assert!(encoded(&message).expect("a line").len() <= MAX_FROM_GUEST_BYTES);
            }
        }

        #[test]
        fn bytes_that_are_no_text_are_bounded_too(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let mut pieces = Pieces::default();
            let cut: Vec<String> = bytes.chunks(100).flat_map(|bytes| pieces.of(bytes)).collect();
            prop_assert!(pieces.torn.len() < 4);
            prop_assert!(String::from_utf8_lossy(&bytes).starts_with(&cut.concat()));
        }
    }
}
