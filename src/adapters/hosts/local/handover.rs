//! Starts a keeper and gives it its order.

use super::inspection::SYSTEM_PATH;
use super::layout::SlotDir;
use super::order::Order;
use secrecy::{ExposeSecret, SecretString};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::sync::oneshot;

/// Starts the slot's keeper and returns its answer; nothing when it ends without one.
pub(super) async fn start_keeper(
    program: &Path,
    slot: &SlotDir,
    order: Order,
    config: SecretString,
) -> io::Result<String> {
    hand_over(spawn_keeper(program, slot)?, order, config).await
}

fn spawn_keeper(program: &Path, slot: &SlotDir) -> io::Result<Child> {
    Command::new(program)
        .args(["internal", "keep"])
        .arg(&slot.0)
        .current_dir("/")
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// The thread stays until the keeper
/// has ended, so that it leaves no zombie, and keeps nobody from ending before.
async fn hand_over(mut keeper: Child, order: Order, config: SecretString) -> io::Result<String> {
    let (answered, answer) = oneshot::channel();
    std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        let mut spoken = || {
            let stdin = keeper.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let stdout = keeper.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            // A keeper that refuses may not read everything; its answer says why.
            order.send(config.expose_secret(), stdin).unwrap_or_default();
            let mut answer = String::new();
            BufReader::new(stdout).read_line(&mut answer)?;
            Ok(answer.trim().to_owned())
        };
        // Whoever asked may have given up.
        answered.send(spoken()).unwrap_or_default();
        drop(config);
        keeper.wait().map(|_| ()).unwrap_or_default();
    })?;
    answer
        .await
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe)))
}
