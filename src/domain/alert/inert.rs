//! Inert text. Outsiders choose the names of branches, jobs, labels and accounts. Alerts carry these names to chats,
//! mails, web pages and terminals, each with its own markup, and through tools that escape nothing.
//!
//! The text is therefore made inert once, before an alert is stored, for all receivers. A character that could control,
//! reorder or hide text is replaced by U+FFFD. A character that could be markup, a mention or a link is replaced by its
//! full-width twin: a person reads the same text, and a parser sees letters. Plain names are unchanged.

use crate::domain::text::is_hidden;

/// The replacement for a character that must not be displayed.
const REPLACEMENT: char = '\u{fffd}';

/// Returns `text`, shortened to `longest` characters, without anything that a terminal, log, chat, mail or web page
/// interprets.
#[must_use]
pub fn inert(text: &str, longest: usize) -> String {
    let chars: Vec<char> = text.chars().take(longest + 1).collect();
    let mut written = String::with_capacity(text.len().min(longest * 4));
    let mut colon_in_word = false;
    for (at, c) in chars.iter().copied().take(longest).enumerate() {
        if at + 1 == longest && chars.len() > longest {
            written.push('…');
            break;
        }
        let before = at.checked_sub(1).and_then(|before| chars.get(before)).copied();
        let after = chars.get(at + 1).copied();
        let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let means_something = match c {
            '<' | '>' | '&' | '@' | '#' | '*' | '~' | '`' | '[' | ']' | '{' | '}' | '|' | '\\' | '$' => true,
            // Emphasis starts and ends at a word boundary.
            '_' => !(is_part(before) && is_part(after)),
            // `https://`, `:emoji:`, and not `label: value`, `event:push` or `14:20:49`.
            ':' if is_of_a_time(&chars, at) => false,
            ':' => after == Some('/') || after == Some('\\') || colon_in_word || !is_part(before),
            // `example.com`, and not `0.98`.
            '.' => is_part(before) && after.is_some_and(char::is_alphabetic),
            _ => false,
        };
        colon_in_word = !c.is_whitespace() && (colon_in_word || c == ':');
        written.push(match c {
            '\t' | '\n' | '\r' => ' ',
            c if is_hidden(c) => REPLACEMENT,
            c if means_something => full_width(c),
            c => c,
        });
    }
    written
}

/// Returns true if the character stands between two digits on each side.
fn is_of_a_time(chars: &[char], at: usize) -> bool {
    let is_digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    [at.checked_sub(2), at.checked_sub(1), Some(at + 1), Some(at + 2)]
        .into_iter()
        .all(is_digit)
}

fn full_width(ascii: char) -> char {
    char::from_u32(u32::from(ascii) + 0xfee0).unwrap_or(REPLACEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        for plain in [
            "web (1, 2)",
            "route / inner",
            "mallory-2",
            "my_label",
            "p95 is 0.98, not 1.0",
            "queued at 2026-11-27T14:20:49Z",
            "job 7 is not trusted (event:push, association:NONE)",
            "naïve 漢字 (it's fine!)",
        ] {
            assert_eq!(inert(plain, 200), plain);
        }
    }

    #[test]
    fn what_means_something_becomes_letters() {
        for (hostile, harmless) in [
            ("<!channel> @here", "＜!channel＞ ＠here"),
            ("*b* _i_ ~s~ `c`", "＊b＊ ＿i＿ ～s～ ｀c｀"),
            ("[x](https://evil.example/a)", "［x］(https：//evil．example/a)"),
            ("a:smile:b :smile:", "a:smile：b ：smile："),
            ("# head\r\n- forged", "＃ head  - forged"),
            (
                "\u{1b}[2J\u{202e}x\u{200b}\u{e0041}\u{85}",
                "\u{fffd}［2J\u{fffd}x\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("<b>&amp;</b>{{ .X }}$(id)\\", "＜b＞＆amp;＜/b＞｛｛ .X ｝｝＄(id)＼"),
            ("www.evil.com me@evil.com", "www．evil．com me＠evil．com"),
        ] {
            assert_eq!(inert(hostile, 200), harmless);
        }
    }

    #[test]
    fn it_is_bounded() {
        assert_eq!(inert("abcdef", 6), "abcdef");
        assert_eq!(inert("abcdefg", 6), "abcde…");
        assert_eq!(inert(&"漢".repeat(10_000), 100).chars().count(), 100);
        assert_eq!(inert("a", 0), "");
    }
}
