//! Reads Rust source as far as the rules need it: what is code, where the tests begin, which paths it names.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments, strings and character literals blanked.
    pub(crate) code: String,
    /// The offset of the tests in `code`.
    tests_at: usize,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let code = code_of(&text);
        let is_all_tests = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
        let tests_at = if is_all_tests { 0 } else { test_module(&code) };
        Self {
            path,
            text,
            code,
            tests_at,
        }
    }

    /// The tests in it, if there are any.
    pub(crate) fn tests(&self) -> &str {
        &self.code[self.tests_at..]
    }

    pub(crate) fn production_lines(&self) -> usize {
        self.code[..self.tests_at].lines().count()
    }

    pub(crate) fn is_production(&self) -> bool {
        self.path.starts_with("src/")
    }

    /// Its place in the crate: `src/domain/job.rs` is `domain`, `job`; `mod.rs` adds no name, files elsewhere have none.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inside = self.path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs"));
        let names = inside.into_iter().flat_map(|path| path.split('/'));
        names.filter(|name| *name != "mod").collect()
    }

    /// Returns true if it only contains modules and re-exports.
    pub(crate) fn names_modules(&self) -> bool {
        self.path.ends_with("/mod.rs") || self.path == "src/lib.rs"
    }

    /// Its public types, traits and functions, and the functions of its public traits.
    pub(crate) fn public_items(&self) -> Vec<Item<'_>> {
        let code = self.code[..self.tests_at].lines();
        let mut items = Vec::new();
        // A doc comment counts until the item that it precedes; attributes may stand between them.
        let (mut is_documented, mut in_attribute, mut in_trait) = (false, false, false);
        for (code, text) in code.zip(self.text.lines()) {
            let line = code.trim();
            if text.trim_start().starts_with("///") {
                is_documented = true;
            } else if in_attribute || line.starts_with("#[") {
                in_attribute = !line.ends_with(']');
            } else if !line.is_empty() {
                let is_inside_trait = in_trait && code.starts_with("    ") && !code.starts_with("     ");
                if let Some(name) = item_name(line, is_inside_trait) {
                    items.push(Item { name, is_documented });
                }
                in_trait = line.starts_with("pub trait ") || in_trait && code != "}";
                is_documented = false;
            }
        }
        items
    }

    /// Every path into this crate that it names, from the root of the crate.
    pub(crate) fn imports(&self) -> Vec<Vec<&str>> {
        self.placed_imports().into_iter().map(|(_, path)| path).collect()
    }

    /// The same without those of its tests.
    pub(crate) fn production_imports(&self) -> Vec<Vec<&str>> {
        let imports = self.placed_imports().into_iter();
        imports
            .filter(|(at, _)| *at < self.tests_at)
            .map(|(_, path)| path)
            .collect()
    }

    /// Every path outside of its tests that begins with `root`.
    pub(crate) fn production_paths(&self, root: &str) -> Vec<Vec<&str>> {
        let found = paths(&self.code[..self.tests_at], root).into_iter();
        found.map(|(_, path)| path).collect()
    }

    fn placed_imports(&self) -> Vec<(usize, Vec<&str>)> {
        let own = self.module();
        let parent = &own[..own.len().saturating_sub(1)];
        // Inside an inline test module `super` is the file itself.
        let inline_tests = if self.tests_at > 0 { self.tests_at } else { usize::MAX };
        let roots = ["crate", "jitgate", "super", "self"].into_iter();
        let from_the_root = roots.flat_map(|root| paths(&self.code, root)).map(|(at, path)| {
            let start = match path.first() {
                Some(&"super") if at >= inline_tests => &own,
                Some(&"super") => parent,
                Some(&"self") => &own,
                _ => &[],
            };
            (at, start.iter().chain(path.iter().skip(1)).copied().collect())
        });
        from_the_root.collect()
    }
}

/// A public item.
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_documented: bool,
}

/// The name of the public type, trait or function that begins on this line; inside a public trait, of any function.
fn item_name(line: &str, is_inside_trait: bool) -> Option<&str> {
    let mut words = line.split_whitespace().peekable();
    let is_public = words.next_if_eq(&"pub").is_some();
    if !is_public && !is_inside_trait {
        return None;
    }
    while words
        .next_if(|word| ["async", "const", "unsafe"].contains(word))
        .is_some()
    {}
    let kinds: &[&str] = if is_public {
        &["struct", "enum", "union", "trait", "type", "fn"]
    } else {
        &["fn"]
    };
    words.next_if(|word| kinds.contains(word))?;
    // A macro's `$name` has its doc comment from the caller.
    words
        .next()?
        .split(|c| !is_word(c))
        .next()
        .filter(|name| !name.is_empty())
}

/// Every source file of ours below `root`.
pub(crate) fn below(root: &Path) -> Vec<Source> {
    let mut folders: Vec<PathBuf> = vec![root.join("src"), root.join("tests")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(root).expect("below the root").display().to_string();
            if path.is_dir() && inside != "tests/node" {
                folders.push(path);
            } else if inside.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                sources.push(Source::new(inside, text));
            }
        }
    }
    assert!(!sources.is_empty(), "no sources in {}", root.display());
    sources
}

/// Every path that begins with `root`, with the place where it begins, groups taken apart: `use crate::{a, b::{c, d}}` is
/// `crate::a`, `crate::b::c` and `crate::b::d`.
fn paths<'a>(code: &'a str, root: &str) -> Vec<(usize, Vec<&'a str>)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let begins = !code[..at].ends_with(|c: char| is_word(c) || c == ':');
        if begins && code[at + root.len()..].starts_with("::") {
            let mut tree = Vec::new();
            read_tree(&code[at..], &[], &mut tree);
            found.extend(tree.into_iter().map(|(path, _)| (at, path)));
        }
    }
    found
}

/// Every path of every `use`, with the name that it has from then on.
pub(crate) fn use_trees(code: &str) -> Vec<(Vec<&str>, &str)> {
    let mut found = Vec::new();
    for (at, item) in code.match_indices("use ") {
        if !code[..at].ends_with(is_word) {
            read_tree(&code[at + item.len()..], &[], &mut found);
        }
    }
    found
}

/// Reads one use tree, or one plain path, and returns the text behind it.
fn read_tree<'a>(text: &'a str, before: &[&'a str], found: &mut Vec<(Vec<&'a str>, &'a str)>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        while !rest.trim_start().starts_with('}') && !rest.is_empty() {
            rest = read_tree(rest, before, found);
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            rest = rest[end..].trim_start_matches(',');
        }
        return rest.trim_start().strip_prefix('}').unwrap_or(rest);
    }
    let (segment, rest) = first_word(text);
    // `b::{self}` is `b`.
    let own = Some(segment).filter(|segment| *segment != "self" || before.is_empty());
    let path: Vec<&str> = before.iter().copied().chain(own).collect();
    match rest.strip_prefix("::") {
        Some(inner) if inner.trim_start().starts_with(|c| is_word(c) || c == '{' || c == '*') => {
            read_tree(inner, &path, found)
        }
        _ => {
            let renamed = rest.trim_start().strip_prefix("as ").map(|name| first_word(name).0);
            let name = renamed.or(path.last().copied()).unwrap_or_default();
            found.push((path, name));
            rest
        }
    }
}

fn first_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_word(c) && c != '*').unwrap_or(text.len()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the offset of the first inline `#[cfg(test)] mod`, or the end of the text.
fn test_module(code: &str) -> usize {
    let mark = "#[cfg(test)]";
    let is_inline = |at: &usize| {
        let lines = code[at + mark.len()..].lines().map(str::trim);
        let mut items = lines.filter(|line| !line.is_empty() && !line.starts_with("#["));
        items
            .next()
            .is_some_and(|item| item.starts_with("mod ") && item.ends_with('{'))
    };
    let found = code.match_indices(mark).map(|(at, _)| at).find(is_inline);
    found.unwrap_or(code.len())
}

/// The text with comments and literals blanked, line for line.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['/', '"', '\'', 'r']) {
        let (before, candidate) = rest.split_at(at);
        code.push_str(before);
        let (silenced, behind) = candidate.split_at(silent(candidate));
        code.extend(silenced.chars().map(|c| if c == '\n' { c } else { ' ' }));
        // Code is copied by single characters.
        let (shown, behind) = behind.split_at(usize::from(silenced.is_empty()));
        code.push_str(shown);
        rest = behind;
    }
    code + rest
}

/// Length of the comment or literal that the text begins with; 0 if it begins with code.
fn silent(text: &str) -> usize {
    let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
        }
    }
    let quoted = |quote: char| {
        let mut escaped = false;
        let end = text.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        end.map_or(text.len(), |(at, _)| at + 1)
    };
    match text.chars().next() {
        Some('"') => quoted('"'),
        // Anything else behind a quote is a lifetime.
        Some('\'') if text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'') => quoted('\''),
        _ => 0,
    }
}

/// Length of a block comment, those inside it included.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    at
}
