//! A running gate: `jitgate serve` in a directory of its own, killed when it is dropped.

#![allow(dead_code, reason = "two test programs share this, and each uses a part of it")]

use super::payload::sign;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// The secret GitHub signs with.
pub(crate) const SECRET: &str = "the current webhook secret";
/// The one before it.
pub(crate) const OLD_SECRET: &str = "the webhook secret of last year";
/// Nothing here takes longer unless it is broken.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) const CONFIGURATION: &str = r#"
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[webhook]
secrets = ["the current webhook secret", "the webhook secret of last year"]
[github]
token_file = "github-token"
[[repositories]]
full_name = "octo-org/chem-model"
[store]
url = "memory:"
[runners]
host = "synthetic"
"#;

/// Settings as `(section.key, value)`, over [`CONFIGURATION`].
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// A directory with a configuration, in which gates can be started.
pub(crate) struct Place {
    folder: TempDir,
    /// The account that everything here belongs to, if it is not that of the test.
    owner: Option<u32>,
    /// The words before those of a command.
    prefix: Vec<String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(None, Vec::new())
    }

    /// The same for an account, with the words that start a command as this account.
    pub(crate) fn of_account(owner: u32, prefix: Vec<String>) -> Self {
        Self::of(Some(owner), prefix)
    }

    fn of(owner: Option<u32>, prefix: Vec<String>) -> Self {
        let folder = TempDir::new().expect("a directory");
        chown(folder.path(), owner, owner).expect("an owner");
        let place = Self { folder, owner, prefix };
        place.file("jitgate.toml", CONFIGURATION, 0o600);
        place.file("github-token", "sim-test", 0o600);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        chown(&path, self.owner, self.owner).expect("an owner");
    }

    /// Leaves the store to what else is configured.
    pub(crate) fn without_a_store(&self) {
        self.file(
            "jitgate.toml",
            &CONFIGURATION.replace("[store]\nurl = \"memory:\"\n", ""),
            0o600,
        );
    }

    /// Name of the instance whose state is here.
    pub(crate) fn instance(&self) -> String {
        let name = fs::read_to_string(self.path("jitgate-state/instance")).expect("it was started");
        name.trim().to_owned()
    }

    /// Starts `jitgate ARGS` here, with nothing but `settings` in the environment.
    pub(crate) fn start(&self, args: &[&str], settings: Settings<'_>) -> Process {
        let program = env!("CARGO_BIN_EXE_jitgate").to_owned();
        let mut words = self.prefix.iter().chain([&program]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        self.start_by(command, args, settings)
    }

    /// The same, after the shell has done something.
    pub(crate) fn start_after(&self, first: &str, args: &[&str], settings: Settings<'_>) -> Process {
        let mut shell = Command::new("/bin/sh");
        shell.args([
            "-c",
            &format!("{first}; exec \"$0\" \"$@\""),
            env!("CARGO_BIN_EXE_jitgate"),
        ]);
        self.start_by(shell, args, settings)
    }

    /// The same, with listeners that are held outside, as a service manager does it.
    pub(crate) fn start_held(&self, public: &TcpListener, admin: &UnixListener, names: &str, args: &[&str]) -> Command {
        let mut shell = Command::new("/bin/sh");
        let first = "exec 3<&0 4<&1 1>&2 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=2";
        shell
            .args([
                "-c",
                &format!("{first}; {names} exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_jitgate"),
            ])
            .args(args)
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::from(OwnedFd::from(public.try_clone().expect("a socket"))))
            .stdout(Stdio::from(OwnedFd::from(admin.try_clone().expect("a socket"))))
            .stderr(Stdio::piped());
        shell
    }

    /// The same, by a command that takes the arguments.
    pub(crate) fn start_by(&self, mut command: Command, args: &[&str], settings: Settings<'_>) -> Process {
        let variable = |(key, text): &(&str, &str)| {
            let name = format!("JITGATE__{}", key.to_uppercase().replace('.', "__"));
            (name, (*text).to_owned())
        };
        let mut child = command
            .args(args)
            .env_clear()
            .envs(settings.iter().map(variable))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("jitgate starts");
        Process {
            out: Lines::of(child.stdout.take().expect("a pipe")),
            err: Lines::of(child.stderr.take().expect("a pipe")),
            child,
        }
    }
}

/// The output of a process, line by line.
pub(crate) struct Lines {
    text: watch::Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, text) = watch::channel(String::new());
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned() + "\n";
                sender.send_modify(|text| text.push_str(&line));
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    /// Returns the text so far; all of it, once the process has ended.
    pub(crate) fn text(&self) -> String {
        self.text.borrow().clone()
    }

    /// Returns once what was written is as wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&str) -> bool) {
        let written = timeout(TIMEOUT, self.text.wait_for(|text| wanted(text))).await;
        let is_there = written.is_ok_and(|text| text.is_ok());
        assert!(is_there, "it was not written: {}", self.text());
    }

    /// The first line with `part` in it, once it is written.
    pub(crate) async fn line_with(&mut self, part: &str) -> String {
        let find = |text: &str| text.lines().find(|line| line.contains(part)).map(str::to_owned);
        let written = timeout(TIMEOUT, self.text.wait_for(|text| find(text).is_some())).await;
        let found = written.ok().and_then(|text| find(&text.ok()?));
        found.unwrap_or_else(|| panic!("{part:?} was not written: {}", self.text()))
    }
}

/// A process of jitgate. It dies with its owner.
pub(crate) struct Process {
    child: Child,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
}

impl Process {
    /// A process without a standard output of its own.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("jitgate starts");
        Self {
            out: Lines::of(std::io::empty()),
            err: Lines::of(child.stderr.take().expect("a pipe")),
            child,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; gives its exit code.
    pub(crate) async fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + TIMEOUT;
        let mut often = often();
        let status = loop {
            often.tick().await;
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.err.text());
        };
        for lines in [&mut self.out, &mut self.err] {
            lines
                .reader
                .take()
                .map(JoinHandle::join)
                .transpose()
                .expect("all it wrote was read");
        }
        status.code()
    }

    /// Asks it to stop, as a service manager would.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let done = Command::new("/bin/sh").args(["-c", &kill]).status();
        assert!(done.expect("sh runs").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither fails but for a process that has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Beats for those who have to ask again and again.
pub(crate) fn often() -> Interval {
    let mut often = interval(Duration::from_millis(10));
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    often
}

/// A gate that is up.
pub(crate) struct Gate {
    pub(crate) process: Process,
    pub(crate) place: Place,
    /// `HOST:PORT` of the public listener.
    pub(crate) public: String,
    /// `HOST:PORT` of the admin listener; empty for a unix socket.
    pub(crate) admin: String,
    pub(crate) token: String,
    pub(crate) http: reqwest::Client,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

impl Gate {
    /// A gate whose GitHub is at `github`.
    pub(crate) async fn start(github: &str, settings: Settings<'_>) -> Self {
        Self::start_in(Place::new(), github, settings, &[]).await
    }

    pub(crate) async fn start_in(place: Place, github: &str, settings: Settings<'_>, args: &[&str]) -> Self {
        let settings = [&[("github.api_url", github)], settings].concat();
        let process = place.start(&[&["serve"], args].concat(), &settings);
        Self::of(process, place).await
    }

    /// A gate that was started in a place, once it is up.
    pub(crate) async fn of(mut process: Process, place: Place) -> Self {
        let line = process.err.line_with(" is up\"").await;
        let up: Value = serde_json::from_str(&line).expect("a JSON line");
        let address = |key: &str| up[key].as_str().unwrap_or_default().to_owned();
        let token = fs::read_to_string(place.path("jitgate-state/admin-token")).expect("the token");
        Self {
            public: address("public"),
            admin: address("admin"),
            process,
            place,
            token,
            http: reqwest::Client::new(),
        }
    }

    /// Kills it; what it left behind stays.
    pub(crate) fn killed(self) -> Place {
        drop(self.process);
        self.place
    }

    /// A request to the public listener.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.public))
    }

    /// A delivery with everything GitHub sends.
    pub(crate) fn delivery(&self, event: &str, guid: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        let body = body.into();
        self.request(Method::POST, "/webhooks/github")
            .header("Content-Type", "application/json")
            .header("User-Agent", "GitHub-Hookshot/044aadd")
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", guid)
            .header("X-Hub-Signature-256", sign(SECRET, &body))
            .body(body)
    }

    pub(crate) async fn deliver(&self, event: &str, guid: &str, body: impl Into<Vec<u8>>) -> Answer {
        read(self.delivery(event, guid, body)).await
    }

    /// An authorized request to the admin API.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.admin);
        read(self.http.get(url).bearer_auth(&self.token)).await
    }

    /// The kinds of all alerts, sorted.
    pub(crate) async fn alerts(&self) -> Vec<String> {
        let answer = self.ask("/api/v1/alerts").await.body;
        let alerts = answer["alerts"].as_array().expect("a list").iter();
        let mut kinds: Vec<String> = alerts
            .filter_map(|alert| alert["kind"].as_str())
            .map(str::to_owned)
            .collect();
        kinds.sort();
        kinds
    }

    /// Says something about an alert through the admin API.
    pub(crate) async fn say(&self, path: &str, body: &str) -> Answer {
        let url = format!("http://{}/api/v1/alerts/{path}", self.admin);
        read(self.http.post(url).bearer_auth(&self.token).body(body.to_owned())).await
    }

    /// Asks again and again, until the answer's body is as wanted.
    pub(crate) async fn ask_until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        let mut often = often();
        loop {
            often.tick().await;
            let body = self.ask(path).await.body;
            if wanted(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} still says {body}");
        }
    }
}

/// Sends a request and reads the answer. What is no JSON reads as null.
pub(crate) async fn read(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.expect("a body");
    Answer {
        status,
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}
