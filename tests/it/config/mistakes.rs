//! The findings about a configuration, and their texts.

use super::place::{Place, SECRET, load, problems};
use jitgate::config::{Problems, Scope};
use jitgate::domain::policy::Mode;
use serde_json::json;
use std::time::Duration;

#[test]
fn all_mistakes_are_reported_at_once() {
    let place = Place::with(
        "[server]\nlisen = \"0.0.0.0:80\"\nread_timeout_s = \"10\"\nadmin_listen = \"localhost\"\n\
         [runers]\nmax = 3\n[runners]\nmin = 7\nhost = \"vm\"\n[[repositories]]\nfull_name = \"octo\"\ncolour = 1\n",
    );
    let answer = place.jitgate(&["config", "check"], &[("JITGATE__STORE__SHARDS", "many")]);
    assert_eq!((answer.code, answer.out.as_str()), (3, ""));
    let expected = [
        "jitgate: error: the configuration has 9 problems",
        "  repositories[0].colour (from ./jitgate.toml): is an unknown setting; remove it; `jitgate config schema` lists every key",
        "  runers (from ./jitgate.toml): is an unknown setting; did you mean `runners`?",
        "  runners.host = \"vm\" (from ./jitgate.toml): is not known; use one of \"local\", \"qemu\", \"synthetic\"",
        "  server.lisen (from ./jitgate.toml): is an unknown setting; did you mean `server.listen`?",
        "  server.read_timeout_s = \"10\" (from ./jitgate.toml): is a text; use a whole number from 1 to 3600",
        "  store.shards = \"many\" (from JITGATE__STORE__SHARDS): is a text; use a whole number from 1 to 1024",
        "  server.admin_listen = \"localhost\" (from ./jitgate.toml): is not an address with a port; use IP:PORT, such as 127.0.0.1:8080 or [::1]:8080 (host names are not resolved)",
        "  runners.min = 7 (from ./jitgate.toml): is more than runners.max, which is 4; reduce it, or increase runners.max",
        "  repositories[octo].full_name = \"octo\" (from ./jitgate.toml): is not a repository name; use OWNER/NAME as in the URL of the repository",
        "jitgate: remedy: correct it, then run `jitgate config check`",
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
    #[rustfmt::skip] // One mistake a line.
    let mistakes = [
        ("listen = '1.2.3.4:80'", "listen", "did you mean `server.listen`?"),
        ("server = 'x'", "server", "is not a table"),
        ("[runners]\nread_timeout_s = 1", "runners.read_timeout_s", "did you mean `server.read_timeout_s`?"),
        ("[local]\nexpose = ['/']", "local.expose", "is the whole machine"),
        ("[local]\nexpose = ['srv/tools']", "local.expose", "is not an absolute path"),
        ("[local]\nexpose = ['/srv/../etc']", "local.expose", "is not an absolute path"),
        ("[local]\nexpose = ['/opt/tools', '/tmp']", "local.expose", "something of its own"),
        ("[local]\nuser = 'runner'\nsandbox = 'none'", "local.user", "has no effect without a sandbox"),
        ("[server]\nlisten = 8080", "server.listen", "is a number"),
        ("[server]\nlisten = ':8080'", "server.listen", "is not an address"),
        ("[server]\nlisten = ''", "server.listen", "is empty"),
        ("[server]\nadmin_listen = '127.0.0.1:8080'", "server.admin_listen", "equals server.listen"),
        ("[server]\nadmin_listen = '0.0.0.0:8080'", "server.admin_listen", "equals server.listen"),
        ("[server]\nadmin_listen = 'unix:'", "server.admin_listen", "does not contain a usable path"),
        ("[server]\nadmin_hosts = ['http://gate']", "server.admin_hosts", "contains an invalid host"),
        ("[server]\nadmin_hosts = ['gate/path']", "server.admin_hosts", "contains an invalid host"),
        ("[server]\nadmin_hosts = ['me@gate']", "server.admin_hosts", "contains an invalid host"),
        ("[server]\nread_timeout_s = 0", "server.read_timeout_s", "from 1 to"),
        ("[server]\nread_timeout_s = 1.5", "server.read_timeout_s", "is a fraction"),
        ("[server]\nhttp_workers = 0", "server.http_workers", "from 1 to"),
        ("[server]\nbody_limit_bytes = -1", "server.body_limit_bytes", "out of bounds"),
        ("[webhook]\nsecrets = []", "webhook.secrets", "is empty"),
        ("[webhook]\nsecrets = 'abc'", "webhook.secrets", "is not a list"),
        ("[webhook]\nsecrets = ['']", "webhook.secrets[0]", "is empty"),
        ("[webhook]\nsecrets = ['abc', 'abc']", "webhook.secrets", "same secret twice"),
        ("[webhook]\nsecrets = ['abc']\nsecret_files = ['x']", "webhook.secrets", "webhook.secret_files is also set"),
        ("[webhook]\nsecret_files = ['/nowhere']", "webhook.secret_files", "cannot be read"),
        ("[github]\napi_url = 'api.github.com'", "github.api_url", "is not a valid URL"),
        ("[github]\napi_url = 'https://me:pw@api.github.com'", "github.api_url", "a user or a password"),
        ("[github]\napp_id = 1", "github.app_id", "requires github.private_key_file"),
        ("[github]\napp_id = 0", "github.app_id", "1 or more"),
        ("[github]\ninstallation_id = 1", "github.installation_id", "requires github.app_id"),
        ("[github]\nprivate_key_file = '/dev/null'", "github.private_key_file", "not a regular file"),
        ("[[repositories]]\nscope = 'org'", "repositories[0].full_name", "is missing"),
        ("[[repositories]]\nfull_name = 'https://github.com/o/r'", "repositories[https://github.com/o/r].full_name", "is not a repository name"),
        ("repositories = [{full_name = 'o/r'}, {full_name = 'O/R'}]", "repositories[O/R].full_name", "is a duplicate"),
        ("repositories = [{full_name = 'o/r', scope = 'org'}]", "repositories[o/r].runner_group_id", "is required"),
        ("repositories = [{full_name = 'o/r', runner_group_id = 2}]", "repositories[o/r].runner_group_id", "only group"),
        ("repositories = [{full_name = 'o/r', variable = 'GITHUB_X'}]", "repositories[o/r].variable", "not a valid name"),
        ("repositories = [{full_name = 'o/r', variable = 'A-B'}]", "repositories[o/r].variable", "'-'"),
        ("repositories = [{full_name = 'o/r', trust_label = 'other'}]", "repositories[o/r].trust_label", "is not one of the labels"),
        ("repositories = ['o/r']", "repositories[0]", "is not a table"),
        ("[routing]\nlabels = []", "routing.labels", "is empty"),
        ("[routing]\nlabels = ['chem-trusted-pr', 'a b']", "routing.labels", "' '"),
        ("[routing]\nlabels = ['chem-trusted-pr', 'a,b']", "routing.labels", "','"),
        ("[routing]\nlabels = ['chem-trusted-pr', 'X64', 'x64']", "routing.labels", "twice"),
        ("[routing]\nlabels = ['chem-trusted-pr', 'Chem-Run-x']", "routing.run_label_prefix", "is the beginning of"),
        ("[routing]\nrun_label_prefix = ''", "routing.run_label_prefix", "is empty"),
        ("[routing]\nrun_label_prefix = 'self'", "routing.run_label_prefix", "is the beginning of the label \"self-hosted\""),
        ("[routing]\ntrust_label = 'other'", "routing.trust_label", "is not one of the labels"),
        ("[routing]\nworkflows = ['.github/workflows/{a.yml']", "routing.workflows", "is not a valid glob"),
        ("[routing]\nhosted_jobs = ['[']", "routing.hosted_jobs", "is not a valid glob"),
        ("[routing]\nquarantine_s = 86400", "routing.quarantine_s", "out of bounds"),
        ("[trust]\nassociations = ['member']", "trust.associations[0]", "\"MEMBER\""),
        ("[trust]\nassociations = []", "trust.associations", "is empty"),
        ("[trust]\nmin_permission = 'maintain'", "trust.min_permission", "\"read\", \"write\", \"admin\""),
        (
            "[trust]\nallow_bots = [{login = 'a b', branches = ['x'], commits_by = 'bot'}]",
            "trust.allow_bots",
            "' '",
        ),
        ("[trust]\nallow_bots = ['dependabot[bot]']", "trust.allow_bots[0]", "a table with `branches`, `commits_by`, `login`"),
        ("[store]\nurl = 'postgres://db'", "store.url", "is not a supported store URL"),
        ("[store]\nurl = 'redis://'", "store.url", "is not a supported store URL"),
        ("[store]\nurl = 'redis:db'", "store.url", "is not a supported store URL"),
        ("[store]\nurl = 'redis://127.0.0.1'", "store.url", "requires no password"),
        ("[store]\nurl = 'redis://gate@db'", "store.url", "requires no password"),
        ("[store]\nurl = 'redis://:@db/0?pass=pw'", "store.url", "requires no password"),
        ("[store]\nurl = 'rediss://db:6380'", "store.url", "requires no password"),
        ("[store]\nurl = 'redis+cluster://a:1,b:2'", "store.url", "requires no password"),
        ("[store]\nurl = 'redis+unix:///run/redis.sock'\n[local]\nsandbox = 'none'", "store.url", "requires no password"),
        ("[store]\nurl = 'redis+unix://'", "store.url", "is not a supported store URL"),
        ("[store]\nurl = 'sqlite:'", "store.url", "is not a supported store URL"),
        ("[store]\nurl = 'sqlite::memory:'", "store.url", "memory:"),
        ("[store]\nurl = 'memory'", "store.url", "is not a supported store URL"),
        ("[store]\nurl = 'memory:'\nurl_file = '/x'", "store.url", "store.url_file is also set"),
        ("[store]\nshards = 0", "store.shards", "out of bounds"),
        ("[runners]\ntarget = 5", "runners.target", "use 1 to 4"),
        ("[runners]\nname_prefix = 'a b'", "runners.name_prefix", "' '"),
        ("[runners]\nname_prefix = 'a-prefix-that-is-far-too-long-for-github'", "runners.name_prefix", "at most 30"),
        ("[runners]\nattempts = 0", "runners.attempts", "out of bounds"),
        ("[local]\nsandbox = 'docker'", "local.sandbox", "\"bwrap\""),
        ("[qemu]\nnetwork = 'bridge0'", "qemu.network", "\"isolated\""),
        ("[qemu]\nnetwork_allow = ['10.0.0.0/40']", "qemu.network_allow", "is not an address"),
        ("[qemu]\nkeep_failed_s = 604801", "qemu.keep_failed_s", "more than a week"),
        ("[qemu]\naccel = 'hvf'", "qemu.accel", "\"kvm\""),
        ("[qemu]\nsizes = [{label = 'large'}]", "qemu.sizes", "a local slot cannot have"),
        ("[runners]\nhost = 'qemu'\n[[qemu.sizes]]\ncpus = 4", "qemu.sizes[0].label", "is missing"),
        ("[runners]\nhost = 'qemu'\n[[qemu.sizes]]\nlabel = 'a b'", "qemu.sizes.label", "' '"),
        ("[runners]\nhost = 'qemu'\n[[qemu.sizes]]\nlabel = 'big'\ncpus = 0", "qemu.sizes[0].cpus", "out of bounds"),
        ("[runners]\nhost = 'qemu'\n[[qemu.sizes]]\nlabel = 'big'\nmemory_mib = 64", "qemu.sizes[0].memory_mib", "out of bounds"),
        ("[runners]\nhost = 'qemu'\n[[qemu.sizes]]\nlabel = 'big'\ndisk_gib = 2000000", "qemu.sizes[0].disk_gib", "out of bounds"),
        ("[runners]\nhost = 'qemu'\n[qemu]\nsizes = [{label = 'big'}, {label = 'BIG'}]", "qemu.sizes.label", "twice"),
        ("[runners]\nhost = 'qemu'\n[[qemu.sizes]]\nlabel = 'Chem-Trusted-PR'", "routing.labels", "would request that size"),
        ("[runners]\nhost = 'qemu'\n[[qemu.sizes]]\nlabel = 'chem-run-7'", "routing.run_label_prefix", "of a size"),
        (
            "repositories = [{full_name = 'o/r', labels = ['chem-trusted-pr', 'big']}]\n[runners]\nhost = 'qemu'\n[[qemu.sizes]]\nlabel = 'big'",
            "repositories[o/r].labels",
            "would request that size",
        ),
        ("[rollout]\nmode = 'on'", "rollout.mode", "\"enforce\""),
        ("[rollout]\nmode = true", "rollout.mode", "is true or false"),
        ("[rollout]\nstages = [10, 1]", "rollout.stages", "is not in ascending order"),
        ("[rollout]\nstages = [0]", "rollout.stages[0]", "out of bounds"),
        ("[rollout]\nboot_failures = 5000000000", "rollout.boot_failures", "out of bounds"),
        ("[rollout]\nrerun_stuck = 'yes'", "rollout.rerun_stuck", "use true or false"),
        ("[slo]\nlifecycle_success = 98", "slo.lifecycle_success", "from 0 to 1"),
        ("[slo]\nlifecycle_success = nan", "slo.lifecycle_success", "is nothing"),
        ("[alerts]\nwebhook_url = 'https://a'", "alerts.webhook_url", "requires a secret"),
        ("[alerts]\nwebhook_secret = 'x'", "alerts.webhook_secret", "requires alerts.webhook_url"),
        ("[alerts]\nslack_webhook_url = 'C012345'", "alerts.slack_webhook_url", "is not a valid URL"),
        ("[alerts]\nack_deadline_s = 3600", "alerts.ack_deadline_s", "longer than alerts.restore_deadline_s"),
        ("[alerts]\nowners = 'me'", "alerts.owners", "is not a table"),
        ("[alerts.owners]\nprimary = '\u{202e}x'", "alerts.owners.primary", "is not a usable name"),
        ("[alerts.owners]\nsecondary = \"a\\nb\"", "alerts.owners.secondary", "is not a usable name"),
        ("[telemetry]\nlog = 'verbose'", "telemetry.log", "neither a level"),
        ("[telemetry]\nlog = 'info,jitgate::app'", "telemetry.log", "jitgate::app"),
        ("[telemetry]\nlog_format = 'xml'", "telemetry.log_format", "\"json\""),
        ("[telemetry]\notlp_endpoint = 'collector:4317'", "telemetry.otlp_endpoint", "is not a valid URL"),
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
        "[trust]\nallow_bots = [{login = 'dependabot[bot]', branches = ['dependabot/*'], commits_by = 'bot'}]",
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
    let config = load("[store]\nurl = 'redis+cluster://:pw@a:1,b:2'")
        .expect("good")
        .config;
    assert_eq!(config.store.shards.get(), 16);
    let config = load("[store]\nurl = 'redis+cluster://:pw@a:1'\nshards = 3")
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
            .contains("warning  configuration  rollout.rollback_on_attempt = true (from ./jitgate.toml): lets"),
        "{}",
        answer.out
    );
    assert!(
        answer.out.ends_with(
            "not ready for `jitgate serve` here: see the problems above\nok: ./jitgate.toml, repositories: 0\n"
        ),
        "{}",
        answer.out
    );
}

#[test]
fn receivers_without_a_second_owner_are_warned_of() {
    let sink = "[alerts]\nalertmanager_url = 'http://127.0.0.1:9093'\n";
    let keys = |toml: &str| -> Vec<String> {
        let warnings = load(toml).expect(toml).warnings;
        warnings.into_iter().map(|warning| warning.key).collect()
    };
    assert_eq!(keys(sink), ["alerts.owners.secondary"]);
    assert_eq!(
        keys(&format!("{sink}owners.primary = '@o/ci'")),
        ["alerts.owners.secondary"]
    );
    assert_eq!(keys(&format!("{sink}owners.secondary = '@o/ci'")), [""; 0]);
    assert_eq!(keys(""), [""; 0]);
}

#[test]
fn sizes_have_a_bounded_number_and_the_values_of_the_default_size() {
    let sizes = |count: usize| {
        let sizes = (0..count).map(|number| format!("[[qemu.sizes]]\nlabel = 'size-{number}'\ncpus = 8\n"));
        format!(
            "[runners]\nhost = 'qemu'\n[qemu]\nmemory_mib = 512\n{}",
            sizes.collect::<String>()
        )
    };
    let problems = problems(&sizes(17));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(
        (problems[0].key.as_str(), problems[0].what.as_str()),
        ("qemu.sizes", "are too many")
    );
    let config = load(&sizes(16)).expect("sixteen sizes").config;
    let last = config.qemu.sizes.last().expect("a size");
    assert_eq!(
        (last.memory_mib.get(), last.cpus.get(), last.disk_gib.get()),
        (512, 8, 20)
    );
    assert_eq!(config.routing.labels.sizes.len(), 16);
}

#[test]
fn settings_without_effect_are_warned_of_until_they_are_default() {
    let toml = "[telemetry]\notlp_endpoint = 'http://127.0.0.1:4318'";
    let warnings = load(toml).expect(toml).warnings;
    let warned: Vec<_> = warnings.iter().map(|it| (it.key.as_str(), it.what.as_str())).collect();
    assert_eq!(warned, [("telemetry.otlp_endpoint", "has no effect yet")]);
    for silent in [
        "[rollout]\nstages = [5, 50]\nadvance = 'manual'\nboot_failures = 3",
        "[slo]\nwindow = 100",
        "[qemu]\ncpus = 4",
    ] {
        assert_eq!(load(silent).expect(silent).warnings, [], "{silent}");
    }
    let place = Place::with("[telemetry]\notlp_endpoint = 'http://127.0.0.1:4318'\n");
    let checked = place.jitgate(&["config", "check"], &[]);
    assert_eq!(checked.code, 0);
    let warning = "telemetry.otlp_endpoint = \"http://127.0.0.1:4318\" (from ./jitgate.toml): has no effect yet; remedy: remove it";
    assert!(checked.out.contains(warning), "{}", checked.out);
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
