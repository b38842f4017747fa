//! The flags that every command takes.

use crate::config::parse_log;
use std::path::PathBuf;
use tracing_subscriber::filter::Targets;

/// Flags of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Configuration file. By default ./jitgate.toml, else /etc/jitgate/jitgate.toml, else defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Log level, or levels by module: `debug`, or `info,jitgate::app=trace`. Wins over the configuration
    #[arg(long, global = true, value_name = "LEVEL", value_parser = parse_log)]
    pub log: Option<Targets>,
}
