//! Ports that the service manager holds: no other process can listen there while jitgate restarts, and requests wait
//! meanwhile.

use super::outage::Hanging;
use super::wire::{Wire, delivery};
use crate::support::gate::{Place, Process, read};
use crate::support::payload::{body, guid};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};

const NAMED: &str = "export LISTEN_FDNAMES=public:admin;";

struct Held {
    place: Place,
    github: Hanging,
    public: TcpListener,
    admin: UnixListener,
}

impl Held {
    async fn ports() -> Self {
        let place = Place::new();
        let admin = UnixListener::bind(place.path("admin.sock")).expect("a socket");
        Self {
            github: Hanging::start().await,
            public: TcpListener::bind("127.0.0.1:0").expect("a port"),
            admin,
            place,
        }
    }

    fn address(&self) -> String {
        self.public.local_addr().expect("its address").to_string()
    }

    fn start(&self, names: &str, role: &str, settings: &[(&str, &str)]) -> Process {
        let mut command = self
            .place
            .start_held(&self.public, &self.admin, names, &["serve", "--role", role]);
        command.env("JITGATE__GITHUB__API_URL", &self.github.url);
        for (name, value) in settings {
            command.env(name, value);
        }
        Process::of(command)
    }

    /// Returns the answer of the admin socket.
    fn ask(&self, path: &str) -> String {
        let token = fs::read_to_string(self.place.path("jitgate-state/admin-token")).expect("a token");
        let mut stream = UnixStream::connect(self.place.path("admin.sock")).expect("a connection");
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ports_stay_taken_during_a_restart() {
    let held = Held::ports().await;
    let mut gate = held.start(NAMED, "all", &[]);
    gate.err.line_with(" is up\"").await;
    let http = reqwest::Client::new();
    let health = format!("http://{}/healthz", held.address());
    assert_eq!(read(http.get(&health)).await.status, 200);
    assert!(held.ask("/api/v1/status").starts_with("HTTP/1.1 200 "));
    drop(gate);

    assert!(TcpListener::bind(held.public.local_addr().expect("its address")).is_err());
    let mut waits = Wire::to(&held.address()).await;
    assert!(waits.send(&delivery(&guid(1), &body("queued", 1))).await);
    let mut gate = held.start(NAMED, "all", &[]);
    assert_eq!(
        waits.reply().await.expect("an answer").status,
        202,
        "what came meanwhile is taken"
    );
    gate.err.line_with(" is up\"").await;
    assert!(
        held.ask(&format!("/api/v1/deliveries/{}", guid(1)))
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn held_ports_without_names_are_known_by_their_addresses() {
    let held = Held::ports().await;
    let address = held.address();
    let settings = [
        ("JITGATE__SERVER__LISTEN", address.as_str()),
        ("JITGATE__SERVER__ADMIN_LISTEN", "unix:admin.sock"),
    ];
    // The path of a socket is as it was bound, and this one was bound by its whole path.
    let mut gate = held.start("export LISTEN_FDNAMES=jitgate.socket:jitgate.socket;", "all", &settings);
    gate.err.line_with(" is up\"").await;
    assert!(held.ask("/api/v1/status").starts_with("HTTP/1.1 200 "));
    drop(gate);
    for (role, settings, said) in [
        ("all", &settings[..1], "neither server.listen nor server.admin_listen"),
        ("worker", &settings[..], "store.url"),
    ] {
        let mut refused = held.start("", role, settings);
        assert_eq!(refused.code().await, Some(3), "{role}");
        assert!(refused.err.text().contains(said), "{}", refused.err.text());
    }
}

#[tokio::test]
async fn held_ports_are_not_inherited_by_child_processes() {
    let held = Held::ports().await;
    let mut gate = held.start(NAMED, "all", &[]);
    gate.err.line_with(" is up\"").await;
    for number in [3, 4] {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", gate.id())).expect("a descriptor");
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .expect("flags")
            .trim();
        let flags = u32::from_str_radix(flags, 8).expect("octal");
        assert_ne!(flags & 0o2_000_000, 0, "descriptor {number} outlives an exec: {info}");
    }
}
