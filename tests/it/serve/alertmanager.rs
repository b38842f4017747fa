//! A real Alertmanager, killed when it is dropped.

use crate::support::gate::{Lines, TIMEOUT, often};
use serde_json::Value;
use std::fs;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) struct Alertmanager {
    pub(crate) url: String,
    child: Child,
    _folder: TempDir,
    _log: Lines,
}

impl Alertmanager {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let configuration = folder.path().join("alertmanager.yml");
        fs::write(
            &configuration,
            "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
        )
        .expect("a file");
        let spawned = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let missing = "prometheus-alertmanager is missing: install the Debian package `prometheus-alertmanager`";
        let mut child = spawned.expect(missing);
        let mut log = Lines::of(child.stderr.take().expect("a pipe"));
        let line = log.line_with("Listening on").await;
        let (_, address) = line.rsplit_once("address=").expect("an address");
        Self {
            url: format!("http://{}", address.trim()),
            child,
            _folder: folder,
            _log: log,
        }
    }

    /// The alerts that are firing, once they are as wanted.
    pub(crate) async fn firing_until(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + TIMEOUT;
        let mut often = often();
        loop {
            often.tick().await;
            let answer = reqwest::get(format!("{}/api/v2/alerts", self.url))
                .await
                .expect("an answer");
            let firing: Vec<Value> = answer.json().await.expect("alerts");
            if wanted(&firing) {
                return firing;
            }
            assert!(Instant::now() < deadline, "it still says {firing:#?}");
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // Neither fails but for a process that has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
