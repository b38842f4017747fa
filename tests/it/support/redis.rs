//! Redis servers of a test's own: each on a free port of the loopback, with a directory of its own, gone with the test.

#![allow(dead_code, reason = "several test programs share this, and each uses a part of it")]

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What a server that loses nothing is told.
pub(crate) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// Below what Linux gives to those who connect.
const PORTS: Range<u16> = 10_000..32_000;

/// A server. Dropping it kills it.
pub(crate) struct Server {
    port: u16,
    directory: TempDir,
    options: Vec<String>,
    process: Child,
}

impl Server {
    /// Starts a server with these options and waits until it takes connections.
    pub(crate) fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        // Another process may have taken the port meanwhile.
        let ports = std::iter::repeat_with(Self::free_port).take(10);
        let started = ports.filter_map(|port| Some((port, spawn(port, &directory, &options)?)));
        let (port, process) = { started }.next().expect("it starts with these options");
        Self {
            port,
            directory,
            options,
            process,
        }
    }

    /// Returns a free port outside of the range that the system assigns to clients: while a server is down, a client
    /// that looks for it could otherwise get its port and connect to itself.
    pub(crate) fn free_port() -> u16 {
        let random = std::iter::repeat_with(|| RandomState::new().build_hasher().finish());
        let mut ports = random.map(|number| PORTS.start + u16::try_from(number % PORTS.len() as u64).expect("small"));
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        ports.find(is_free).expect("there is no end to them")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }

    /// Starts it again after [`Self::kill`], with what it left on its disk.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.port, &self.directory, &self.options).expect("its port is still free");
    }

    /// Sends a command by `redis-cli` and gives the answer.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        cli(self.port, command)
    }

    /// Waits by its clock.
    pub(crate) fn pass(&self, time: std::time::Duration) {
        let seconds = (time + std::time::Duration::from_millis(5)).as_secs_f64();
        self.cli(&["BLPOP", "nothing comes here", &seconds.to_string()]);
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already, which is as good.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A cluster of three servers that take writes, and a replica of each.
pub(crate) struct Cluster(Vec<Server>);

impl Cluster {
    pub(crate) fn start() -> Self {
        let nodes: Vec<Server> = std::iter::repeat_with(|| {
            let bus = Server::free_port().to_string();
            let options = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "5000",
                "--cluster-port",
                &bus,
            ];
            Server::start(&[DURABLE, &options].concat())
        })
        .take(6)
        .collect();
        let addresses: Vec<String> = nodes.iter().map(Server::address).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        nodes[0].cli(&create);
        for node in &nodes {
            while !node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {}
        }
        Self(nodes)
    }

    /// All of its nodes, as a URL names them.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<String> = self.0.iter().map(Server::address).collect();
        addresses.join(",")
    }

    /// One of its nodes.
    pub(crate) fn node(&self) -> &Server {
        &self.0[0]
    }

    /// Waits until every replica has what its server has.
    pub(crate) fn wait_for_replicas(&self) {
        let is_copied = |node: &Server| {
            let info = node.cli(&["INFO", "replication"]);
            let offset = |line: &str| line.rsplit_once("offset:").map(|(_, offset)| offset.trim().to_owned());
            let master = info
                .lines()
                .find(|line| line.starts_with("master_repl_offset:"))
                .and_then(offset);
            let offset = master.expect("an offset");
            info.contains("role:slave") || info.contains(&format!("state=online,offset={offset},"))
        };
        while !self.0.iter().all(is_copied) {}
    }

    /// Kills a node that takes writes.
    pub(crate) fn kill_one(&mut self) {
        self.0[0].kill();
    }

    /// Sends a command to every node that takes writes.
    pub(crate) fn everywhere(&self, command: &[&str]) {
        let address = self.node().address();
        let call = ["--cluster", "call", &address];
        self.node().cli(&[&call, command, &["--cluster-only-masters"]].concat());
    }
}

/// The program that is tested with.
fn program() -> OsString {
    #[expect(clippy::disallowed_methods, reason = "how somebody has another server tested")]
    let chosen = std::env::var_os("JITGATE_TEST_REDIS_SERVER");
    chosen.unwrap_or_else(|| "redis-server".into())
}

/// Starts a server and waits until it takes connections. None if it ends instead.
fn spawn(port: u16, directory: &TempDir, options: &[String]) -> Option<Child> {
    let mut process = Command::new(program())
        .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
        .args(options)
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server runs; install the Debian package redis-server, or see CONTRIBUTING.md for another one");
    let log = process.stdout.take().expect("its log");
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    if lines.any(|line| line.contains("Ready to accept connections")) {
        // The output must be read, because the server stops when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(process);
    }
    process.wait().expect("it ends");
    None
}

fn cli(port: u16, command: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-c", "-p", &port.to_string()])
        .args(command)
        .output()
        .expect("redis-cli runs; install the Debian package redis-tools");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "redis-cli {command:?}: {answer}");
    answer
}
