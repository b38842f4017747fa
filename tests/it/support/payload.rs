//! Payloads, GUIDs and signatures, made here and not by the code under test.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// `X-Hub-Signature-256` of a body.
pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A GUID of its own for each number.
pub(crate) fn guid(number: usize) -> String {
    format!("72d3162e-cc78-11e3-81ab-{number:012}")
}

/// A `workflow_job` payload with all that has to be in it.
pub(crate) fn job(action: &str, id: u64) -> Value {
    json!({
        "action": action,
        "repository": {"id": 1_296_269, "full_name": "octo-org/chem-model"},
        "workflow_job": {
            "id": id, "run_id": 20, "run_attempt": 1, "name": "web", "status": "queued", "conclusion": null,
            "head_sha": "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00",
            "labels": ["self-hosted", "linux", "x64", "chem-trusted-pr"],
        },
        "sender": {"login": "alice"},
    })
}

/// The same as a body.
pub(crate) fn body(action: &str, id: u64) -> Vec<u8> {
    job(action, id).to_string().into_bytes()
}
