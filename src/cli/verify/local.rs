//! The checks of this machine's files and devices: secrets, the refreshed token, the public port and the image.

use crate::config::{Config, Host};
use crate::domain::finding::{Finding, Subject};
use crate::domain::secret_strength::{ENOUGH_BITS, bits};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time that the program at the public port may take.
const PORT_TIMEOUT: Duration = Duration::from_secs(3);
/// The age at which an image misses security updates and a release of the runner program.
const MAX_IMAGE_AGE: TimeDelta = TimeDelta::days(30);

/// Estimates the strength of the webhook secrets. No part of them is shown.
pub(super) fn webhook_secrets(config: &Config) -> Vec<Finding> {
    let secrets = config.webhook.secrets.iter().enumerate();
    let judged = secrets.map(|(index, secret)| {
        let name = if index == 0 { "current" } else { "old" };
        match bits(secret.expose_secret()) {
            bits if bits < ENOUGH_BITS => Finding::warning(
                Subject::Configuration,
                format!(
                    "the {name} webhook secret {} can be guessed: about {bits} random bits",
                    index + 1
                ),
                "make one with `openssl rand -hex 32`, and set it in the app and in webhook.secrets",
            ),
            _ => Finding::ok(
                Subject::Configuration,
                format!("the {name} webhook secret {} is strong", index + 1),
            ),
        }
    });
    judged.collect()
}

/// Reports the secret files if all of them are closed. The findings of the configuration name those that are not.
pub(super) fn secret_files(config: &Config) -> Option<Finding> {
    let is_closed = |path: &PathBuf| fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 == 0);
    if !config.secret_files.iter().all(is_closed) {
        return None;
    }
    let count = config.secret_files.len();
    let noun = if count == 1 { "file" } else { "files" };
    (count > 0).then(|| {
        Finding::ok(
            Subject::Configuration,
            format!("{count} secret {noun}: no other user can read them"),
        )
    })
}

/// The status file of `app refresh-token`, as far as it matters here.
#[derive(Deserialize)]
struct Refreshed {
    expires_at: DateTime<Utc>,
}

/// Checks that the refreshed token is valid.
pub(super) fn refreshed_token(status_file: &Path, now: DateTime<Utc>) -> Finding {
    const WHAT: &str = "refreshed token";
    let place = status_file.display();
    let text = match fs::read_to_string(status_file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::ok(
                Subject::Github,
                format!("no token is refreshed on this machine ({place} is missing)"),
            );
        }
        Err(error) => return Finding::unknown(Subject::Github, WHAT, format!("{place} cannot be read: {error}")),
    };
    match serde_json::from_str::<Refreshed>(&text) {
        Ok(Refreshed { expires_at }) if expires_at <= now => Finding::problem(
            Subject::Github,
            format!("the refreshed token expired at {expires_at} ({place})"),
            "read the log of the refresh: journalctl -u chem-github-app-token-refresh.service; then: sudo systemctl start \
             chem-github-app-token-refresh.service",
        ),
        Ok(Refreshed { expires_at }) => Finding::ok(
            Subject::Github,
            format!("the refreshed token is valid until {expires_at}"),
        ),
        Err(_) => Finding::problem(
            Subject::Github,
            format!("{place} is not a status of `jitgate app refresh-token`"),
            "remove it, and run: jitgate app refresh-token",
        ),
    }
}

/// Checks that jitgate, or nothing, listens at the public port. `is_running` tells whether jitgate answers elsewhere.
pub(super) async fn public_port(listen: SocketAddr, is_running: bool) -> Option<Finding> {
    if listen.port() == 0 {
        return None;
    }
    // A listener on all addresses is reached by the one of this machine.
    let at = match listen {
        SocketAddr::V4(it) if it.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], it.port())),
        SocketAddr::V6(it) if it.ip().is_unspecified() => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], it.port())),
        other => other,
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PORT_TIMEOUT)
        .build()
        .ok()?;
    // Every other server answers a GET of this path with another status, or without this type.
    let answer = client.get(format!("http://{at}/webhooks/github")).send().await;
    Some(match answer {
        Ok(answer) if is_of_jitgate(&answer) => {
            Finding::ok(Subject::Process, format!("jitgate answers at the public port {listen}"))
        }
        Ok(answer) => taken(listen, &format!("with status {}", answer.status().as_u16())),
        Err(error) if error.is_connect() && is_running => Finding::warning(
            Subject::Process,
            format!("jitgate runs, but nothing answers at server.listen {listen}"),
            "start the role ingress on this machine, or ignore this where another machine receives deliveries",
        ),
        Err(error) if error.is_connect() => Finding::ok(Subject::Process, format!("the public port {listen} is free")),
        Err(_) => taken(listen, "without HTTP"),
    })
}

fn is_of_jitgate(answer: &reqwest::Response) -> bool {
    let is_problem = |value: &reqwest::header::HeaderValue| value.as_bytes().starts_with(b"application/problem+json");
    answer.status() == 405 && answer.headers().get("content-type").is_some_and(is_problem)
}

fn taken(listen: SocketAddr, how: &str) -> Finding {
    Finding::problem(
        Subject::Process,
        format!("another program answers at the public port {listen} ({how})"),
        format!(
            "find it with `ss -ltnp sport = :{}`, and stop it, or change server.listen",
            listen.port()
        ),
    )
}

/// Checks the age of the image, where jobs run in virtual machines.
pub(super) fn virtual_machines(config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
    if config.runners.host != Host::Qemu {
        return Vec::new();
    }
    vec![age(&config.qemu.image(&config.server.state_dir), now)]
}

fn age(image: &Path, now: DateTime<Utc>) -> Finding {
    let place = image.display();
    let modified = fs::metadata(image).and_then(|about| about.modified());
    match modified.map(|at| now - DateTime::<Utc>::from(at)) {
        Ok(age) if age > MAX_IMAGE_AGE => Finding::warning(
            Subject::Host,
            format!("the image {place} is {} days old", age.num_days()),
            "build a new one, with the current release of the runner program",
        ),
        Ok(age) => Finding::ok(
            Subject::Host,
            format!("the image {place} is {} days old", age.num_days()),
        ),
        Err(error) => Finding::problem(
            Subject::Host,
            format!("the image {place} cannot be read: {error}"),
            "correct qemu.image",
        ),
    }
}
