//! The defaults: valid, documented, and those of the contract.

use super::place::{Place, SECRET, load};
use jitgate::config::{self, AdminListen, Credentials, Host, Role};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

#[test]
fn the_defaults_are_valid_and_further_needs_of_serve_are_reported() {
    let config = load("").expect("the defaults are valid").config;
    assert_eq!(
        config.server.admin_listen,
        AdminListen::Unix("./jitgate-state/admin.sock".into())
    );
    assert_eq!(config.server.admin_token_file, Path::new("./jitgate-state/admin-token"));
    assert_eq!((config.runners.host, config.runners.target), (Host::Local, 4));
    assert_eq!(config.routing.quarantine, Duration::from_secs(60));
    assert_eq!(config.github.web_url, "https://github.com");
    assert!(matches!(config.github.credentials, Credentials::None));
    let needs = |role| {
        let problems = config.for_serve(role).expect_err("the defaults are not enough");
        problems.0.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
    };
    assert_eq!(needs(Role::All), ["webhook.secret_files", "github.app_id"]);
    assert_eq!(needs(Role::Ingress), ["webhook.secret_files"]);
    assert_eq!(needs(Role::Worker), ["github.app_id"]);
    let serve = Place::with("").jitgate(&["serve"], &[]);
    assert_eq!(serve.code, 3, "{}", serve.err);
    assert!(
        serve.err.contains("2 problems") && serve.err.contains("github.app_id"),
        "{}",
        serve.err
    );
}

#[test]
fn enough_to_serve_is_enough() {
    let place = Place::with("");
    let token = place.file("token", "ghp_x\n", 0o400);
    let toml = format!(
        "webhook.secrets = ['{SECRET}']\ngithub.token_file = '{}'\nstore.url = 'memory:'",
        token.display()
    );
    let config = load(&toml).expect("valid").config;
    assert_eq!(config.for_serve(Role::All), Ok(()));
    let alone = config.for_serve(Role::Worker).expect_err("memory is not shared");
    assert_eq!(alone.0[0].key, "store.url");
}

#[test]
fn the_schema_takes_the_default_file_and_its_examples() {
    let text = include_str!("../../../src/config/default.toml");
    let validator = jsonschema::validator_for(&config::schema()).expect("a schema");
    let valid = |text: &str| {
        let table: toml::Table = text.parse().expect("TOML");
        let problems: Vec<String> = validator
            .iter_errors(&serde_json::to_value(table).expect("JSON"))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(problems, [] as [String; 0]);
    };
    valid(text);
    let is_example = |line: &&str| line.starts_with("# ") && (line.contains(" = ") || line.starts_with("# [["));
    let uncomment = |line: &str| {
        line.strip_prefix("# ")
            .filter(|_| is_example(&line))
            .unwrap_or(line)
            .to_owned()
    };
    let code =
        |line: &String| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let examples: Vec<String> = text.lines().map(uncomment).filter(code).collect();
    valid(&examples.join("\n"));
    assert!(validator.validate(&json!({"server": {"lisen": "x"}})).is_err());
}

#[test]
fn beside_local_jobs_the_admin_listener_is_a_socket_unless_set() {
    let listen = |toml: &str| load(toml).expect(toml).config.server.admin_listen;
    let tcp = |address: &str| AdminListen::Tcp(address.parse().expect("an address"));
    assert_eq!(
        listen("[server]\nstate_dir = '/s'"),
        AdminListen::Unix("/s/admin.sock".into())
    );
    assert_eq!(
        listen("[server]\nadmin_listen = '127.0.0.1:9090'"),
        tcp("127.0.0.1:9090")
    );
    assert_eq!(listen("[runners]\nhost = 'synthetic'"), tcp("127.0.0.1:9090"));
    let place = Place::with("[server]\nstate_dir = '/s'\n");
    let shown = place.jitgate(&["config", "show"], &[]).out;
    assert!(
        shown.contains("server.admin_listen = \"unix:/s/admin.sock\"  # from default"),
        "{shown}"
    );
    let long = format!("[server]\nstate_dir = '/{}'", "x".repeat(100));
    let problem = load(&long).expect_err("refused").to_string();
    assert!(
        problem.contains("server.state_dir") && problem.contains("too long"),
        "{problem}"
    );
}

#[test]
fn every_key_of_the_contract_is_in_the_schema_with_its_default() {
    let schema = config::schema();
    let contract = json!({
        "server": {"listen": "127.0.0.1:8080", "admin_listen": "127.0.0.1:9090", "admin_hosts": [], "admin_token_file": null,
            "state_dir": "./jitgate-state", "http_workers": null, "body_limit_bytes": 26_214_400, "read_timeout_s": 10},
        "webhook": {"secrets": null, "secret_files": null},
        "github": {"api_url": "https://api.github.com", "web_url": null, "app_id": null, "private_key_file": null,
            "installation_id": null, "token_file": null, "proxy": null, "connect_timeout_s": 5, "timeout_s": 15},
        "routing": {"labels": ["self-hosted", "linux", "x64", "chem-trusted-pr"], "trust_label": "chem-trusted-pr",
            "run_label_prefix": "chem-run-", "workflows": [".github/workflows/ci.yml"],
            "branches": [], "hosted_jobs": ["changes", "route"], "quarantine_s": 60},
        "trust": {"associations": ["OWNER", "MEMBER", "COLLABORATOR"], "min_permission": "write", "allow_bots": [],
            "require_verified_commits": false},
        "store": {"url": "sqlite:./jitgate-state/jitgate.db", "url_file": null, "shards": 1, "retention_s": 691_200,
            "bodies_max_bytes": 1_073_741_824},
        "runners": {"host": "local", "name_prefix": "chem-jit", "min": 1, "max": 4, "target": null,
            "max_per_repository": null, "interval_s": 15, "boot_deadline_s": 120, "gate_deadline_s": 60,
            "job_deadline_s": 21_600, "attempts": 3, "known": []},
        "local": {"runner_home": "/opt/actions-runner", "sandbox": "bwrap", "user": null, "expose": [],
            "network": "isolated", "network_allow": [], "network_deny": [],
            "memory_mib": null, "pids": null, "cpus": null, "disk_mib": null,
            "public_repositories": false},
        "qemu": {"image": null, "kernel": null, "initrd": null, "machine": "microvm", "accel": "auto",
            "memory_mib": 4096, "cpus": 2, "disk_gib": 20, "sizes": [], "network": "isolated", "network_allow": [],
            "network_deny": [], "keep_failed_s": 0},
        "rollout": {"mode": "observe", "stages": [1, 10, 25], "advance": "auto", "boot_failures": 2,
            "queue_wait_p95_s": 120, "queue_wait_window": 10, "exclude_delivery_lag": true, "offline_s": 600,
            "rollback_on_attempt": false, "rerun_stuck": true, "rerun_lost": false},
        "slo": {"window": 50, "lifecycle_success": 0.98, "routing_correctness": 1.0, "queue_wait_p95_s": 120,
            "setup_latency_p95_s": 180},
        "alerts": {"alertmanager_url": null, "slack_webhook_url": null, "slack_webhook_url_file": null,
            "webhook_url": null, "webhook_secret": null, "webhook_secret_file": null, "ack_deadline_s": 900,
            "restore_deadline_s": 1800},
        "telemetry": {"log": "info", "log_format": "auto", "otlp_endpoint": null},
    });
    for (section, keys) in contract.as_object().expect("sections") {
        for (key, default) in keys.as_object().expect("keys") {
            let property = schema.pointer(&format!("/properties/{section}/properties/{key}"));
            let property = property.unwrap_or_else(|| panic!("{section}.{key} is not in the schema"));
            assert_eq!(
                property.get("default").unwrap_or(&Value::Null),
                default,
                "{section}.{key}"
            );
            assert!(property["description"].is_string(), "{section}.{key} is not described");
        }
    }
    let repository = schema
        .pointer("/properties/repositories/items/properties")
        .expect("repositories");
    for (key, default) in [
        ("scope", json!("repo")),
        ("runner_group_id", json!(1)),
        ("variable", json!("CI_SELF_HOSTED_TRUSTED_ROUTING")),
    ] {
        assert_eq!(repository[key]["default"], default, "{key}");
    }
    let routing = schema
        .pointer("/properties/routing/properties")
        .and_then(Value::as_object)
        .expect("routing");
    for key in routing.keys().map(String::as_str).chain(["full_name"]) {
        assert!(repository.get(key).is_some(), "{key} cannot be overridden");
    }
    let owners = schema
        .pointer("/properties/alerts/properties/owners/properties")
        .expect("owners");
    assert!(owners.get("primary").is_some() && owners.get("secondary").is_some());
}
