//! Secrets: where they may lie, and that they are never printed.

use super::place::{Place, SECRET, load, load_env, problems};
use jitgate::config::{Credentials, Problems};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

#[test]
fn config_check_shows_the_alert_receivers_and_no_secret() {
    let everywhere = format!(
        "[alerts]\nalertmanager_url = 'http://127.0.0.1:9093/'\nslack_webhook_url = 'https://hooks.slack.com/{SECRET}'\n\
         webhook_url = 'https://a.example/x?key={SECRET}'\nwebhook_secret = '{SECRET}'\n"
    );
    for (toml, expected) in [
        ("", "alerts: the log\n"),
        (
            &everywhere,
            "alerts: the log; alertmanager at http://127.0.0.1:9093; slack at a channel whose URL is the secret; \
             webhook at https://a.example/x?key=****, signed\n",
        ),
    ] {
        let answer = Place::with(toml).jitgate(&["config", "check"], &[]);
        assert!(answer.out.contains(expected), "{}", answer.out);
    }
    let answer = Place::with(&everywhere).jitgate(&["config", "check", "--json"], &[]);
    let report: Value = serde_json::from_str(&answer.out).expect("JSON");
    assert_eq!(
        report["alerts"][1],
        json!({"sink": "alertmanager", "to": "http://127.0.0.1:9093"})
    );
    assert!(!answer.out.contains(SECRET));
}

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
        format!("[[repositories]]\nfull_name = 'https://me:{SECRET}@github.com/o/r'\n"),
        format!("[store]\nurl = 'mysql://me:{SECRET}@db'\n"),
        format!("[store]\nurl = 'redis://me:pass@{SECRET}@'\n"),
        format!("[store]\nurl = 'redis:me:{SECRET}@db'\n"),
        format!("[store]\nurl = 'redis//:{SECRET}@db'\n"),
        format!("[store]\nurl = 'rediss:/{SECRET}/db'\n"),
        format!("[store]\nurl = 'reddis:{SECRET}'\n"),
        format!("[store]\nurl = '{SECRET}'\n"),
        format!("[store]\nurl = 'sqlite::memory:?password={SECRET}'\n"),
        format!("[github]\napi_url = 'me:{SECRET}@ghes/api/v3'\n"),
        format!("[github]\napi_url = 'https:/{SECRET}@ghes'\n"),
        format!("[github]\nweb_url = 'ghp_{SECRET}'\n"),
        format!("[alerts]\nalertmanager_url = '{SECRET}'\n"),
        format!("[alerts]\nwebhook_url = 'me:{SECRET}@a'\nwebhook_secret = '{SECRET}'\n"),
        format!("[telemetry]\notlp_endpoint = 'otlp:{SECRET}@a'\n"),
        format!("[telemetry]\nlog = 'ghp_{SECRET}'\n"),
        format!("[server]\nlisten = 'redis://me:{SECRET}@db'\n"),
        format!("[runners]\nname_prefix = 'me:{SECRET}@x'\n"),
        format!("[local]\nuser = 'me:{SECRET}@x'\n"),
        format!("[server]\nadmin_hosts = ['https://me:{SECRET}@x']\n"),
        format!("[[repositories]]\nfull_name = 'o/r'\nvariable = 'ghp_{SECRET}'\n"),
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

/// Runs `jitgate config check` as user 1000 of group 2000, as a pod with `runAsUser` and `fsGroup` does; needs root.
fn checked_in_a_pod(place: &Place) -> (bool, String) {
    for path in ["", "jitgate.toml"] {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let output = Command::new("setpriv")
        .args([
            "--reuid=1000",
            "--regid=2000",
            "--clear-groups",
            "./jitgate",
            "config",
            "check",
        ])
        .env_clear()
        .current_dir(place.path(""))
        .output()
        .expect("setpriv, of the Debian package util-linux");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_secret_that_kubernetes_mounts_for_our_group_is_taken() {
    let place = Place::with("");
    let toml = format!("[webhook]\nsecret_files = ['{}']", place.path("secret").display());
    place.file("jitgate.toml", &toml, 0o600);
    // In a directory that every user can reach.
    fs::copy(env!("CARGO_BIN_EXE_jitgate"), place.path("jitgate")).expect("a copy");
    for (mode, owner, group, taken) in [
        (0o440, 0, 2000, true),
        (0o640, 0, 2000, true),
        (0o400, 1000, 2000, true),
        (0o444, 0, 2000, false),
        (0o644, 0, 2000, false),
        (0o460, 0, 2000, false),
        (0o450, 0, 2000, false),
        // Of a group of ours, and of an account that is neither root nor we.
        (0o440, 3000, 2000, false),
        // Ours, so we could have closed it.
        (0o440, 1000, 2000, false),
    ] {
        let path = place.file("secret", SECRET, mode);
        if chown(&path, Some(owner), Some(group)).is_err() {
            // Only root can make these files; without, the rules for our own files are all that is left to test.
            return;
        }
        let (is_taken, said) = checked_in_a_pod(&place);
        assert_eq!(is_taken, taken, "mode {mode:o} of {owner}:{group}: {said}");
        assert!(taken || said.contains("defaultMode: 0440"), "{said}");
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
    assert_eq!((app_id.as_str(), installation_id), ("1", None));
    assert_eq!(private_key.expose_secret(), pem.trim_end());

    refused(&place.file("open/app.pem", &pem, 0o644), "chmod 600");
    refused(
        &place.file("text/app.pem", "no key", 0o600),
        "does not contain an RSA private key",
    );
    let hollow = "-----BEGIN RSA PRIVATE KEY-----\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n";
    refused(
        &place.file("hollow/app.pem", hollow, 0o600),
        "does not contain an RSA private key",
    );

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

#[test]
fn a_client_id_names_the_app_as_well_as_a_number() {
    let place = Place::with("");
    let key = place.file("app.pem", &private_key(), 0o600);
    let of = |config: &jitgate::config::Config| match &config.github.credentials {
        Credentials::App { app_id, .. } => app_id.clone(),
        other => panic!("{other:?}"),
    };
    for (written, id) in [
        ("123456", "123456"),
        ("'123456'", "123456"),
        ("'Iv23liEXAMPLE0123456'", "Iv23liEXAMPLE0123456"),
        ("'Iv1.8a61f9b3a7aba766'", "Iv1.8a61f9b3a7aba766"),
    ] {
        let toml = format!("[github]\napp_id = {written}\nprivate_key_file = '{}'", key.display());
        assert_eq!(of(&load(&toml).expect("an app").config), id, "{written}");
        let env = [
            ("JITGATE__GITHUB__APP_ID", written.trim_matches('\'')),
            ("JITGATE__GITHUB__PRIVATE_KEY_FILE", key.to_str().expect("text")),
        ];
        assert_eq!(
            of(&load_env(&env).expect("an app").config),
            id,
            "{written} in the environment"
        );
    }
    for wrong in [
        "0",
        "'0'",
        "-1",
        "1.5",
        "true",
        "''",
        "'my app'",
        "'https://github.com/apps/x'",
    ] {
        let toml = format!("[github]\napp_id = {wrong}\nprivate_key_file = '{}'", key.display());
        let keys: Vec<String> = problems(&toml).into_iter().map(|problem| problem.key).collect();
        assert!(keys.contains(&"github.app_id".to_owned()), "{wrong}: {keys:?}");
    }
}

#[test]
fn a_secret_with_invisible_characters_is_a_warning() {
    let unseen = [
        ("\n\n", "more than one line end"),
        ("\r\n\n", "more than one line end"),
        (" \n", "a blank at an end"),
        ("\u{a0}", "a blank at an end"),
        ("\t", "a tab"),
        ("\u{200b}", "a character that is not seen"),
    ];
    let before = [
        (" ", "a blank at an end"),
        ("\n", "more than one line end"),
        ("\u{feff}", "a character that is not seen"),
    ];
    let texts = unseen.map(|(after, what)| (format!("{SECRET}{after}"), what));
    let texts = texts
        .into_iter()
        .chain(before.map(|(before, what)| (format!("{before}{SECRET}"), what)));
    let place = Place::with("");
    let warned = |toml: &str, key: &str, what: &str| {
        let warnings = load(toml).expect(toml).warnings;
        let warning = warnings.iter().find(|warning| warning.key == key);
        let said = warning
            .unwrap_or_else(|| panic!("nothing is said of {key}: {warnings:?}"))
            .to_string();
        assert!(said.contains(what) && !said.contains("hunter2"), "{said}");
        said
    };
    for (text, what) in texts {
        let path = place.file("secret", &text, 0o600);
        let file = path.display();
        for (toml, key) in [
            (format!("[webhook]\nsecret_files = ['{file}']"), "webhook.secret_files"),
            (format!("[github]\ntoken_file = '{file}'"), "github.token_file"),
            (
                format!("[alerts]\nwebhook_url = 'https://a'\nwebhook_secret_file = '{file}'"),
                "alerts.webhook_secret_file",
            ),
        ] {
            let said = warned(&toml, key, what);
            assert!(said.contains(&file.to_string()), "{said}");
        }
        // A value in the configuration ends without a line break.
        let inline = text.trim_end_matches(['\r', '\n']);
        if inline != SECRET {
            let inline = serde_json::to_string(inline).expect("JSON");
            warned(&format!("[webhook]\nsecrets = [{inline}]"), "webhook.secrets", what);
            let alerts = format!("[alerts]\nwebhook_url = 'https://a'\nwebhook_secret = {inline}");
            warned(&alerts, "alerts.webhook_secret", what);
        }
    }
    let in_the_environment = load_env(&[
        ("JITGATE__ALERTS__WEBHOOK_URL", "https://a"),
        ("JITGATE__ALERTS__WEBHOOK_SECRET", &format!("{SECRET} ")),
    ]);
    let warnings = in_the_environment.expect("good").warnings;
    assert!(
        warnings.iter().any(|warning| warning.key == "alerts.webhook_secret"),
        "{warnings:?}"
    );
    for good in [
        SECRET.to_owned(),
        format!("{SECRET}\n"),
        format!("{SECRET}\r\n"),
        "a pass phrase of several words".to_owned(),
    ] {
        let path = place.file("secret", &good, 0o600);
        let loaded = load(&format!("[webhook]\nsecret_files = ['{}']", path.display())).expect("good");
        assert_eq!(loaded.warnings, [], "{good:?}");
    }
}
