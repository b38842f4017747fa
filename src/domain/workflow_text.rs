//! A reader of the part of YAML that workflows use: block mappings, block lists, and texts in each style.
//!
//! Anything else, such as an anchor or a flow mapping, stays a text as it is written, so that it never equals a mapping.

/// A value in a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Mapping(Vec<(String, Self)>),
    List(Vec<Self>),
}

impl Value {
    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Mapping(entries) => entries.iter().find(|(known, _)| known == key).map(|(_, value)| value),
            Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Returns each text with its place, for example `env.TRUSTED` or `steps[1].run`. List items count from 1.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect<'a>(&'a self, place: &str, found: &mut Vec<(String, &'a str)>) {
        match self {
            Self::Text(text) => found.push((place.to_owned(), text)),
            Self::Mapping(entries) => {
                for (key, value) in entries {
                    let dot = if place.is_empty() { "" } else { "." };
                    value.collect(&format!("{place}{dot}{key}"), found);
                }
            }
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect(&format!("{place}[{}]", index + 1), found);
                }
            }
        }
    }
}

/// Reads a workflow.
#[must_use]
pub fn read(workflow: &str) -> Value {
    let lines = workflow.lines().map(|line| line.trim_end().to_owned()).collect();
    Reader { lines, at: 0 }.block()
}

struct Reader {
    lines: Vec<String>,
    at: usize,
}

impl Reader {
    /// Skips comments and empty lines, and returns the indentation and the text of the next line.
    fn peek(&mut self) -> Option<(usize, String)> {
        while let Some(line) = self.lines.get(self.at) {
            let text = line.trim_start();
            if !text.is_empty() && !text.starts_with('#') {
                return Some((line.len() - text.len(), text.to_owned()));
            }
            self.at += 1;
        }
        None
    }

    /// Reads what begins at the next line.
    fn block(&mut self) -> Value {
        match self.peek() {
            None => Value::Text(String::new()),
            Some((indent, text)) if is_item(&text) => self.list(indent),
            Some((indent, text)) if split_key(&text).is_some() => self.mapping(indent),
            Some((indent, text)) => {
                self.at += 1;
                // Its next lines are indented as far as the first one.
                self.text(&text, indent.saturating_sub(1))
            }
        }
    }

    fn list(&mut self, indent: usize) -> Value {
        let mut items = Vec::new();
        while let Some((_, text)) = self.peek().filter(|(at, text)| *at == indent && is_item(text)) {
            // The item continues in the column after its dash.
            if let Some(line) = self.lines.get_mut(self.at) {
                *line = format!("{} {}", " ".repeat(indent), text.get(1..).unwrap_or_default());
            }
            let is_filled = self.peek().is_some_and(|(at, _)| at > indent);
            items.push(if is_filled {
                self.block()
            } else {
                Value::Text(String::new())
            });
        }
        Value::List(items)
    }

    fn mapping(&mut self, indent: usize) -> Value {
        let mut entries = Vec::new();
        while let Some((_, text)) = self.peek().filter(|(at, _)| *at == indent) {
            let Some((key, rest)) = split_key(&text) else { break };
            self.at += 1;
            entries.push((key.to_owned(), self.value(rest.trim(), indent)));
        }
        Value::Mapping(entries)
    }

    /// Reads the value of a key; `rest` follows the key on its line.
    fn value(&mut self, rest: &str, indent: usize) -> Value {
        if !rest.is_empty() && !rest.starts_with('#') {
            return self.text(rest, indent);
        }
        match self.peek() {
            Some((at, text)) if at > indent || (at == indent && is_item(&text)) => self.block(),
            _ => Value::Text(String::new()),
        }
    }

    /// Reads a text whose further lines are indented by more than `indent`.
    fn text(&mut self, first: &str, indent: usize) -> Value {
        let text = match first.chars().next() {
            Some('|') => self.lines_of_text(indent).join("\n"),
            Some('>') => folded(&self.lines_of_text(indent)),
            Some(quote @ ('"' | '\'')) => {
                let mut text = first.to_owned();
                while closing(&text, quote).is_none() && self.at < self.lines.len() {
                    text.push(' ');
                    text.push_str(&self.next_line());
                }
                let end = closing(&text, quote).unwrap_or(text.len());
                text.get(1..end).unwrap_or_default().to_owned()
            }
            _ => {
                let mut text = uncommented(first).to_owned();
                while self.peek().is_some_and(|(at, _)| at > indent) {
                    text.push(' ');
                    text.push_str(uncommented(&self.next_line()));
                }
                text
            }
        };
        Value::Text(text.trim_end().to_owned())
    }

    fn next_line(&mut self) -> String {
        let line = self.lines.get(self.at).map(|line| line.trim().to_owned());
        self.at += 1;
        line.unwrap_or_default()
    }

    /// Reads the lines of a block text without their common indentation.
    fn lines_of_text(&mut self, indent: usize) -> Vec<String> {
        let width = |line: &str| line.len() - line.trim_start().len();
        let is_inside = |line: &&String| line.is_empty() || width(line) > indent;
        let rest = self.lines.get(self.at..).unwrap_or_default();
        let lines: Vec<String> = rest.iter().take_while(is_inside).cloned().collect();
        self.at += lines.len();
        let common = lines.iter().find(|line| !line.is_empty()).map_or(0, |line| width(line));
        let cut = |line: &String| line.get(common.min(width(line))..).unwrap_or_default().to_owned();
        lines.iter().map(cut).collect()
    }
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// Splits a line into a key and the rest.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let (key, rest) = match text.chars().next()? {
        quote @ ('"' | '\'') => {
            let end = closing(text, quote)?;
            (text.get(1..end)?, text.get(end + 1..)?)
        }
        _ => {
            let end = text.find(": ").or_else(|| text.strip_suffix(':').map(str::len))?;
            text.split_at_checked(end)?
        }
    };
    let is_plain = !key.contains(['{', '[', '"', '#']);
    let rest = rest.trim_start().strip_prefix(':')?;
    is_plain.then_some((key.trim_end(), rest))
}

/// Returns the place of the quote that ends a quoted text.
fn closing(text: &str, quote: char) -> Option<usize> {
    let inside = text.char_indices().skip(1);
    let mut is_escaped = false;
    for (at, letter) in inside {
        if letter == quote && !is_escaped {
            return Some(at);
        }
        is_escaped = letter == '\\' && quote == '"' && !is_escaped;
    }
    None
}

fn uncommented(text: &str) -> &str {
    text.split_once(" #").map_or(text, |(text, _)| text).trim_end()
}

/// Joins lines by spaces, and paragraphs by line ends.
fn folded(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        if line.is_empty() {
            text.push('\n');
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(' ');
        }
        text.push_str(line.trim_start());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(workflow: &str) -> Vec<(String, String)> {
        let value = read(workflow);
        let texts = value.texts().into_iter();
        texts.map(|(place, text)| (place, text.to_owned())).collect()
    }

    fn is(workflow: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(place, text)| ((*place).to_owned(), (*text).to_owned()))
            .collect();
        assert_eq!(texts(workflow), expected, "{workflow}");
    }

    #[test]
    fn mappings_and_lists_are_read_by_their_indentation() {
        is(
            "a:\n  b: 1\n  c:\n    d: 2\ne: 3\n",
            &[("a.b", "1"), ("a.c.d", "2"), ("e", "3")],
        );
        is(
            "a:\n  - b: 1\n    c: 2\n  -\n    b: 3\n  - x\nd:\n- y\n-   z\ne: 4\n",
            &[
                ("a[1].b", "1"),
                ("a[1].c", "2"),
                ("a[2].b", "3"),
                ("a[3]", "x"),
                ("d[1]", "y"),
                ("d[2]", "z"),
                ("e", "4"),
            ],
        );
        is("a:\nb:\n  - \n  - c\n", &[("a", ""), ("b[1]", ""), ("b[2]", "c")]);
    }

    #[test]
    fn each_style_of_a_text_gives_its_content() {
        is("a: one two # three\n", &[("a", "one two")]);
        is(
            "a: one\n  two\n\n  # three\n  four\nb: 5\n",
            &[("a", "one two four"), ("b", "5")],
        );
        is("a: \"one: # 'two'\" # three\n", &[("a", "one: # 'two'")]);
        is("a: \"one \\\" two\" # three\n", &[("a", "one \\\" two")]);
        is("a: 'one\n  two'\nb: 3\n", &[("a", "one two"), ("b", "3")]);
        is(
            "a: |\n  one\n    two # kept\n\n  three\nb: 4\n",
            &[("a", "one\n  two # kept\n\nthree"), ("b", "4")],
        );
        is(
            "a: >-\n  one\n    two\n\n  three\nb: 4\n",
            &[("a", "one two\nthree"), ("b", "4")],
        );
        is("a:\n  one\n  two\nb: 3\n", &[("a", "one two"), ("b", "3")]);
        is("\"a\": 1\n'b': 2\nc : 3\n", &[("a", "1"), ("b", "2"), ("c", "3")]);
    }

    #[test]
    fn what_is_not_understood_stays_a_text() {
        is("a: {b: 1}\nc: *d\n", &[("a", "{b: 1}"), ("c", "*d")]);
        is("a: {b: 1,\n  c: 2}\n", &[("a", "{b: 1, c: 2}")]);
        is("- {a: b}\n- c: d\n", &[("[1]", "{a: b}"), ("[2].c", "d")]);
        is("", &[("", "")]);
        assert_eq!(read("a: [b]\n").get("a"), Some(&Value::Text("[b]".to_owned())));
        assert_eq!(read("- a\n").get("a"), None);
    }

    #[test]
    fn comments_and_line_ends_do_not_matter() {
        is("# x\r\na: # y\r\n# z\r\n  b: 1\r\n\r\n", &[("a.b", "1")]);
    }
}
