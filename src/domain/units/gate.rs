//! The units in `deploy/` for `jitgate serve`: all roles in one process, an ingress, a worker, and their sockets.

use super::access;
use super::unit::{Section, Unit};

/// Returns the units with the file names that they have in `deploy/`.
#[must_use]
pub(super) fn units() -> Vec<Unit> {
    vec![
        all(),
        ingress(),
        worker(),
        all_socket(),
        ingress_socket(),
        worker_socket(),
    ]
}

fn all() -> Unit {
    Unit::new(
        "jitgate.service",
        "Ingress and worker in one process, for one machine. For several machines on one Redis, use jitgate-ingress.service and \
         jitgate-worker.service instead.\n\
         \n\
         Installation:\n\
         1. Install the binary as /usr/local/bin/jitgate, deploy/jitgate.toml as /etc/jitgate/jitgate.toml, and jitgate.socket \
         beside this unit.\n\
         2. Create the secrets below as files that belong to root, with mode 0600.\n\
         3. Enter the id of your App below.\n\
         4. Run: useradd --system --shell /usr/sbin/nologin jitgate; systemctl enable --now jitgate.socket jitgate.service",
        [
            unit_section("Just-in-time GitHub Actions runners for trusted pull requests"),
            serve("all", "jitgate")
                .with(access::keeps_jobs)
                .blank()
                .with(secrets)
                .set_all([WEBHOOK_SECRET, APP_KEY, WEBHOOK_SETTING, APP_ID, APP_KEY_SETTING])
                .blank()
                .with(lasting_account)
                .set_all([
                    ("StateDirectory", "jitgate"),
                    ("Environment", "JITGATE__SERVER__STATE_DIR=%S/jitgate"),
                    ("Environment", "JITGATE__STORE__URL=sqlite:%S/jitgate/jitgate.db"),
                ])
                .with(closed_state)
                .blank()
                .with(access::runs_jobs),
            install("multi-user.target"),
        ],
    )
}

fn ingress() -> Unit {
    Unit::new(
        "jitgate-ingress.service",
        "The ingress: it receives deliveries. Run any number of ingresses behind a load balancer. An ingress shares a Redis with \
         the workers and has no private key of the App. Install this file as jitgate.service, and jitgate-ingress.socket as \
         jitgate.socket. The URL of the store contains a password and is a secret, too.",
        [
            unit_section("Just-in-time GitHub Actions runners for trusted pull requests: deliveries"),
            serve("ingress", "jitgate-ingress")
                .set_all([("OOMPolicy", "continue"), ("LimitNOFILE", "65536"), ("TasksMax", "512")])
                .blank()
                .with(secrets)
                .set_all([WEBHOOK_SECRET, STORE_URL, WEBHOOK_SETTING, STORE_URL_SETTING])
                .blank()
                .comment(
                    "The account: a user that exists only while the service runs, and that owns the state directory.",
                )
                .set_all([
                    ("DynamicUser", "yes"),
                    ("StateDirectory", "jitgate-ingress"),
                    ("Environment", "JITGATE__SERVER__STATE_DIR=%S/jitgate-ingress"),
                ])
                .with(closed_state)
                .blank()
                .comment("Access: the state directory and the network, nothing else.")
                .with(access::network_only),
            install("multi-user.target"),
        ],
    )
}

fn worker() -> Unit {
    Unit::new(
        "jitgate-worker.service",
        "The worker: it decides and makes runners. Run one worker on each machine that has runners. A worker shares a Redis with \
         the ingresses; GitHub does not need to reach it. Install this file as jitgate.service, and jitgate-worker.socket as \
         jitgate.socket, and create a user: useradd --system --shell /usr/sbin/nologin jitgate. The URL of the store contains a \
         password and is a secret, too.",
        [
            unit_section("Just-in-time GitHub Actions runners for trusted pull requests: decisions and runners"),
            serve("worker", "jitgate-worker")
                .with(access::keeps_jobs)
                .blank()
                .with(secrets)
                .set_all([APP_KEY, STORE_URL, APP_ID, APP_KEY_SETTING, STORE_URL_SETTING])
                .blank()
                .with(lasting_account)
                .set_all([
                    ("StateDirectory", "jitgate-worker"),
                    ("Environment", "JITGATE__SERVER__STATE_DIR=%S/jitgate-worker"),
                ])
                .with(closed_state)
                .blank()
                .with(access::runs_jobs),
            install("multi-user.target"),
        ],
    )
}

const WEBHOOK_SECRET: (&str, &str) = ("LoadCredential", "webhook-secret:/etc/jitgate/webhook-secret");
const WEBHOOK_SETTING: (&str, &str) = ("Environment", "JITGATE__WEBHOOK__SECRET_FILES=%d/webhook-secret");
const APP_KEY: (&str, &str) = ("LoadCredential", "app.pem:/etc/jitgate/app.pem");
const APP_ID: (&str, &str) = ("Environment", "JITGATE__GITHUB__APP_ID=123456");
const APP_KEY_SETTING: (&str, &str) = ("Environment", "JITGATE__GITHUB__PRIVATE_KEY_FILE=%d/app.pem");
const STORE_URL: (&str, &str) = ("LoadCredential", "store-url:/etc/jitgate/store-url");
const STORE_URL_SETTING: (&str, &str) = ("Environment", "JITGATE__STORE__URL_FILE=%d/store-url");

fn unit_section(description: &str) -> Section {
    Section::new("Unit")
        .set_all([("Description", description), ("Wants", "network-online.target")])
        .comment("The socket unit holds the ports during a restart.")
        .set_all([
            ("Requires", "jitgate.socket"),
            ("After", "network-online.target jitgate.socket"),
            ("StartLimitIntervalSec", "0"),
        ])
}

fn serve(role: &str, state: &str) -> Section {
    let command = format!("/usr/local/bin/jitgate --config /etc/jitgate/jitgate.toml serve --role {role}");
    Section::new("Service")
        .set("ExecStart", command)
        .set("WorkingDirectory", format!("%S/{state}"))
        .with(restarts)
}

fn restarts(service: Section) -> Section {
    let reason = "2: usage, 3: configuration. A restart does not solve these, but may solve others, such as an address in use (9).";
    restarts_unless(service, "2 3", reason)
}

/// Appends the rules for a reload, a restart and a stop of a serving process.
pub(super) fn restarts_unless(service: Section, codes: &str, reason: &str) -> Section {
    service
        .comment("Reloads the webhook secrets and the log level. The log names changes that need a restart.")
        .set_all([
            ("ExecReload", "/bin/kill -HUP $MAINPID"),
            ("Restart", "on-failure"),
            ("RestartSec", "2"),
        ])
        .comment(reason)
        .set("RestartPreventExitStatus", codes)
        .comment("On a stop, jitgate returns unfinished work to the queue within a minute.")
        .set("TimeoutStopSec", "90")
}

fn secrets(service: Section) -> Section {
    service.comment("Secrets: root reads them, and only the service can see them (in the directory %d).")
}

fn lasting_account(service: Section) -> Section {
    service
        .comment(
            "The account: a user that owns the state directory. It remains when the service stops, because jobs may still run.",
        )
        .set("User", "jitgate")
}

fn closed_state(service: Section) -> Section {
    service.set_all([("StateDirectoryMode", "0700"), ("UMask", "0077")])
}

pub(super) fn install(target: &str) -> Section {
    Section::new("Install").set("WantedBy", target)
}

fn all_socket() -> Unit {
    socket(
        "jitgate.socket",
        "Holds the ports of jitgate.service, also during a restart: no other process can listen on them, and new connections wait. \
         Install this file beside jitgate.service. The addresses are those of server.listen and server.admin_listen.",
        "Ports of jitgate",
        true,
        shared_socket,
    )
}

fn ingress_socket() -> Unit {
    socket(
        "jitgate-ingress.socket",
        "Holds the ports of an ingress, also during a restart: no other process can listen on them, and new connections wait. \
         Install this file as jitgate.socket. The addresses are those of server.listen and server.admin_listen.",
        "Ports of jitgate: deliveries",
        true,
        |socket| {
            socket.comment(
                "Only root can open the admin socket. The service inherits it, because its user exists only while the service runs.",
            )
        },
    )
}

fn worker_socket() -> Unit {
    socket(
        "jitgate-worker.socket",
        "Holds the admin socket of a worker, also during a restart: no other process can listen on it, and new connections wait. \
         Install this file as jitgate.socket. The address is that of server.admin_listen.",
        "Admin socket of jitgate: decisions and runners",
        false,
        shared_socket,
    )
}

fn shared_socket(socket: Section) -> Section {
    socket
        .comment("Only root and the service can open the admin socket.")
        .set("SocketUser", "jitgate")
}

fn socket(
    name: &'static str,
    comment: &str,
    description: &str,
    is_public: bool,
    account: impl FnOnce(Section) -> Section,
) -> Unit {
    let mut socket = Section::new("Socket");
    if is_public {
        socket = socket.set("ListenStream", "127.0.0.1:8080");
    }
    let socket = socket.set("ListenStream", "%t/jitgate/admin.sock").with(account);
    let socket = socket.set_all([("SocketMode", "0600"), ("Backlog", "1024"), ("RemoveOnStop", "yes")]);
    Unit::new(
        name,
        comment,
        [
            Section::new("Unit").set("Description", description),
            socket,
            install("sockets.target"),
        ],
    )
}
