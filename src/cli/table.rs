//! Aligned tables. A row is one line of bounded width, whatever its cells contain.

use crate::telemetry::one_line;
use chrono::{DateTime, SecondsFormat, Utc};
use std::io::{self, Write};

/// Maximum width of a cell, in characters.
const MAX_WIDTH: usize = 80;
const GAP: usize = 2;

/// Writes a heading and the rows.
pub(super) fn print<const N: usize>(
    out: &mut dyn Write,
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let heading = heading.map(str::to_owned);
    let rows: Vec<[String; N]> = std::iter::once(heading).chain(rows).map(|row| row.map(cell)).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + GAP));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cell(text: String) -> String {
    let text = one_line(&text);
    match text.char_indices().nth(MAX_WIDTH) {
        Some(_) => text.chars().take(MAX_WIDTH - 1).chain(['…']).collect(),
        None => text.into_owned(),
    }
}

/// Returns a time in UTC with a resolution of one second.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Returns a time in UTC with a resolution of one millisecond.
pub(super) fn exact_time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the value as text, or a dash.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_cell_breaks_out() {
        let mut out = Vec::new();
        let long = "x".repeat(500);
        let rows = [["é\n2", "b"], ["a", ""], [long.as_str(), "c"]].map(|row| row.map(str::to_owned));
        print(&mut out, ["FIRST", "SECOND"], rows).expect("written");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[1].starts_with("é\\n2 ") && lines[1].ends_with(" b"), "{text}");
        assert_eq!(lines[2], "a");
        assert_eq!(lines[3].chars().count(), MAX_WIDTH + GAP + 1);
        let second = lines[0].find("SECOND");
        assert_eq!(second, Some(MAX_WIDTH + GAP));
    }
}
