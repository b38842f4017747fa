//! The findings of `config check` about the store: its promises, and the data that its settings can lose.

use super::stage::Stage;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A Redis on a socket. Dropping it kills it.
pub(crate) struct Redis {
    folder: TempDir,
    process: Child,
}

impl Redis {
    pub(crate) fn start(configuration: Option<&Path>) -> Self {
        Self::start_on(configuration, 0)
    }

    /// One that listens on a port as well.
    pub(crate) fn start_on(configuration: Option<&Path>, port: u16) -> Self {
        let folder = TempDir::new().expect("a folder");
        let socket = folder.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command
            .args(configuration)
            .args(["--port", &port.to_string(), "--unixsocket"])
            .arg(&socket);
        let spawned = command
            .args(["--dir".as_ref(), folder.path().as_os_str()])
            .stdout(Stdio::null())
            .spawn();
        let process = spawned.expect("redis-server is missing: install the Debian package `redis-server`");
        let ping = || Command::new("redis-cli").arg("-s").arg(&socket).arg("PING").output();
        // One that refuses is up as well.
        while ping().expect("redis-cli is missing").stdout.is_empty() {}
        Self { folder, process }
    }

    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(command)
            .output();
        String::from_utf8_lossy(&output.expect("redis-cli is missing").stdout).into_owned()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// `config check` on a store; all it prints.
fn check(url: &str) -> String {
    let place = TempDir::new().expect("a folder");
    let config = place.path().join("jitgate.toml");
    fs::write(&config, format!("[store]\nurl = \"{url}\"\n")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
        .args(["config", "check", "--config"])
        .arg(config)
        .env_clear()
        .output()
        .expect("jitgate runs");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn check_redis(redis: &Redis) -> String {
    check(&format!("redis+unix://{}", redis.socket().display()))
}

#[test]
fn memory_loses_everything_and_a_store_that_is_not_there_is_not_known() {
    let said = check("memory:");
    assert!(
        said.contains("can lose everything, when the process ends; remedy: store.url = "),
        "{said}"
    );
    for nowhere in ["sqlite:nowhere/jitgate.db", "redis+unix:///nowhere/redis.sock"] {
        let said = check(nowhere);
        assert!(
            said.contains("warning  store          it is unknown what the store can lose: "),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_durable_and_reports_it_during_serve() {
    let stage = Stage::set().await;
    let said = stage.jitgate(&["config", "check"]).out;
    for part in ["journal_mode = wal (", "synchronous = FULL (", "loses nothing"] {
        assert!(said.contains(part), "{said}");
    }
    let json = stage.jitgate(&["config", "check", "--json"]).json();
    assert_eq!(json["store"]["promises"][1]["value"], "FULL");
    assert_eq!(json["store"]["promises"][1]["weakness"], json!(null));
}

#[test]
fn redis_settings_that_can_lose_data_are_reported() {
    let said = check_redis(&Redis::start(None));
    for part in ["appendonly = no", "remedy: appendonly yes"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_deployed_redis_configuration_is_durable() {
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/redis.conf");
    let place = TempDir::new().expect("a folder");
    let with_user = place.path().join("redis.conf");
    let text = fs::read_to_string(&configuration).expect("a configuration");
    let shipped = Redis::start(Some(&configuration));
    let refused = shipped.cli(&["GET", "jitgate:layout"]);
    assert!(
        refused.contains("NOAUTH"),
        "as it is shipped no user gets in: {refused}"
    );
    let text = text.replace("# user jitgate on >PASSWORD", "user jitgate on >pw");
    fs::write(&with_user, text).expect("a file");
    let redis = Redis::start(Some(&with_user));
    let said = check(&format!("redis+unix://jitgate:pw@{}", redis.socket().display()));
    for setting in [
        "appendonly = yes",
        "appendfsync = always",
        "maxmemory-policy = noeviction",
    ] {
        let line = said.lines().find(|line| line.contains(setting));
        assert!(
            line.is_some_and(|line| line.starts_with("ok       store ") && line.ends_with("loses nothing")),
            "{setting} in {said}"
        );
    }
    let weak: Vec<&str> = said.lines().filter(|line| line.contains("can lose")).collect();
    assert!(weak.len() == 1 && weak[0].contains("with this server's disk"), "{said}");
}
