//! The sources of settings: defaults, file, environment, overrides.

use super::place::{Place, SECRET, load_env};
use jitgate::config::{self, FileSource, Sources, StoreUrl};
use jitgate::domain::policy::Mode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
    let shown = place.jitgate(&["config", "show"], &[("JITGATE__TRUST__ASSOCIATIONS", "OWNER")]);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    for line in [
        "store.url = \"memory:\"  # from ./jitgate.toml",
        "trust.associations = [\"OWNER\"]  # from JITGATE__TRUST__ASSOCIATIONS",
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
fn invalid_toml_is_located_but_not_quoted() {
    for line in [
        format!("secrets = [\"{SECRET}"),
        format!("secrets = {SECRET}"),
        SECRET.to_owned(),
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
fn an_unknown_variable_is_refused_with_a_suggestion() {
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
        env: BTreeMap::from([("JITGATE__STORE__URL".to_owned(), "redis://:pw@db".to_owned())]),
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
