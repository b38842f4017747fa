//! Configuration as an operator meets it: the real binary in a directory of its own, and `config::load` where a table of
//! mistakes says it shorter.

use clap::{CommandFactory, Parser};
use jitgate::cli::Cli;
use jitgate::config::{
    self, AdminListen, Credentials, FileSource, Host, Loaded, Problem, Problems, Role, Scope, Sources, StoreUrl,
};
use jitgate::domain::policy::Mode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Nothing that is printed may hold it.
const SECRET: &str = "hunter2-hunter2-hunter2";

/// A directory to start jitgate in.
struct Place(TempDir);

/// What a command came to.
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    /// A place with this `jitgate.toml`.
    fn with(toml: &str) -> Self {
        let place = Self(TempDir::new().expect("a directory"));
        place.file("jitgate.toml", toml, 0o600);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    /// Runs `jitgate` here with nothing but `env` in the environment.
    fn jitgate(&self, args: &[&str], env: &[(&str, &str)]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .args(args)
            .env_clear()
            .envs(env.iter().copied())
            .current_dir(self.0.path())
            .output()
            .expect("jitgate starts");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("JSON on stdout")
    }
}

fn load(toml: &str) -> Result<Loaded, Problems> {
    let overrides: toml::Table = toml.parse().expect("the test writes TOML");
    let Value::Object(overrides) = serde_json::to_value(overrides).expect("JSON") else {
        panic!("a table")
    };
    config::load(Sources {
        overrides,
        ..Sources::default()
    })
}

fn load_env(env: &[(&str, &str)]) -> Result<Loaded, Problems> {
    config::load(Sources {
        env: env
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        ..Sources::default()
    })
}

fn problems(toml: &str) -> Vec<Problem> {
    load(toml).err().map_or_else(Vec::new, |problems| problems.0)
}

// Where settings come from

#[test]
fn each_source_wins_over_the_one_before() {
    let place = Place::with("[runners]\nmax = 8\nmin = 2\n");
    place.file("other.toml", "[runners]\nmax = 9\n", 0o600);
    let from = |args: &[&str], env: &[(&str, &str)], key: &str| {
        let shown = place
            .jitgate(&[args, &["config", "show", "--json"]].concat(), env)
            .json();
        (shown[key]["value"].clone(), shown[key]["from"].clone())
    };
    let env = [("JITGATE__RUNNERS__MAX", "10")];
    assert_eq!(from(&[], &[], "runners.attempts"), (json!(3), json!("default")));
    assert_eq!(from(&[], &[], "runners.max"), (json!(8), json!("./jitgate.toml")));
    assert_eq!(
        from(&[], &env, "runners.max"),
        (json!(10), json!("JITGATE__RUNNERS__MAX"))
    );
    assert_eq!(from(&[], &env, "runners.min"), (json!(2), json!("./jitgate.toml")));
    assert_eq!(
        from(&["--config", "other.toml"], &[], "runners.max"),
        (json!(9), json!("other.toml"))
    );
    assert_eq!(
        from(&["--config", "other.toml"], &[], "runners.min"),
        (json!(1), json!("default"))
    );
    assert_eq!(from(&[], &[], "runners.target"), (Value::Null, Value::Null));
}

#[test]
fn settings_are_shown_with_their_origin() {
    let place = Place::with("[store]\nurl = \"memory:\"\n[[repositories]]\nfull_name = \"octo/repo\"\n");
    let shown = place.jitgate(&["config", "show"], &[("JITGATE__TRUST__ALLOW_BOTS", "renovate[bot]")]);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    for line in [
        "store.url = \"memory:\"  # from ./jitgate.toml",
        "trust.allow_bots = [\"renovate[bot]\"]  # from JITGATE__TRUST__ALLOW_BOTS",
        "repositories[octo/repo].full_name = \"octo/repo\"  # from ./jitgate.toml",
        "rollout.stages = [1,10,25]  # from default",
        "# github.app_id is not set",
    ] {
        assert!(
            shown.out.lines().any(|shown| shown == line),
            "{line} is not in\n{}",
            shown.out
        );
    }
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let answer = Place::with("").jitgate(&["--config", "absent.toml", "config", "check"], &[]);
    assert_eq!(answer.code, 3);
    assert!(answer.err.contains("absent.toml: cannot be read"), "{}", answer.err);
}

#[test]
fn what_is_no_toml_is_placed_but_not_quoted() {
    for line in [
        format!("secrets = [\"{SECRET}"),
        format!("secrets = {SECRET}"),
        format!("{SECRET}"),
        format!("secrets = [\"a\"]\nsecrets = [\"{SECRET}\"]"),
        format!("x = \"\\q{SECRET}\""),
    ] {
        let answer = Place::with(&format!("[webhook]\n{line}\n")).jitgate(&["config", "check"], &[]);
        assert_eq!(answer.code, 3, "{line}");
        assert!(
            answer.err.contains("./jitgate.toml: is not TOML at line "),
            "{}",
            answer.err
        );
        assert!(!answer.err.contains("hunter2"), "{}", answer.err);
    }
}

#[test]
fn the_environment_takes_lists_numbers_flags_and_plain_repositories() {
    let loaded = load_env(&[
        ("JITGATE__REPOSITORIES", "octo/one, octo/two"),
        ("JITGATE__ROUTING__LABELS", "self-hosted,chem-trusted-pr,"),
        ("JITGATE__ROLLOUT__STAGES", "2,4"),
        ("JITGATE__ROLLOUT__MODE", "enforce"),
        ("JITGATE__ROLLOUT__RERUN_STUCK", "false"),
        ("JITGATE__SLO__LIFECYCLE_SUCCESS", "1"),
        ("JITGATE__WEBHOOK__SECRETS", SECRET),
        ("JITGATE__ALERTS__OWNERS__PRIMARY", "@octo/ci"),
        ("JITGATE_UNRELATED", "not ours"),
        ("PATH", "/bin"),
    ])
    .expect("all of it is good");
    let config = loaded.config;
    let names: Vec<&str> = config
        .repositories
        .iter()
        .map(|repository| repository.name.as_str())
        .collect();
    assert_eq!(names, ["octo/one", "octo/two"]);
    assert_eq!(config.routing.labels.labels, ["self-hosted", "chem-trusted-pr"]);
    assert_eq!(
        config
            .rollout
            .stages
            .iter()
            .map(|stage| stage.get())
            .collect::<Vec<_>>(),
        [2, 4]
    );
    assert_eq!(
        (config.rollout.mode, config.rollout.rerun_stuck),
        (Mode::Enforce, false)
    );
    assert_eq!(config.webhook.secrets[0].expose_secret(), SECRET);
    assert_eq!(config.alerts.owners.primary.as_deref(), Some("@octo/ci"));
}

#[test]
fn a_variable_that_nobody_reads_is_refused_with_the_one_that_was_meant() {
    for (name, meant) in [
        ("JITGATE__SERVER__LISEN", "server.listen"),
        ("JITGATE__STORE_URL", "store.url"),
        ("JITGATE_SERVER__LISTEN", "JITGATE__SERVER__LISTEN"),
        ("JITGATE_ALERTS_OWNERS_PRIMARY", "JITGATE__ALERTS__OWNERS__PRIMARY"),
    ] {
        let text = load_env(&[(name, "x")]).expect_err(name).to_string();
        assert!(
            text.contains(&format!("did you mean `{meant}`?")) && text.contains(name),
            "{text}"
        );
    }
}

#[test]
fn overrides_win_and_say_so() {
    let loaded = config::load(Sources {
        env: BTreeMap::from([("JITGATE__STORE__URL".to_owned(), "redis://db".to_owned())]),
        overrides: json!({"store": {"url": "memory:"}, "repositories": [{"full_name": "o/r"}]})
            .as_object()
            .expect("an object")
            .clone(),
        ..Sources::default()
    })
    .expect("good");
    assert!(matches!(loaded.config.store.url, StoreUrl::Memory));
    assert_eq!(loaded.settings["store.url"].origin, Some(config::Origin::Overrides));
    assert_eq!(loaded.config.repositories[0].name.as_str(), "o/r");
}

// Defaults

#[test]
fn the_defaults_are_valid_and_what_serve_needs_besides_is_said() {
    let config = load("").expect("the defaults are valid").config;
    assert_eq!(
        config.server.admin_listen,
        AdminListen::Tcp("127.0.0.1:9090".parse().expect("an address"))
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
    assert_eq!(
        needs(Role::All),
        ["webhook.secret_files", "github.app_id", "repositories"]
    );
    assert_eq!(needs(Role::Ingress), ["webhook.secret_files", "repositories"]);
    assert_eq!(needs(Role::Worker), ["github.app_id", "repositories"]);
    let serve = Place::with("").jitgate(&["serve"], &[]);
    assert_eq!(serve.code, 3, "{}", serve.err);
    assert!(
        serve.err.contains("3 problems") && serve.err.contains("[[repositories]]"),
        "{}",
        serve.err
    );
}

#[test]
fn enough_to_serve_is_enough() {
    let place = Place::with("");
    let token = place.file("token", "ghp_x\n", 0o400);
    let toml = format!(
        "webhook.secrets = ['{SECRET}']\nrepositories = [{{full_name = 'o/r'}}]\ngithub.token_file = '{}'\nstore.url = 'memory:'",
        token.display()
    );
    let config = load(&toml).expect("valid").config;
    assert_eq!(config.for_serve(Role::All), Ok(()));
    let alone = config.for_serve(Role::Worker).expect_err("memory is not shared");
    assert_eq!(alone.0[0].key, "store.url");
}

#[test]
fn the_schema_takes_the_default_file_and_its_examples() {
    let text = include_str!("../src/config/default.toml");
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
fn every_key_of_the_contract_is_in_the_schema_with_its_default() {
    let schema = config::schema();
    let contract = json!({
        "server": {"listen": "127.0.0.1:8080", "admin_listen": "127.0.0.1:9090", "admin_token_file": null,
            "state_dir": "./jitgate-state", "http_workers": null, "body_limit_bytes": 26_214_400, "read_timeout_s": 10},
        "webhook": {"secrets": null, "secret_files": null},
        "github": {"api_url": "https://api.github.com", "web_url": null, "app_id": null, "private_key_file": null,
            "installation_id": null, "token_file": null, "connect_timeout_s": 5, "timeout_s": 15},
        "routing": {"labels": ["self-hosted", "linux", "x64", "chem-trusted-pr"], "trust_label": "chem-trusted-pr",
            "run_label_prefix": "chem-run-", "workflows": [".github/workflows/ci.yml"],
            "hosted_jobs": ["changes", "route"], "quarantine_s": 60},
        "trust": {"associations": ["OWNER", "MEMBER", "COLLABORATOR"], "min_permission": "write", "allow_bots": []},
        "store": {"url": "sqlite:./jitgate-state/jitgate.db", "url_file": null, "shards": 1, "retention_s": 691_200,
            "bodies_max_bytes": 1_073_741_824},
        "runners": {"host": "local", "name_prefix": "chem-jit", "min": 1, "max": 4, "target": null,
            "max_per_repository": null, "interval_s": 15, "boot_deadline_s": 120, "gate_deadline_s": 60,
            "job_deadline_s": 21_600, "attempts": 3},
        "local": {"runner_home": "/opt/actions-runner", "sandbox": "bwrap", "user": null},
        "qemu": {"image": null, "kernel": null, "initrd": null, "machine": "microvm", "accel": "auto",
            "memory_mib": 4096, "cpus": 2, "disk_gib": 20, "network": null},
        "rollout": {"mode": "observe", "stages": [1, 10, 25], "advance": "auto", "boot_failures": 2,
            "queue_wait_p95_s": 120, "queue_wait_window": 10, "exclude_delivery_lag": true, "offline_s": 600,
            "rollback_on_attempt": false, "rerun_stuck": true},
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

// What is wrong

#[test]
fn everything_wrong_is_said_at_once() {
    let place = Place::with(
        "[server]\nlisen = \"0.0.0.0:80\"\nread_timeout_s = \"10\"\nadmin_listen = \"localhost\"\n\
         [runers]\nmax = 3\n[runners]\nmin = 7\nhost = \"vm\"\n[[repositories]]\nfull_name = \"octo\"\ncolour = 1\n",
    );
    let answer = place.jitgate(&["config", "check"], &[("JITGATE__STORE__SHARDS", "many")]);
    assert_eq!((answer.code, answer.out.as_str()), (3, ""));
    let expected = [
        "jitgate: error: the configuration has 9 problems",
        "  repositories[0].colour (from ./jitgate.toml): is no setting of jitgate; remove it; `jitgate config schema` lists every key",
        "  runers (from ./jitgate.toml): is no setting of jitgate; did you mean `runners`?",
        "  runners.host = \"vm\" (from ./jitgate.toml): is not known; give one of \"local\", \"qemu\", \"synthetic\"",
        "  server.lisen (from ./jitgate.toml): is no setting of jitgate; did you mean `server.listen`?",
        "  server.read_timeout_s = \"10\" (from ./jitgate.toml): is a text; give a whole number from 1 to 3600",
        "  store.shards = \"many\" (from JITGATE__STORE__SHARDS): is a text; give a whole number from 1 to 1024",
        "  server.admin_listen = \"localhost\" (from ./jitgate.toml): is no address with a port; give IP:PORT such as 127.0.0.1:8080, or [::1]:8080 (host names are not looked up)",
        "  runners.min = 7 (from ./jitgate.toml): is more than runners.max, which is 4; lower it, or raise runners.max",
        "  repositories[octo].full_name = \"octo\" (from ./jitgate.toml): names no repository; give OWNER/NAME as in the address of the repository",
        "jitgate: remedy: correct it, and try `jitgate config check`",
    ];
    assert_eq!(answer.err.lines().collect::<Vec<_>>(), expected);

    let answer = place.jitgate(&["config", "check", "--json"], &[]);
    assert_eq!(answer.code, 3);
    let listed = answer.json();
    assert_eq!(listed["ok"], json!(false));
    assert_eq!(listed["problems"].as_array().map(Vec::len), Some(8));
}

#[test]
fn mistakes_are_named_with_their_key() {
    let mistakes = [
        ("listen = '1.2.3.4:80'", "listen", "did you mean `server.listen`?"),
        ("server = 'x'", "server", "is no table"),
        (
            "[runners]\nread_timeout_s = 1",
            "runners.read_timeout_s",
            "did you mean `server.read_timeout_s`?",
        ),
        ("[server]\nlisten = 8080", "server.listen", "is a number"),
        ("[server]\nlisten = ':8080'", "server.listen", "no address"),
        ("[server]\nlisten = ''", "server.listen", "is empty"),
        (
            "[server]\nadmin_listen = '127.0.0.1:8080'",
            "server.admin_listen",
            "is the address of server.listen",
        ),
        (
            "[server]\nadmin_listen = '0.0.0.0:8080'",
            "server.admin_listen",
            "is the address of server.listen",
        ),
        (
            "[server]\nadmin_listen = 'unix:'",
            "server.admin_listen",
            "no usable path",
        ),
        ("[server]\nread_timeout_s = 0", "server.read_timeout_s", "from 1 to"),
        (
            "[server]\nread_timeout_s = 1.5",
            "server.read_timeout_s",
            "is a fraction",
        ),
        ("[server]\nhttp_workers = 0", "server.http_workers", "from 1 to"),
        (
            "[server]\nbody_limit_bytes = -1",
            "server.body_limit_bytes",
            "out of bounds",
        ),
        ("[webhook]\nsecrets = []", "webhook.secrets", "is empty"),
        ("[webhook]\nsecrets = 'abc'", "webhook.secrets", "is no list"),
        ("[webhook]\nsecrets = ['']", "webhook.secrets[0]", "is empty"),
        (
            "[webhook]\nsecrets = ['abc', 'abc']",
            "webhook.secrets",
            "same secret twice",
        ),
        (
            "[webhook]\nsecrets = ['abc']\nsecret_files = ['x']",
            "webhook.secrets",
            "webhook.secret_files is given too",
        ),
        (
            "[webhook]\nsecret_files = ['/nowhere']",
            "webhook.secret_files",
            "cannot be read",
        ),
        (
            "[github]\napi_url = 'api.github.com'",
            "github.api_url",
            "no web address",
        ),
        (
            "[github]\napi_url = 'https://me:pw@api.github.com'",
            "github.api_url",
            "a user or a password",
        ),
        ("[github]\napp_id = 1", "github.app_id", "no private key"),
        ("[github]\napp_id = 0", "github.app_id", "1 or more"),
        ("[github]\ninstallation_id = 1", "github.installation_id", "of no app"),
        (
            "[github]\nprivate_key_file = '/dev/null'",
            "github.private_key_file",
            "no plain file",
        ),
        (
            "[[repositories]]\nscope = 'org'",
            "repositories[0].full_name",
            "is missing",
        ),
        (
            "[[repositories]]\nfull_name = 'https://github.com/o/r'",
            "repositories[https://github.com/o/r].full_name",
            "names no repository",
        ),
        (
            "repositories = [{full_name = 'o/r'}, {full_name = 'O/R'}]",
            "repositories[O/R].full_name",
            "is there twice",
        ),
        (
            "repositories = [{full_name = 'o/r', scope = 'org'}]",
            "repositories[o/r].runner_group_id",
            "is missing",
        ),
        (
            "repositories = [{full_name = 'o/r', runner_group_id = 2}]",
            "repositories[o/r].runner_group_id",
            "only group",
        ),
        (
            "repositories = [{full_name = 'o/r', variable = 'GITHUB_X'}]",
            "repositories[o/r].variable",
            "no name GitHub takes",
        ),
        (
            "repositories = [{full_name = 'o/r', variable = 'A-B'}]",
            "repositories[o/r].variable",
            "'-'",
        ),
        (
            "repositories = [{full_name = 'o/r', trust_label = 'other'}]",
            "repositories[o/r].trust_label",
            "not among the labels",
        ),
        ("repositories = ['o/r']", "repositories[0]", "is no table"),
        ("[routing]\nlabels = []", "routing.labels", "is empty"),
        (
            "[routing]\nlabels = ['chem-trusted-pr', 'a b']",
            "routing.labels",
            "' '",
        ),
        (
            "[routing]\nlabels = ['chem-trusted-pr', 'a,b']",
            "routing.labels",
            "','",
        ),
        (
            "[routing]\nlabels = ['chem-trusted-pr', 'X64', 'x64']",
            "routing.labels",
            "twice",
        ),
        (
            "[routing]\nlabels = ['chem-trusted-pr', 'Chem-Run-x']",
            "routing.run_label_prefix",
            "begins with",
        ),
        (
            "[routing]\nrun_label_prefix = ''",
            "routing.run_label_prefix",
            "is empty",
        ),
        (
            "[routing]\nrun_label_prefix = 'self'",
            "routing.run_label_prefix",
            "\"self-hosted\" begins with",
        ),
        (
            "[routing]\ntrust_label = 'other'",
            "routing.trust_label",
            "not among the labels",
        ),
        (
            "[routing]\nworkflows = ['.github/workflows/{a.yml']",
            "routing.workflows",
            "no glob",
        ),
        ("[routing]\nhosted_jobs = ['[']", "routing.hosted_jobs", "no glob"),
        (
            "[routing]\nquarantine_s = 86400",
            "routing.quarantine_s",
            "out of bounds",
        ),
        (
            "[trust]\nassociations = ['member']",
            "trust.associations[0]",
            "\"MEMBER\"",
        ),
        ("[trust]\nassociations = []", "trust.associations", "is empty"),
        (
            "[trust]\nmin_permission = 'maintain'",
            "trust.min_permission",
            "\"read\", \"write\", \"admin\"",
        ),
        ("[trust]\nallow_bots = ['a b']", "trust.allow_bots", "' '"),
        ("[store]\nurl = 'postgres://db'", "store.url", "names no store"),
        ("[store]\nurl = 'redis://'", "store.url", "names no store"),
        ("[store]\nurl = 'redis:db'", "store.url", "names no store"),
        ("[store]\nurl = 'redis+unix://'", "store.url", "names no store"),
        ("[store]\nurl = 'sqlite:'", "store.url", "names no store"),
        ("[store]\nurl = 'sqlite::memory:'", "store.url", "memory:"),
        ("[store]\nurl = 'memory'", "store.url", "names no store"),
        (
            "[store]\nurl = 'memory:'\nurl_file = '/x'",
            "store.url",
            "store.url_file is given too",
        ),
        ("[store]\nshards = 0", "store.shards", "out of bounds"),
        ("[runners]\ntarget = 5", "runners.target", "give 1 to 4"),
        ("[runners]\nname_prefix = 'a b'", "runners.name_prefix", "' '"),
        (
            "[runners]\nname_prefix = 'a-prefix-that-is-far-too-long-for-github'",
            "runners.name_prefix",
            "at most 30",
        ),
        ("[runners]\nattempts = 0", "runners.attempts", "out of bounds"),
        ("[local]\nsandbox = 'docker'", "local.sandbox", "\"bwrap\""),
        ("[runners]\nhost = 'qemu'", "qemu.image", "is missing"),
        ("[qemu]\ninitrd = '/i'", "qemu.initrd", "no kernel"),
        ("[qemu]\naccel = 'hvf'", "qemu.accel", "\"kvm\""),
        ("[rollout]\nmode = 'on'", "rollout.mode", "\"enforce\""),
        ("[rollout]\nmode = true", "rollout.mode", "is true or false"),
        ("[rollout]\nstages = [10, 1]", "rollout.stages", "does not grow"),
        ("[rollout]\nstages = [0]", "rollout.stages[0]", "out of bounds"),
        (
            "[rollout]\nboot_failures = 5000000000",
            "rollout.boot_failures",
            "out of bounds",
        ),
        (
            "[rollout]\nrerun_stuck = 'yes'",
            "rollout.rerun_stuck",
            "give true or false",
        ),
        ("[slo]\nlifecycle_success = 98", "slo.lifecycle_success", "from 0 to 1"),
        ("[slo]\nlifecycle_success = nan", "slo.lifecycle_success", "is nothing"),
        (
            "[alerts]\nwebhook_url = 'https://a'",
            "alerts.webhook_url",
            "has no secret",
        ),
        (
            "[alerts]\nwebhook_secret = 'x'",
            "alerts.webhook_secret",
            "of no receiver",
        ),
        (
            "[alerts]\nslack_webhook_url = 'C012345'",
            "alerts.slack_webhook_url",
            "no web address",
        ),
        (
            "[alerts]\nack_deadline_s = 3600",
            "alerts.ack_deadline_s",
            "after alerts.restore_deadline_s",
        ),
        ("[alerts]\nowners = 'me'", "alerts.owners", "is no table"),
        ("[telemetry]\nlog = 'verbose'", "telemetry.log", "neither a level"),
        (
            "[telemetry]\nlog = 'info,jitgate::app'",
            "telemetry.log",
            "jitgate::app",
        ),
        ("[telemetry]\nlog_format = 'xml'", "telemetry.log_format", "\"json\""),
        (
            "[telemetry]\notlp_endpoint = 'collector:4317'",
            "telemetry.otlp_endpoint",
            "no web address",
        ),
    ];
    for (toml, key, said) in mistakes {
        let found = problems(toml);
        let text = Problems(found.clone()).to_string();
        assert!(
            found.iter().any(|problem| problem.key == key),
            "{toml}\nis not told of {key}: {text}"
        );
        assert!(text.contains(said), "{toml}\nis not told {said:?}: {text}");
        assert_eq!(found.len(), 1, "{toml}\nis told more than once: {text}");
    }
}

#[test]
fn unusual_but_sound_settings_are_taken() {
    for toml in [
        "[server]\nlisten = '[::1]:0'\nadmin_listen = '127.0.0.1:0'",
        "[server]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'",
        "[server]\nadmin_listen = 'unix:/run/jitgate/admin.sock'",
        "[github]\napi_url = 'https://ghes.example.com/api/v3/'",
        "[github]\ntimeout_s = 1",
        "[runners]\nmin = 0\nmax = 0",
        "[rollout]\nstages = []",
        "[routing]\nworkflows = ['.github/workflows/*.y{a,}ml']\nhosted_jobs = ['lint (*)']",
        "[trust]\nallow_bots = ['dependabot[bot]']",
        "[telemetry]\nlog = 'warn,jitgate::app=trace'",
        "[slo]\nlifecycle_success = 1",
        "[store]\nurl = 'redis+unix:///run/redis.sock?db=1'",
    ] {
        assert_eq!(problems(toml), [], "{toml}");
    }
    let config = load("[github]\napi_url = 'https://ghes.example.com/api/v3/'")
        .expect("good")
        .config;
    assert_eq!(config.github.api_url, "https://ghes.example.com/api/v3");
    assert_eq!(config.github.web_url, "https://ghes.example.com");
    let config = load("[store]\nurl = 'redis+cluster://a:1,b:2'").expect("good").config;
    assert_eq!(config.store.shards.get(), 16);
    let config = load("[store]\nurl = 'redis+cluster://a:1'\nshards = 3")
        .expect("good")
        .config;
    assert_eq!(config.store.shards.get(), 3);
}

#[test]
fn a_repository_has_its_own_policy() {
    let config = load(
        "[trust]\nmin_permission = 'admin'\n[rollout]\nmode = 'enforce'\n\
         [[repositories]]\nfull_name = 'o/plain'\n\
         [[repositories]]\nfull_name = 'o/special'\nscope = 'org'\nrunner_group_id = 7\nvariable = 'ROUTE'\n\
         labels = ['gpu', 'chem-trusted-pr']\nworkflows = ['.github/workflows/*.yml']\nquarantine_s = 5\n",
    )
    .expect("good")
    .config;
    let [plain, special] = &config.repositories[..] else {
        panic!("two repositories")
    };
    assert_eq!((plain.scope, plain.runner_group_id), (Scope::Repository, 1));
    assert_eq!(plain.variable, "CI_SELF_HOSTED_TRUSTED_ROUTING");
    assert_eq!((special.scope, special.runner_group_id), (Scope::Organization, 7));
    assert_eq!(
        (special.variable.as_str(), special.quarantine),
        ("ROUTE", Duration::from_secs(5))
    );
    assert_eq!(special.policy.labels.labels, ["gpu", "chem-trusted-pr"]);
    assert_eq!(special.policy.mode, Mode::Enforce);
    assert!(special.policy.routing.routes(".github/workflows/nightly.yml"));
    assert!(!special.policy.routing.routes(".github/workflows/deep/nightly.yml"));
    assert!(!plain.policy.routing.routes(".github/workflows/nightly.yml"));
    assert!(plain.policy.routing.stays_hosted("route"));
}

#[test]
fn risky_settings_are_warned_of() {
    for (toml, key) in [
        ("[server]\nadmin_listen = '0.0.0.0:9090'", "server.admin_listen"),
        ("[server]\nstate_dir = '/var/lib/jitgate'", "store.url"),
        ("[webhook]\nsecrets = ['short']", "webhook.secrets"),
        ("[github]\napi_url = 'http://ghes.example.com/api/v3'", "github.api_url"),
        (
            "repositories = [{full_name = 'o/r', scope = 'org', runner_group_id = 1}]",
            "repositories[o/r].runner_group_id",
        ),
        ("[routing]\nworkflows = []", "routing.workflows"),
        ("[routing]\nworkflows = ['ci.yml']", "routing.workflows"),
        ("[trust]\nassociations = ['NONE']", "trust.associations"),
        ("[trust]\nmin_permission = 'read'", "trust.min_permission"),
        ("[store]\nretention_s = 3600", "store.retention_s"),
        ("[local]\nsandbox = 'none'", "local.sandbox"),
        ("[rollout]\nrollback_on_attempt = true", "rollout.rollback_on_attempt"),
    ] {
        let warnings = load(toml).expect(toml).warnings;
        let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, [key], "{toml}");
    }
    let place = Place::with("[rollout]\nrollback_on_attempt = true\n");
    let answer = place.jitgate(&["config", "check"], &[]);
    assert_eq!(answer.code, 0);
    assert!(
        answer
            .out
            .contains("warning: rollout.rollback_on_attempt = true (from ./jitgate.toml): lets"),
        "{}",
        answer.out
    );
    assert!(
        answer.out.ends_with("ok: ./jitgate.toml, repositories: 0\n"),
        "{}",
        answer.out
    );
}

#[test]
fn an_open_file_with_a_secret_in_it_is_warned_of() {
    for line in [
        format!("[webhook]\nsecrets = ['{SECRET}']\n"),
        format!("[store]\nurl = 'redis://:{SECRET}@db'\n"),
    ] {
        let place = Place::with("");
        place.file("jitgate.toml", &line, 0o644);
        let answer = place.jitgate(&["config", "check"], &[]);
        assert!(answer.out.contains("run `chmod 600 ./jitgate.toml`"), "{}", answer.out);
    }
}

// Secrets

#[test]
fn no_secret_is_ever_printed() {
    let place = Place::with("");
    let url = format!("https://hooks.slack.com/{SECRET}");
    let token = format!("ghp_{SECRET}");
    let secret_file = place.file("secret", SECRET, 0o600).display().to_string();
    let good = [
        format!("[webhook]\nsecrets = ['{SECRET}', 'other']\n"),
        format!("[webhook]\nsecret_files = ['{secret_file}']\n"),
        format!("[store]\nurl = 'redis://me:{SECRET}@db:6379/0'\n"),
        format!("[store]\nurl = 'redis+unix:///run/redis.sock?pass={SECRET}'\n"),
        format!("[alerts]\nwebhook_url = 'https://a'\nwebhook_secret = '{SECRET}'\nslack_webhook_url = '{url}'\n"),
        format!("[alerts]\nwebhook_url = 'https://a'\nwebhook_secret_file = '{secret_file}'\n"),
    ];
    let bad = [
        format!("[webhook]\nsecrets = '{SECRET}'\n"),
        format!("[webhook]\nsecret = '{SECRET}'\n"),
        format!("[webhook]\nsecrets = ['{SECRET}', '{SECRET}']\n"),
        format!("[webhook]\nsecrets = [['{SECRET}']]\n"),
        format!("webhook = '{SECRET}'\n"),
        format!("webhook = ['{SECRET}']\n"),
        format!("[webhook]\nsecrets = ['{SECRET}']\nsecret_files = ['{secret_file}']\n"),
        format!("[webhook]\nsecret_files = ['{SECRET}']\n"),
        format!("[github]\ntoken_file = '{token}'\n"),
        format!("[github]\nprivate_key_file = '''-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n'''\n"),
        format!("[github]\napi_url = 'https://me:{SECRET}@ghes'\n"),
        format!("[store]\nurl = 'mysql://me:{SECRET}@db'\n"),
        format!("[store]\nurl = 'redis://me:pass@{SECRET}@'\n"),
        format!("[alerts]\nslack_webhook_url = '{SECRET}'\n"),
        format!("[alerts]\nwebhook_secret = '{SECRET}'\n"),
        format!("[alerts]\nwebhook_secret = {{value = '{SECRET}'}}\n"),
    ];
    for (toml, code) in good
        .iter()
        .map(|toml| (toml, 0))
        .chain(bad.iter().map(|toml| (toml, 3)))
    {
        place.file("jitgate.toml", toml, 0o600);
        for command in [
            &["config", "show"][..],
            &["config", "check"],
            &["config", "show", "--json"],
            &["config", "check", "--json"],
        ] {
            let answer = place.jitgate(command, &[]);
            assert_eq!(answer.code, code, "{toml}{}", answer.err);
            assert!(
                !(answer.out + &answer.err).contains("hunter2"),
                "{command:?} gives away\n{toml}"
            );
        }
        let loaded = format!("{:?}", load(toml));
        assert!(!loaded.contains("hunter2"), "Debug gives away\n{toml}");
    }
}

#[test]
fn a_secret_file_is_for_its_owner_alone() {
    let place = Place::with("");
    for (mode, taken) in [
        (0o600, true),
        (0o400, true),
        (0o700, true),
        (0o640, false),
        (0o604, false),
        (0o644, false),
        (0o660, false),
    ] {
        let path = place.file("secret", &format!("{SECRET}\n"), mode).display().to_string();
        for toml in [
            format!("[webhook]\nsecret_files = ['{path}']"),
            format!("[github]\ntoken_file = '{path}'"),
            format!("[alerts]\nwebhook_url = 'https://a'\nwebhook_secret_file = '{path}'"),
        ] {
            let text = Problems(problems(&toml)).to_string();
            assert_eq!(text.is_empty(), taken, "mode {mode:o}: {text}");
            assert!(
                taken || text.contains(&format!("(mode {mode:04o}); run `chmod 600 {path}`")),
                "{text}"
            );
        }
        fs::remove_file(path).expect("it is there");
    }
}

#[test]
fn a_secret_files_line_end_is_not_part_of_the_secret() {
    let place = Place::with("");
    for (text, secret) in [
        ("abc\n", "abc"),
        ("abc\r\n", "abc"),
        ("abc", "abc"),
        (" a b \n\n", " a b \n"),
    ] {
        let path = place.file("secret", text, 0o600);
        let loaded = load(&format!("[webhook]\nsecret_files = ['{}']", path.display())).expect("good");
        assert_eq!(loaded.config.webhook.secrets[0].expose_secret(), secret);
    }
    for text in ["", "\n", " \n"] {
        let path = place.file("secret", text, 0o600);
        let text = Problems(problems(&format!("[webhook]\nsecret_files = ['{}']", path.display()))).to_string();
        assert!(text.contains("is empty"), "{text}");
    }
}

#[test]
fn both_of_several_bad_secret_files_are_named() {
    let place = Place::with("");
    let (one, two) = (place.file("one", "x", 0o644), place.file("two", "", 0o600));
    let toml = format!("[webhook]\nsecret_files = ['{}', '{}']", one.display(), two.display());
    let values: Vec<_> = problems(&toml)
        .into_iter()
        .filter_map(|problem| problem.value)
        .collect();
    assert_eq!(values, [format!("{one:?}"), format!("{two:?}")]);
}

/// A new RSA key.
fn private_key() -> String {
    let output = Command::new("openssl")
        .args(["genrsa", "-traditional", "2048"])
        .output()
        .expect("the openssl command: install the Debian package `openssl`");
    String::from_utf8(output.stdout).expect("PEM")
}

#[test]
fn a_private_key_lies_outside_of_git_and_is_for_its_owner_alone() {
    let place = Place::with("");
    let pem = private_key();
    let with_key = |path: &Path| {
        load(&format!(
            "[github]\napp_id = 1\nprivate_key_file = '{}'",
            path.display()
        ))
    };
    let refused = |path: &Path, why: &str| {
        let text = with_key(path).expect_err("refused").to_string();
        assert!(text.contains(why) && !text.contains("MII"), "{text}");
    };

    let good = place.file("outside/app.pem", &pem, 0o600);
    let config = with_key(&good).expect("a good key").config;
    let Credentials::App {
        app_id,
        private_key,
        installation_id,
    } = config.github.credentials
    else {
        panic!("an app")
    };
    assert_eq!((app_id, installation_id), (1, None));
    assert_eq!(private_key.expose_secret(), pem.trim_end());

    refused(&place.file("open/app.pem", &pem, 0o644), "chmod 600");
    refused(&place.file("text/app.pem", "no key", 0o600), "no RSA private key");
    let hollow = "-----BEGIN RSA PRIVATE KEY-----\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n";
    refused(&place.file("hollow/app.pem", hollow, 0o600), "no RSA private key");

    fs::create_dir_all(place.path("tree/.git")).expect("a directory");
    let inside = place.file("tree/secrets/app.pem", &pem, 0o600);
    refused(&inside, "inside the git work tree");
    let link = place.path("link.pem");
    symlink(&inside, &link).expect("a link");
    refused(&link, "inside the git work tree");

    // A linked work tree or a submodule has a file called `.git`.
    place.file("linked/.git", "gitdir: elsewhere\n", 0o644);
    refused(&place.file("linked/app.pem", &pem, 0o600), "inside the git work tree");
}

// The command line

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_says_what_it_is_and_its_examples_work() {
    let place = Place::with("");
    let top = place.jitgate(&["--help"], &[]);
    assert_eq!(top.code, 0);
    assert!(
        top.out
            .starts_with("Just-in-time GitHub Actions runners for trusted pull requests"),
        "{}",
        top.out
    );
    for command in [
        &["serve"][..],
        &["replay"],
        &["simulate"],
        &["config"],
        &["config", "check"],
        &["config", "show"],
        &["config", "schema"],
    ] {
        let help = place
            .jitgate(&[command, &["--help"]].concat(), &[])
            .out
            .replace("\\\n", " ");
        let (_, examples) = help
            .split_once("Examples:")
            .unwrap_or_else(|| panic!("{command:?} has no examples"));
        let examples: Vec<&str> = examples
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert!(!examples.is_empty(), "{command:?}");
        for example in examples {
            let words = example.split_whitespace().skip_while(|word| *word != "jitgate");
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }
}

#[test]
fn usage_errors_exit_2() {
    let place = Place::with("");
    for args in [
        &[][..],
        &["conjure"],
        &["config"],
        &["config", "check", "--colour"],
        &["replay"],
        &["serve", "--role", "both"],
        &["config", "show", "--log", "verbose"],
        &["replay", "fixtures", "--admin-token-file", "x"],
    ] {
        assert_eq!(place.jitgate(args, &[]).code, 2, "{args:?}");
    }
    assert_eq!(place.jitgate(&["--version"], &[]).code, 0);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let place = Place::with("");
    for args in [&["config", "schema"][..], &["config", "show"], &["--help"]] {
        let child = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .args(args)
            .env_clear()
            .current_dir(place.0.path())
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .spawn()
            .expect("jitgate starts");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

/// A pipe that nobody reads any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Stdio::from(writer)
}

#[test]
fn what_is_printed_stays_on_its_line() {
    let place = Place::with("[alerts.owners]\nprimary = \"a\\u001b[2J\\u202eb\\u0085c\"\n");
    let shown = place.jitgate(&["config", "show"], &[]).out;
    assert!(
        shown.contains("alerts.owners.primary = \"a\\u001b[2J\\u202eb\\u0085c\""),
        "{shown}"
    );
}

#[test]
fn sources_can_name_a_file() {
    let place = Place::with("[store]\nurl = 'memory:'\n");
    let loaded = config::load(Sources {
        file: FileSource::Path(place.path("jitgate.toml")),
        ..Sources::default()
    })
    .expect("good");
    assert_eq!(loaded.file, Some(place.path("jitgate.toml")));
    assert!(matches!(loaded.config.store.url, StoreUrl::Memory));
}
