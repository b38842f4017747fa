//! Logs to stderr, as text or JSON, one event per line.
//!
//! Two rules hold for every event and for every value of `telemetry.log`:
//!
//! - **One event is one line.** Outsiders choose the names of branches, jobs and users. Every line passes through
//!   [`OneLine`], which writes hidden characters (line ends, terminal sequences and direction marks among them) as
//!   `\\u` and four digits. It sits below the formatter, so it covers every field type, span name and message. Colours
//!   are off for the same reason.
//! - **Dependencies log nothing below `info`.** At `debug` and `trace`, HTTP clients and servers print requests and
//!   headers, and so tokens. [`dependencies_at_most_info`] is a separate filter beside the operator's; an event must
//!   pass both. Records of the `log` crate, which some dependencies use instead, are not collected.

use crate::config::{LogFormat, Telemetry};
pub use crate::domain::text::one_line;
use std::io::{self, IsTerminal, Write};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

/// The log level of the process, which can be changed.
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// Applies a new filter from now on.
    pub fn set(&self, log: Targets) {
        // This fails only without the subscriber, and then nothing is logged.
        self.0.reload(log).unwrap_or_default();
    }
}

/// Installs logging to stderr for the rest of the process. A second call has no effect.
pub fn install(telemetry: &Telemetry) -> LogLevel {
    let json = match telemetry.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let (log, level) = reload::Layer::new(telemetry.log.clone());
    let subscriber = subscriber(log, json, io::stderr);
    tracing::dispatcher::set_global_default(subscriber).unwrap_or_default();
    LogLevel(level)
}

fn subscriber<L, W>(log: L, json: bool, writer: W) -> Dispatch
where
    L: Layer<Registry> + Send + Sync,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filters = tracing_subscriber::registry()
        .with(log)
        .with(dependencies_at_most_info());
    let layer = fmt::layer().with_ansi(false).with_writer(OneLine(writer));
    if json {
        Dispatch::new(filters.with(layer.json().flatten_event(true)))
    } else {
        Dispatch::new(filters.with(layer))
    }
}

fn dependencies_at_most_info() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE)
}

/// A maker of writers that write each event as one line.
struct OneLine<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(format!("{}\n", one_line(line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_log;
    use crate::domain::text::is_hidden;
    use std::sync::{Arc, Mutex};
    use tracing::{debug, error, info, info_span, trace};

    /// Returns the log of `work`.
    fn log_of(filter: &str, json: bool, work: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let dispatch = subscriber(parse_log(filter).expect("a filter"), json, Shared(written.clone()));
        tracing::dispatcher::with_default(&dispatch, work);
        let bytes = written.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[derive(Clone)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Shared {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// A hostile branch name: it ends the line, colours the screen, rings the bell and reorders text.
    const HOSTILE: &str = "main\r\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{7}\u{85}\u{2028}\u{202e}\u{9b}31m";

    fn log_hostile_text() {
        let span = info_span!("delivery", branch = %HOSTILE, name = HOSTILE, both = ?HOSTILE);
        let _entered = span.enter();
        info!(branch = %HOSTILE, name = HOSTILE, both = ?HOSTILE, "about {HOSTILE}");
        let failure = io::Error::other(HOSTILE);
        error!(error = &failure as &(dyn std::error::Error + 'static), "failed");
    }

    #[test]
    fn every_logged_event_is_one_line_of_text() {
        for json in [false, true] {
            let log = log_of("trace", json, log_hostile_text);
            assert_eq!(log.lines().count(), 2, "{log}");
            assert!(!log.contains(|c| is_hidden(c) && c != '\n'), "{log:?}");
        }
    }

    #[test]
    fn json_lines_keep_the_text() {
        let log = log_of("trace", true, || info!(branch = HOSTILE, "seen"));
        let event: serde_json::Value = serde_json::from_str(&log).expect("JSON");
        assert_eq!(event["branch"], HOSTILE);
        assert_eq!(event["message"], "seen");
    }

    #[test]
    fn dependencies_log_nothing_below_info_with_any_filter() {
        let log = log_of("trace,hyper=trace,octocrab::service=trace", false, || {
            trace!(target: "hyper::client", "authorization: secret");
            debug!(target: "octocrab::service", "authorization: secret");
            info!(target: "hyper::client", "listening");
            trace!("our own");
            trace!(target: "jitgate::app", "of a module");
        });
        assert!(!log.contains("secret"), "{log}");
        for text in ["listening", "our own", "of a module"] {
            assert!(log.contains(text), "{text} is not in {log}");
        }
    }

    #[test]
    fn the_filter_applies_to_modules() {
        let log = log_of("warn,jitgate::app=debug", false, || {
            info!(target: "jitgate::http", "hidden");
            debug!(target: "jitgate::app::ingest", "shown");
        });
        assert!(log.contains("shown") && !log.contains("hidden"), "{log}");
    }
}
