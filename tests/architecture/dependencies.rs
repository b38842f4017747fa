//! One TLS and crypto stack in the binary: rustls on aws-lc-rs, and HMAC-SHA-256 by hmac and sha2.
//!
//! Asks cargo what is built, not `Cargo.lock`: the lock also names crates that no enabled feature reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Versions of every crate that is built into the binary on this platform, by name.
fn built_in() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut crates = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            crates.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    crates
}

#[test]
fn one_tls_and_crypto_stack_is_built_in() {
    let crates = built_in();
    for name in ["aws-lc-rs", "hmac", "rustls", "sha2"] {
        let versions = crates.get(name).map_or(0, BTreeSet::len);
        assert_eq!(versions, 1, "versions of {name}: {:?}", crates.get(name));
    }
    for name in ["native-tls", "openssl", "openssl-sys", "ring", "rsa"] {
        assert!(
            !crates.contains_key(name),
            "{name} is built in; `cargo tree -i {name}` names the dependent"
        );
    }
}
