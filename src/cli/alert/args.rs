//! What can be done with alerts.

use super::list;
use super::settle::{self, Says};
use crate::adapters::clock::SystemClock;
use crate::app::alerts::Asked;
use crate::cli::args::Global;
use crate::cli::exit::Outcome;
use crate::cli::store;
use crate::domain::alert::{AlertKind, AlertState};
use crate::ports::Clock;
use crate::runtime;
use clap::Subcommand;
use std::sync::Arc;

/// Most alerts one command prints.
const AT_MOST: u16 = 1000;

/// Arguments of `alert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate alert list
  jitgate alert ack 1f0c7a --by alice
  jitgate alert resolve 1f0c7a --by alice")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with alerts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List alerts, those raised last first, and say what to do about them
    #[command(after_help = "Examples:
  jitgate alert list
  jitgate alert list --state open --kind stolen-runner
  jitgate alert list --state resolved --repository octo-org/chem-model --json")]
    List(ListArgs),
    /// Say that somebody looks at an alert
    #[command(after_help = "Examples:\n  jitgate alert ack 1f0c7a --by alice")]
    Ack(Which),
    /// Say that an alert is over. It opens again when it happens again
    #[command(after_help = "Examples:\n  jitgate alert resolve 1f0c7a 83b2d90c55aa01ef --by alice")]
    Resolve(Which),
}

/// Which alerts are listed.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// In this state: open, acked or resolved; can be given more than once. By default those that are not resolved
    #[arg(long = "state", value_name = "STATE")]
    pub states: Vec<AlertState>,
    /// Of this kind; can be given more than once
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    pub kinds: Vec<AlertKind>,
    /// Of this repository
    #[arg(long, visible_alias = "repo", value_name = "OWNER/NAME")]
    pub repository: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(AT_MOST)))]
    pub limit: u16,
}

/// Which alerts, and who says so.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Their ids, or beginnings of them that fit no other
    #[arg(value_name = "ID", required = true, value_parser = id)]
    pub ids: Vec<String>,
    /// Who says so
    #[arg(long, value_name = "NAME", default_value = "command line")]
    pub by: String,
}

impl ListArgs {
    fn asked(&self) -> Asked {
        let unresolved = || vec![AlertState::Open, AlertState::Acked];
        Asked {
            states: if self.states.is_empty() {
                unresolved()
            } else {
                self.states.clone()
            },
            kinds: self.kinds.clone(),
            repository: self.repository.clone(),
        }
    }
}

fn kind(word: &str) -> Result<AlertKind, String> {
    AlertKind::parse(word).ok_or_else(|| {
        let words: Vec<&str> = AlertKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("give one of {}", words.join(", "))
    })
}

fn id(text: &str) -> Result<String, String> {
    let is_plain = (4..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let error = || "an id has 16 hexadecimal digits, and its first 4 or more can be enough".to_owned();
    is_plain.then(|| text.to_ascii_lowercase()).ok_or_else(error)
}

/// Runs `alert`.
pub(in crate::cli) fn run(args: Args, global: &Global) -> Outcome {
    store::with(global, async |config, store| {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let alerts = runtime::open_alerts(config, &clock, store, Arc::new(()))?;
        match args.command {
            Command::List(list) => list::run(&alerts, &list.asked(), list.limit, global).await,
            Command::Ack(which) => settle::run(&alerts, Says::Ack, &which.ids, &which.by, global).await,
            Command::Resolve(which) => settle::run(&alerts, Says::Resolve, &which.ids, &which.by, global).await,
        }
    })
}
