//! The deployed `route` job of a workflow against the shipped one: each text of the job, and the permissions that apply to it.
//!
//! The layout, comments and the order of keys are irrelevant, and so is white space inside of expressions.

use super::workflow_text::{Value, read};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The workflow that jitgate ships.
const SHIPPED: &str = include_str!("../../deploy/workflow/ci.yml");
/// The variable in it.
const SHIPPED_VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";
/// The associations in it.
const SHIPPED_ASSOCIATIONS: &str = r#"["OWNER","MEMBER","COLLABORATOR"]"#;
/// The labels in it, and the prefix of the run label.
const SHIPPED_LABELS: &str = r#"["self-hosted","linux","x64","chem-trusted-pr","chem-run-"#;
/// The place of the trust rule.
pub const TRUSTED: &str = "env.TRUSTED";
/// Maximum length of a part of a text in a difference, in characters.
const MAX_PART_CHARS: usize = 120;

/// The values of the configuration that the job contains.
#[derive(Debug, Clone, Copy)]
pub struct Configured<'a> {
    pub variable: &'a str,
    pub associations: &'a [String],
    pub labels: &'a [String],
    pub run_label_prefix: &'a str,
}

/// The comparison of a deployed workflow with the shipped one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    Same,
    Different(Vec<Difference>),
    /// The workflow has no job `route`.
    Missing,
}

/// A place of the job that differs, for example `steps[1].run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub place: String,
    change: Change,
}

/// The texts that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Changed { found: String, expected: String },
    Additional(String),
    Missing(String),
}

/// Compares the `route` job of a workflow with the shipped one, for the configured values.
#[must_use]
pub fn compare(workflow: &str, configured: Configured<'_>) -> Compared {
    let Some(found) = route(&read(workflow)) else {
        return Compared::Missing;
    };
    let expected = route(&read(&adapted(configured))).unwrap_or_default();
    let places: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let differing = places.into_iter().filter_map(|place| {
        let change = match (found.get(place).cloned(), expected.get(place).cloned()) {
            (Some(found), Some(expected)) if found != expected => Change::Changed { found, expected },
            (Some(found), None) => Change::Additional(found),
            (None, Some(expected)) => Change::Missing(expected),
            _ => return None,
        };
        Some(Difference {
            place: place.clone(),
            change,
        })
    });
    let differences: Vec<Difference> = differing.collect();
    if differences.is_empty() {
        Compared::Same
    } else {
        Compared::Different(differences)
    }
}

/// Returns the shipped workflow with the configured values.
fn adapted(configured: Configured<'_>) -> String {
    let quoted = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        words.join(",")
    };
    let labels = format!("[{},\"{}", quoted(configured.labels), configured.run_label_prefix);
    SHIPPED
        .replace(SHIPPED_LABELS, &labels)
        .replace(SHIPPED_ASSOCIATIONS, &format!("[{}]", quoted(configured.associations)))
        .replace(SHIPPED_VARIABLE, configured.variable)
}

/// Returns the normal texts of the job `route` by place.
fn route(workflow: &Value) -> Option<BTreeMap<String, String>> {
    let job = workflow.get("jobs")?.get("route")?;
    let mut texts: BTreeMap<String, String> = job
        .texts()
        .into_iter()
        .map(|(place, text)| {
            // A condition is an expression with or without its braces.
            let is_bare = (place == "if" || place.ends_with(".if")) && !text.contains("${{");
            let text = if is_bare {
                format!("${{{{{text}}}}}")
            } else {
                text.to_owned()
            };
            (place, normal(&text))
        })
        .collect();
    if job.get("permissions").is_none() {
        // A job without permissions has those of its workflow.
        let inherited = workflow.get("permissions").map(Value::texts).unwrap_or_default();
        for (place, text) in inherited {
            let dot = if place.is_empty() { "" } else { "." };
            texts.insert(format!("permissions{dot}{place}"), normal(text));
        }
    }
    Some(texts)
}

/// Returns a text whose expressions have a normal layout.
fn normal(text: &str) -> String {
    let mut written = String::new();
    let mut rest = text.trim();
    while let Some((before, (expression, after))) = rest
        .split_once("${{")
        .and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        written.push_str(before);
        written.push_str("${{ ");
        written.push_str(&spaced(&tokens(expression)));
        written.push_str(" }}");
        rest = after;
    }
    written + rest
}

/// Splits an expression into strings, words and operators.
fn tokens(expression: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut is_in_string = false;
    let mut is_new = true;
    for letter in expression.chars() {
        if is_in_string || letter == '\'' {
            if !is_in_string {
                tokens.push(String::new());
            }
            is_in_string = !is_in_string || letter != '\'';
            is_new = !is_in_string;
        } else if letter.is_whitespace() {
            is_new = true;
            continue;
        } else {
            let last = tokens.last().and_then(|token| token.chars().last());
            let is_continued =
                !is_new && last.is_some_and(|last| is_of_word(last) == is_of_word(letter)) && !is_first(letter);
            if !is_continued {
                tokens.push(String::new());
            }
            is_new = false;
        }
        if let Some(token) = tokens.last_mut() {
            token.push(letter);
        }
    }
    tokens
}

/// Returns true for the letters of a word.
fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '*')
}

/// Returns true for a letter that begins a token.
fn is_first(letter: char) -> bool {
    matches!(letter, '(' | ')' | '[' | ']' | ',' | '!')
}

/// Writes tokens as a person would.
fn spaced(tokens: &[String]) -> String {
    let mut written = String::new();
    for token in tokens {
        let last = written.chars().last();
        let is_call = matches!(token.as_str(), "(" | "[") && last.is_some_and(is_of_word);
        let is_tight =
            is_call || matches!(token.as_str(), ")" | "]" | ",") || matches!(last, None | Some('(' | '[' | '!'));
        if !is_tight {
            written.push(' ');
        }
        written.push_str(token);
    }
    written
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = part(&self.place);
        match &self.change {
            Change::Additional(found) => write!(f, "{place} is additional: `{}`", part(found)),
            Change::Missing(expected) => write!(f, "{place} is missing: `{}`", part(expected)),
            Change::Changed { found, expected } => match unlike(found, expected) {
                (found, expected) if expected.is_empty() => write!(f, "{place} has the additional `{}`", part(&found)),
                (found, expected) if found.is_empty() => write!(f, "{place} lacks `{}`", part(&expected)),
                (found, expected) => write!(f, "{place} has `{}` instead of `{}`", part(&found), part(&expected)),
            },
        }
    }
}

/// Returns a text on one line, without its middle if it is long.
fn part(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = text.chars().filter(|letter| !letter.is_control());
    let length = plain.clone().count();
    if length <= MAX_PART_CHARS {
        return plain.collect();
    }
    let half = MAX_PART_CHARS / 2;
    let (start, end): (String, String) = (plain.clone().take(half).collect(), plain.skip(length - half).collect());
    format!("{start}…{end}")
}

/// Returns the words of two texts between their common beginning and their common end.
fn unlike(found: &str, expected: &str) -> (String, String) {
    let (found, expected): (Vec<&str>, Vec<&str>) = (
        found.split_whitespace().collect(),
        expected.split_whitespace().collect(),
    );
    let alike = |(a, b): &(&&str, &&str)| a == b;
    let before = found.iter().zip(&expected).take_while(alike).count();
    let (found, expected) = (
        found.get(before..).unwrap_or_default(),
        expected.get(before..).unwrap_or_default(),
    );
    let after = found.iter().rev().zip(expected.iter().rev()).take_while(alike).count();
    let middle = |words: &[&str]| words.get(..words.len() - after).unwrap_or_default().join(" ");
    (middle(found), middle(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
        words.map(str::to_owned).to_vec()
    }

    fn compared_for(
        workflow: &str,
        variable: &str,
        associations: &[String],
        labels: &[String],
        prefix: &str,
    ) -> Compared {
        let configured = Configured {
            variable,
            associations,
            labels,
            run_label_prefix: prefix,
        };
        compare(workflow, configured)
    }

    fn compared(workflow: &str) -> Compared {
        let associations = words(["OWNER", "MEMBER", "COLLABORATOR"]);
        let labels = words(["self-hosted", "linux", "x64", "chem-trusted-pr"]);
        compared_for(workflow, SHIPPED_VARIABLE, &associations, &labels, "chem-run-")
    }

    /// The shipped workflow with one change.
    fn changed(from: &str, to: &str) -> String {
        assert!(SHIPPED.contains(from), "{from}");
        SHIPPED.replacen(from, to, 1)
    }

    /// The differences of the shipped workflow with one change.
    fn differences(from: &str, to: &str) -> Vec<String> {
        match compared(&changed(from, to)) {
            Compared::Different(differences) => differences.iter().map(ToString::to_string).collect(),
            other => panic!("{from}: {other:?}"),
        }
    }

    #[test]
    fn the_layout_does_not_matter() {
        assert_eq!(compared(SHIPPED), Compared::Same);
        let route = "  route:\n    name: route\n    runs-on: ubuntu-latest\n    timeout-minutes: 5\n";
        for (from, to) in [
            // Other jobs are the repository's own.
            (
                "  changes:\n    name: changes",
                "  changes:\n    name: Changes\n    if: ${{ false }}",
            ),
            (
                route,
                "  \"route\": # ours\n    # still ours\n    timeout-minutes: '5'\n    runs-on: \"ubuntu-latest\"\n    name: route\n",
            ),
            (
                "&& github.event_name == 'pull_request'",
                "&&\n          github.event_name=='pull_request'",
            ),
            (
                "          && !endsWith(github.actor, '[bot]')",
                "          && ! endsWith( github.actor,'[bot]' )",
            ),
            (
                "        run: echo \"trusted",
                "        run: |\n          echo \"trusted",
            ),
            (
                "    runs-on: ubuntu-latest\n    timeout-minutes: 5\n    env:",
                "    runs-on: ubuntu-latest\n    timeout-minutes: 5\n    permissions: {}\n    env:",
            ),
        ] {
            assert_eq!(compared(&changed(from, to)), Compared::Same, "{to}");
        }
        assert_eq!(compared(&SHIPPED.replace('\n', "\r\n")), Compared::Same);
    }

    #[test]
    fn each_part_of_the_job_is_compared_and_its_difference_is_named() {
        let route = "    timeout-minutes: 5\n    env:\n";
        let step = "      - name: Show the result of the routing rule\n";
        for (from, to, expected) in [
            (
                "          && github.event.sender.type == 'User'\n",
                "",
                "env.TRUSTED lacks `github.event.sender.type == 'User' &&`",
            ),
            (
                "event_name == 'pull_request'",
                "event_name == 'pull_request_target'",
                "env.TRUSTED has `'pull_request_target'` instead of `'pull_request'`",
            ),
            (
                "ROUTING == 'true'",
                "ROUTING == ' true'",
                "env.TRUSTED has `' true'` instead of `'true'`",
            ),
            ("&& !endsWith(", "|| !endsWith(", "env.TRUSTED has `||` instead of `&&`"),
            (
                "\"COLLABORATOR\"]'), github",
                "\"COLLABORATOR\",\"NONE\"]'), github",
                "env.TRUSTED has `contains(fromJSON('[\"OWNER\",\"MEMBER\",\"COLLABORATOR\",\"NONE\"]'),` instead of \
                 `contains(fromJSON('[\"OWNER\",\"MEMBER\",\"COLLABORATOR\"]'),`",
            ),
            (
                "          env.TRUSTED == 'true'\n",
                "          env.TRUSTED != 'false'\n",
                "outputs.runs-on has `!= 'false'` instead of `== 'true'`",
            ),
            (
                "          || '[\"ubuntu-latest\"]'",
                "          || '[\"self-hosted\"]'",
                "outputs.runs-on has `'[\"self-hosted\"]'` instead of `'[\"ubuntu-latest\"]'`",
            ),
            (
                "    runs-on: ubuntu-latest\n    timeout-minutes: 5\n    env",
                "    runs-on: self-hosted\n    timeout-minutes: 5\n    env",
                "runs-on has `self-hosted` instead of `ubuntu-latest`",
            ),
            (
                route,
                "    timeout-minutes: 5\n    if: github.actor != 'octocat'\n    env:\n",
                "if is additional: `${{ github.actor != 'octocat' }}`",
            ),
            (
                route,
                "    timeout-minutes: 5\n    permissions:\n      contents: write\n    env:\n",
                "permissions.contents is additional: `write`",
            ),
            (
                "permissions: {}",
                "permissions: write-all",
                "permissions has `write-all` instead of `{}`",
            ),
            ("permissions: {}\n", "", "permissions is missing: `{}`"),
            (
                step,
                "      - uses: actions/checkout@main\n      - name: Show the result of the routing rule\n",
                "steps[1].name is missing: `Show the result of the routing rule`",
            ),
            (
                "run: echo \"trusted pull request, and",
                "run: curl https://evil.example; echo \"trusted pull request, and",
                "steps[1].run has the additional `curl https://evil.example;`",
            ),
            (
                "    name: route\n",
                "    name: Route\n",
                "name has `Route` instead of `route`",
            ),
        ] {
            let found = differences(from, to);
            assert!(found.contains(&expected.to_owned()), "{from}: {found:#?}");
            let is_single = from != step && !to.contains("permissions:\n");
            assert!(!is_single || found.len() == 1, "{from}: {found:#?}");
        }
    }

    #[test]
    fn a_condition_is_the_same_with_and_without_braces() {
        let with = |condition: &str| {
            let to = format!("    timeout-minutes: 5\n    if: {condition}\n    env:\n");
            differences("    timeout-minutes: 5\n    env:\n", &to)
        };
        assert_eq!(with("a==b"), with("${{ a == b }}"));
    }

    #[test]
    fn a_workflow_without_the_job_is_recognized() {
        for text in [
            "",
            "jobs: {}",
            "# jobs:\n#   route:\n",
            "jobs:\n  web:\n    env:\n      TRUSTED: ${{ true }}\n",
            "route:\n  name: route\n",
        ] {
            assert_eq!(compared(text), Compared::Missing, "{text}");
        }
    }

    #[test]
    fn the_configured_values_are_expected() {
        let (owner, labels) = (words(["OWNER"]), words(["self-hosted", "pool"]));
        let own = SHIPPED
            .replace(SHIPPED_VARIABLE, "POOL")
            .replace(SHIPPED_ASSOCIATIONS, r#"["OWNER"]"#)
            .replace(SHIPPED_LABELS, r#"["self-hosted","pool","run-"#);
        assert_eq!(compared_for(&own, "POOL", &owner, &labels, "run-"), Compared::Same);
        let all = words(["OWNER", "MEMBER"]);
        for (variable, associations, labels, prefix) in [
            ("OTHER", &owner, &labels, "run-"),
            ("POOL", &all, &labels, "run-"),
            ("POOL", &owner, &owner, "run-"),
            ("POOL", &owner, &labels, "x-"),
        ] {
            let compared = compared_for(&own, variable, associations, labels, prefix);
            let Compared::Different(differences) = compared else {
                panic!("{variable} {associations:?} {labels:?} {prefix}");
            };
            assert_eq!(differences.len(), 1, "{differences:?}");
        }
    }

    #[test]
    fn a_long_or_hidden_text_is_shortened() {
        let long = "x".repeat(500);
        let found = differences("    name: route\n", &format!("    name: \u{1b}[31m{long}\n"));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].chars().count() < 200 && !found[0].contains('\u{1b}'),
            "{found:?}"
        );
    }
}
