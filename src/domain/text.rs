//! Characters that are invisible or change how text is displayed. Outsiders write them into names of branches, jobs and
//! accounts.

use std::borrow::Cow;

/// Returns true for control and format characters: line ends, terminal sequences, direction marks, zero-width
/// characters and tags.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
            | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Escapes every hidden character. The escapes are those of JSON, so the meaning of JSON text is unchanged.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// Escapes every hidden character except line ends.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hidden(c))
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_unsafe(c) => written.push(c),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            // Two escapes for what has more than four digits.
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    Cow::Owned(written)
}

/// Reads one of `all` by its word.
///
/// # Errors
/// With the words that are expected.
pub fn one_of<T: Copy>(all: &[T], as_str: fn(T) -> &'static str, word: &str) -> Result<T, String> {
    let found = all.iter().copied().find(|value| as_str(*value) == word);
    found.ok_or_else(|| {
        let words: Vec<&str> = all.iter().copied().map(as_str).collect();
        format!("expected one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_the_same_text_for_a_reader_of_json() {
        let hostile = "a\u{9b}31m\u{7f}\u{202e}\u{e0041}\u{110bd}\u{1b}b";
        let escaped = one_line(hostile);
        assert_eq!(escaped, "a\\u009b31m\\u007f\\u202e\\udb40\\udc41\\ud804\\udcbd\\u001bb");
        let read: String = serde_json::from_str(&format!("\"{escaped}\"")).expect("JSON");
        assert_eq!(read, hostile);
        assert_eq!(lines("a\nb\r"), "a\nb\\u000d");
    }
}
