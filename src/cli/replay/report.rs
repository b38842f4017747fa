//! The report of `replay`: one block per scenario, one line per delivery, and a summary.

use super::expect::Difference;
use super::play::{Delivered, Played};
use crate::domain::reason;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// A scenario that was not played, with the reason.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Skipped {
    pub(super) fixture: String,
    pub(super) reason: String,
}

/// The results of all scenarios.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) played: Vec<Played>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) took: Duration,
}

/// The use of terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(pub(super) bool);

impl Colour {
    fn paint(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }
}

impl Report {
    /// Returns true if every expectation was met.
    pub(super) fn passed(&self) -> bool {
        self.played.iter().all(Played::passed)
    }

    /// Returns the report as JSON.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "scenarios": self.played.iter().map(|played| json!({
                "fixture": played.fixture,
                "title": played.title,
                "passed": played.passed(),
                "deliveries": played.deliveries,
                "end": played.end,
                "differences": played.differences,
            })).collect::<Vec<_>>(),
            "skipped": self.skipped,
            "summary": {
                "scenarios": self.played.len(),
                "deliveries": self.deliveries(),
                "differing": self.differing().len(),
                "minted": self.minted(),
                "ran": self.ran(),
                "left": self.left(),
                "passed": self.passed(),
            },
        })
    }

    /// Returns the report as text.
    pub(super) fn to_text(&self, colour: Colour) -> String {
        let mut text = String::new();
        for played in &self.played {
            scenario(&mut text, played, colour);
        }
        for skipped in &self.skipped {
            line(
                &mut text,
                &format!("- {}  {}", skipped.fixture, colour.dim(&skipped.reason)),
            );
        }
        if !self.skipped.is_empty() {
            text.push('\n');
        }
        self.summary(&mut text, colour);
        text
    }

    fn summary(&self, text: &mut String, colour: Colour) {
        let differing = self.differing();
        let verdict = if differing.is_empty() {
            colour.good("all as expected")
        } else {
            colour.bad(&format!("{} not as expected", differing.len()))
        };
        let skipped = match self.skipped.len() {
            0 => String::new(),
            n => format!(", {n} skipped"),
        };
        line(
            text,
            &format!(
                "{} scenarios, {} deliveries: {verdict}{skipped}. {} runners made, {} jobs ran on them, {} left over. {:.1} s.",
                self.played.len(),
                self.deliveries(),
                self.minted(),
                self.ran(),
                self.left(),
                self.took.as_secs_f64()
            ),
        );
        for played in differing {
            line(text, &format!("  {} {}", colour.bad("✗"), played.fixture));
        }
    }

    fn differing(&self) -> Vec<&Played> {
        self.played.iter().filter(|played| !played.passed()).collect()
    }

    fn deliveries(&self) -> usize {
        self.played.iter().map(|played| played.deliveries.len()).sum()
    }

    fn minted(&self) -> u64 {
        self.played.iter().map(|played| played.end.minted).sum()
    }

    fn ran(&self) -> u64 {
        self.played.iter().map(|played| played.end.ran).sum()
    }

    fn left(&self) -> u64 {
        self.played.iter().map(|played| played.end.left).sum()
    }
}

fn scenario(text: &mut String, played: &Played, colour: Colour) {
    let mark = if played.passed() {
        colour.good("✓")
    } else {
        colour.bad("✗")
    };
    line(
        text,
        &format!(
            "{mark} {}  {}",
            colour.strong(&played.title),
            colour.dim(&played.fixture)
        ),
    );
    for delivered in &played.deliveries {
        delivery(text, delivered, colour);
    }
    differences(text, &played.differences, colour);
    text.push('\n');
}

fn delivery(text: &mut String, delivered: &Delivered, colour: Colour) {
    let Some(decision) = &delivered.decision else {
        line(text, &format!("    {:<12} {}", delivered.event, delivered.status));
        differences(text, &delivered.differences, colour);
        return;
    };
    let actions: Vec<String> = decision.actions.iter().map(ToString::to_string).collect();
    let arrow = if actions.is_empty() { "" } else { "→ " };
    let row = format!(
        "    {:<12} {}  {:<10} {:<11} {:<14} {:<6} {arrow}{}",
        decision.action.as_str(),
        delivered.status,
        decision.labels_class.as_str(),
        decision.trust.verdict.as_str(),
        decision.routing.verdict.as_str(),
        decision.admission.verdict.as_str(),
        actions.join(", ")
    );
    line(text, row.trim_end());
    let reasons = reason::join(decision.reasons());
    if !reasons.is_empty() {
        line(text, &colour.dim(&format!("                      because {reasons}")));
    }
    if !decision.would.is_empty() {
        let would: Vec<String> = decision.would.iter().map(ToString::to_string).collect();
        line(
            text,
            &colour.dim(&format!(
                "                      would, in enforce: {}",
                would.join(", ")
            )),
        );
    }
    differences(text, &delivered.differences, colour);
}

fn differences(text: &mut String, differences: &[Difference], colour: Colour) {
    for Difference { key, expected, found } in differences {
        line(
            text,
            &colour.bad(&format!("    ✗ {key}: expected {expected}, found {found}")),
        );
    }
}

fn line(text: &mut String, line: &str) {
    // A write to a String cannot fail.
    writeln!(text, "{line}").unwrap_or_default();
}
