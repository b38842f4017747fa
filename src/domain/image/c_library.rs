//! The version of the GNU C library: the one that a program needs, and the one that an image has.

use std::fmt;

/// The mark of a versioned symbol in a program.
const MARK: &[u8] = b"GLIBC_";

/// A version such as 2.36.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CLibrary {
    pub major: u32,
    pub minor: u32,
}

impl CLibrary {
    /// Parses the version of Debian's package `libc6`, such as `2.36-9+deb12u10`.
    #[must_use]
    pub fn of_package(version: &str) -> Option<Self> {
        Self::at_start_of(version.as_bytes())
    }

    fn at_start_of(text: &[u8]) -> Option<Self> {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        let (major, rest) = text.split_at(digits(text));
        let rest = rest.strip_prefix(b".")?;
        Some(Self {
            major: number(major)?,
            minor: number(&rest[..digits(rest)])?,
        })
    }
}

impl fmt::Display for CLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Returns the newest version that the symbols of a program name; none for a program that names none.
#[must_use]
pub fn needed_by(program: &[u8]) -> Option<CLibrary> {
    let mut newest = None;
    let mut rest = program;
    while let Some(at) = rest.iter().position(|byte| *byte == MARK[0]) {
        rest = &rest[at..];
        if let Some(version) = rest.strip_prefix(MARK) {
            newest = newest.max(CLibrary::at_start_of(version));
        }
        rest = &rest[1..];
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_counts_and_numbers_are_compared_as_numbers() {
        let needed = needed_by(b"\0GLIBC_2.9\0GGLIBC_2.34\0GLIBC_PRIVATE\0GLIBC_2.2.5\0GLIBC_").expect("a version");
        assert_eq!(needed.to_string(), "2.34");
        assert_eq!(needed_by(b"#!/bin/sh\n"), None);
        let bookworm = CLibrary::of_package("2.36-9+deb12u10").expect("a version");
        assert!(bookworm > needed && bookworm < CLibrary::of_package("2.41-12").expect("a version"));
        assert_eq!(CLibrary::of_package("unknown"), None);
    }
}
