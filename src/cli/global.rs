//! The flags of every command.

use crate::config::parse_log;
use std::path::PathBuf;
use tracing_subscriber::filter::Targets;

/// The flags of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Configuration file. The default is ./jitgate.toml, then /etc/jitgate/jitgate.toml, then the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Log level, or levels by module: `debug`, or `info,jitgate::app=trace`. Overrides the configuration
    #[arg(long, global = true, value_name = "LEVEL", value_parser = parse_log)]
    pub log: Option<Targets>,
}
