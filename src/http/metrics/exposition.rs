//! The text format that Prometheus reads by default (0.0.4), converted from OpenMetrics.

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;
use std::fmt;

/// The `Content-Type` of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes registries one after the other.
pub(super) fn text(registries: &[&Registry]) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for registry in registries {
        encode_registry(&mut text, registry)?;
    }
    Ok(with_classic_headings(&text))
}

/// Renames the headings of counters. OpenMetrics heads the samples `x_total` with `x`, the older format with `x_total`.
fn with_classic_headings(text: &str) -> String {
    let mut classic = String::with_capacity(text.len() + 256);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help))
                if lines
                    .peek()
                    .is_some_and(|next| *next == format!("# TYPE {name} counter")) =>
            {
                classic.push_str(&format!("# HELP {name}_total {help}\n# TYPE {name}_total counter\n"));
                lines.next();
            }
            _ => {
                classic.push_str(line);
                classic.push('\n');
            }
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_headed_by_the_name_of_its_samples() {
        let open = "# HELP a Of a.\n# TYPE a counter\na_total 1\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        let classic = "# HELP a_total Of a.\n# TYPE a_total counter\na_total 1\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(with_classic_headings(open), classic);
    }
}
