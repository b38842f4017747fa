//! The house rules the compiler doesn't know, read off the source text: which layer may import which, how long a file
//! may be, what it may be called. `docs/ARCHITECTURE.md` says why.
//!
//! Every rule has a test that plants a violation and sees it reported. It is a textual check: a path that a macro puts
//! together escapes it.
#![cfg(test)]

#[path = "architecture/cycles.rs"]
mod cycles;
#[path = "architecture/dependencies.rs"]
mod dependencies;
#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/planted.rs"]
mod planted;
#[path = "architecture/source.rs"]
mod source;

use source::Source;
use std::path::Path;

/// The permitted imports of each layer. Every file and folder in `src` is a layer.
const LAYERS: &[(&str, &str)] = &[
    ("lib", ""),
    ("main", "cli"),
    ("domain", ""),
    ("ports", "domain"),
    ("config", "domain"),
    ("app", "domain ports"),
    ("adapters", "domain ports config"),
    ("simulator", "domain ports"),
    ("http", "domain ports app"),
    ("telemetry", "domain ports config app adapters simulator http"),
    ("runtime", "domain ports config app adapters simulator http telemetry"),
    (
        "cli",
        "domain ports config app adapters simulator http telemetry runtime",
    ),
];

/// Returns true if a file breaks the rule.
type Check = fn(&Source) -> bool;

/// Further rules, each with the sentence that reports a violation.
const RULES: &[(&str, Check)] = &[
    ("does not begin with a //! header that says its purpose", lacks_a_header),
    ("has more than 400 lines before its tests", |file| {
        file.production_lines() > 400
    }),
    ("has more than 20 lines", |file| {
        file.path == "src/main.rs" && file.text.lines().count() > 20
    }),
    (
        "has a name that fits anything; name it by its subject",
        has_an_empty_name,
    ),
    ("hides what it imports behind super::super", |file| {
        file.code.contains("super::super")
    }),
    ("holds more than modules and re-exports", is_a_module_file_with_logic),
    ("has global state; pass a value, or use a const", has_global_state),
    ("exempts itself from a ban of clippy.toml", exempts_itself),
    ("has a test module without a test", tests_nothing),
    ("sleeps in a test; move the clock or wait for the event", |file| {
        file.tests().contains("sleep(")
    }),
    ("ignores a test", |file| file.tests().contains("#[ignore")),
];

const NAMES_THAT_FIT_ANYTHING: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// The only places for methods that `clippy.toml` bans.
const EXEMPT: &[&str] = &[
    "src/adapters/clock",
    "src/adapters/tools.rs",
    "src/config/",
    "src/cli/",
    "tests/",
];

fn lacks_a_header(file: &Source) -> bool {
    let first = file.text.lines().next().and_then(|line| line.strip_prefix("//! "));
    first.is_none_or(|purpose| purpose.len() < 10)
}

fn has_an_empty_name(file: &Source) -> bool {
    file.path
        .split(['/', '.'])
        .any(|name| NAMES_THAT_FIT_ANYTHING.contains(&name))
}

fn is_a_module_file_with_logic(file: &Source) -> bool {
    let is_plain = |item: &str| {
        // Returns the line without attributes and visibility.
        let item = item.rsplit(']').next().unwrap_or_default().trim();
        let item = item.strip_prefix("pub").map_or(item, |rest| {
            rest.split_once(')').map_or(rest, |(_, rest)| rest).trim_start()
        });
        item.is_empty() || item.starts_with("use ") || item.starts_with("mod ") && !item.contains('{')
    };
    file.names_modules() && file.is_production() && !file.code.split(';').all(is_plain)
}

fn has_global_state(file: &Source) -> bool {
    let is_static = |line: &str| line.trim_start().trim_start_matches("pub ").starts_with("static ");
    file.is_production() && (file.code.lines().any(is_static) || file.code.contains("thread_local!"))
}

fn exempts_itself(file: &Source) -> bool {
    file.code.contains("disallowed_methods") && !EXEMPT.iter().any(|place| file.path.starts_with(place))
}

fn tests_nothing(file: &Source) -> bool {
    let is_part_of_another = file.path.starts_with("tests/") && file.path.matches('/').count() > 1;
    let marks = ["#[test]", "::test]", "::test("];
    !file.tests().is_empty() && !is_part_of_another && !marks.iter().any(|mark| file.tests().contains(mark))
}

/// Returns every import that the layer table does not permit.
fn wrong_imports(file: &Source) -> Vec<String> {
    let module = file.module();
    let Some(layer) = module.first() else {
        return Vec::new();
    };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| name == layer) else {
        return vec![format!("{layer} is not in the layer table")];
    };
    let wrong = |path: Vec<&str>| match path.as_slice() {
        ["adapters", other, ..] if *layer == "adapters" && module.get(1).is_some_and(|own| own != other) => {
            Some(format!("imports another adapter, {other}"))
        }
        ["adapters", "hosts", other, ..]
            if matches!(module.as_slice(), ["adapters", "hosts", own, ..] if own != other) && *other != "slots" =>
        {
            Some(format!("imports another host, {other}"))
        }
        [target, ..] if target != layer && !allowed.split(' ').any(|name| name == *target) => {
            let allowed = if allowed.is_empty() { "nothing of ours" } else { allowed };
            Some(format!("{layer} imports {target}; it may import {allowed}"))
        }
        _ => None,
    };
    file.imports().into_iter().filter_map(wrong).collect()
}

/// Returns the public types, traits and functions without a doc comment. Fields and variants may do without.
fn undocumented(file: &Source) -> Vec<String> {
    if !file.is_production() {
        return Vec::new();
    }
    let items = file.public_items().into_iter();
    items
        .filter(|item| !item.is_documented)
        .map(|item| format!("has no doc comment for {}", item.name))
        .collect()
}

/// Returns the violations in the tree at `root`, as `path: reason`.
fn violations(root: &Path) -> Vec<String> {
    let in_file = |file: &Source| {
        let broken = RULES
            .iter()
            .filter(|(_, is_broken)| is_broken(file))
            .map(|(reason, _)| (*reason).to_owned());
        let reasons = wrong_imports(file).into_iter().chain(undocumented(file)).chain(broken);
        reasons
            .map(|reason| format!("{}: {reason}", file.path))
            .collect::<Vec<_>>()
    };
    let sources = source::below(root);
    let of_files = sources.iter().flat_map(in_file);
    of_files.chain(cycles::cycles(&sources)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_tree_follows_the_rules() {
    let found = violations(root());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
