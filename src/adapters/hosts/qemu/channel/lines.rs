//! Splits a stream into lines of bounded length.

use std::mem;

/// The end of a line, as far as it was seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its line end.
    Whole(Vec<u8>),
    /// The line is longer than allowed. The rest of it is dropped.
    TooLong,
}

/// The state between two pieces of a stream. It holds at most one line.
pub(crate) struct Lines {
    longest: usize,
    line: Vec<u8>,
    is_skipping: bool,
}

impl Lines {
    /// Returns the start of a stream whose lines have at most `longest` bytes.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            longest,
            line: Vec::new(),
            is_skipping: false,
        }
    }

    /// Takes bytes from the front of `bytes` until a line has ended or is too long, or no bytes are left.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Line> {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            *bytes = rest.get(1..).unwrap_or_default();
            if self.is_skipping {
                self.is_skipping = end.is_none();
            } else if self.line.len() + part.len() > self.longest {
                self.line = Vec::new();
                self.is_skipping = end.is_none();
                return Some(Line::TooLong);
            } else {
                self.line.extend_from_slice(part);
                if end.is_some() {
                    return Some(Line::Whole(mem::take(&mut self.line)));
                }
            }
        }
        None
    }

    /// Returns the bytes that are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.line.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(longest: usize, pieces: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        for mut piece in pieces.iter().copied() {
            while let Some(line) = lines.next(&mut piece) {
                found.push(line);
            }
            assert!(lines.held() <= longest);
        }
        found
    }

    #[test]
    fn a_long_line_is_reported_once_and_its_rest_is_dropped() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        let found = split(3, &[b"abc\nab", b"cd", b"efgh", b"ij\n\nab\n"]);
        assert_eq!(found, [whole("abc"), Line::TooLong, whole(""), whole("ab")]);
        assert_eq!(split(3, &[b"abcd\nx\n"]), [Line::TooLong, whole("x")]);
    }

    proptest! {
        #[test]
        fn the_cuts_of_a_stream_do_not_matter(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..200),
            size in 1_usize..20,
        ) {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            prop_assert_eq!(split(7, &pieces), split(7, &[&stream]));
        }
    }
}
