//! The arguments of `setup app`.

use crate::cli::one_repository::OneRepository;
use crate::cli::person::Person;
use std::path::PathBuf;

/// Arguments of `setup app`.
#[derive(Debug, clap::Args)]
pub struct AppSetup {
    /// Organization that owns the app. By default the person who is signed in at GitHub
    #[arg(long, visible_alias = "org", value_name = "LOGIN")]
    pub organization: Option<String>,
    #[command(flatten)]
    pub which: OneRepository,
    /// Name of the app, which is unique at GitHub and can be changed in its form. By default jitgate-OWNER
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Home page that GitHub shows for the app. By default the page of the owner
    #[arg(long, value_name = "URL")]
    pub homepage: Option<String>,
    /// Public address of jitgate's webhook: `https://HOST/webhooks/github`. Without it the app receives no events
    #[arg(long, value_name = "URL")]
    pub webhook_url: Option<String>,
    /// Folder for the credentials
    #[arg(long, value_name = "DIR", default_value = "/etc/jitgate")]
    pub folder: PathBuf,
    /// Port of the page on this machine. By default a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Time in seconds to wait for the browser
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout_s: u64,
    /// Root of GitHub's REST API. By default the configured one
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// Show the manifest and the steps without taking them
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
}
