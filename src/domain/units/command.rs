//! Command lines in units: only words that systemd reads as they are.

use std::fmt;

/// Characters of a word beside letters and digits. systemd gives a meaning to `%`, `$`, quotes, backslashes and more.
const PERMITTED: &str = "._-/@+,=: ";

/// A word that needs no escapes in a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

/// A text that cannot be a word of a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is empty or contains a character that a unit cannot contain")]
pub struct BadWord(String);

impl Word {
    /// Returns a text as a word.
    ///
    /// # Errors
    /// If the text is empty, or contains a character other than an ASCII letter, a digit, a space or one of `._-/@+,=:`.
    pub fn parse(text: &str) -> Result<Self, BadWord> {
        let is_permitted = |c: char| c.is_ascii_alphanumeric() || PERMITTED.contains(c);
        if text.trim() != text || text.is_empty() || !text.chars().all(is_permitted) {
            return Err(BadWord(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the word as a part of a command line.
    pub(super) fn quoted(&self) -> String {
        if self.0.contains(' ') {
            format!("\"{}\"", self.0)
        } else {
            self.0.clone()
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The program that units run, and what all its units have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The path of jitgate.
    pub path: Word,
    /// The configuration file.
    pub config: Option<Word>,
    /// The account that the units run as, except for the recovery.
    pub user: Word,
    /// Settings in the environment: values with specifiers of systemd.
    pub environment: Vec<(String, String)>,
}

impl Program {
    /// Returns the program with the configuration file.
    pub(super) fn run(&self) -> Line {
        let mut line = Line(self.path.quoted());
        if let Some(config) = &self.config {
            line = line.flag("--config", config);
        }
        line
    }
}

/// A command line under construction.
pub(super) struct Line(String);

impl Line {
    /// Appends words of this project.
    pub(super) fn words(mut self, words: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(words);
        self
    }

    /// Appends a flag with its value.
    pub(super) fn flag(self, name: &str, value: &Word) -> Self {
        self.words(&format!("{name} {}", value.quoted()))
    }

    /// Returns the text.
    pub(super) fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_get_into_a_unit() {
        for text in [
            "/opt/actions-runner",
            "self-hosted,linux",
            "octo-org/chem",
            "Iv1.abc",
            "a b",
        ] {
            assert_eq!(Word::parse(text).as_ref().map(Word::as_str), Ok(text));
        }
        for text in [
            "",
            " a",
            "a\nExecStart=/bin/sh",
            "%h",
            "$HOME",
            "a\"b",
            "a'b",
            "a\\b",
            "a;b",
            "\u{e9}",
        ] {
            assert_eq!(Word::parse(text), Err(BadWord(text.to_owned())));
        }
    }

    #[test]
    fn a_word_with_a_space_stays_one_word() {
        let word = |text| Word::parse(text).expect("a word");
        let program = Program {
            path: word("/usr/local/bin/jitgate"),
            config: Some(word("/etc/my files/jitgate.toml")),
            user: word("jitgate"),
            environment: Vec::new(),
        };
        let line = program.run().words("pool supervise").flag("--group", &word("Default"));
        let expected = "/usr/local/bin/jitgate --config \"/etc/my files/jitgate.toml\" pool supervise --group Default";
        assert_eq!(line.text(), expected);
    }
}
