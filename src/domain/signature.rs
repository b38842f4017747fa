//! The `X-Hub-Signature-256` header: HMAC-SHA256 over the raw body, compared in constant time before the body is
//! parsed.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The only accepted scheme. SHA-1 signatures are ignored.
const SCHEME: &str = "sha256=";

/// Returns the position of the secret that signed `body` (0 is the current one). It always tries every secret.
#[must_use]
pub fn signed_by(secrets: &[SecretString], header: &str, body: &[u8]) -> Option<usize> {
    let claimed = hex::decode(header.strip_prefix(SCHEME)?).ok()?;
    let mut position = None;
    for (at, secret) in secrets.iter().enumerate().rev() {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
        mac.update(body);
        if mac.verify_slice(&claimed).is_ok() {
            position = Some(at);
        }
    }
    position
}

/// Returns the header value that GitHub would send for `body`.
#[must_use]
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        // HMAC accepts keys of any length, so this branch is unreachable.
        return String::new();
    };
    mac.update(body);
    format!("{SCHEME}{}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUBS_EXAMPLE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    #[test]
    fn githubs_own_test_vector_passes() {
        let secrets = secrets(&["new", "It's a Secret to Everybody"]);
        assert_eq!(signed_by(&secrets, GITHUBS_EXAMPLE, b"Hello, World!"), Some(1));
        assert_eq!(signed_by(&secrets, GITHUBS_EXAMPLE, b"Hello, World?"), None);
        assert_eq!(sign(&secrets[1], b"Hello, World!"), GITHUBS_EXAMPLE);
    }

    #[test]
    fn headers_that_are_no_sha256_signature_fail() {
        let secrets = secrets(&["s"]);
        let good = sign(&secrets[0], b"x");
        let digits = good.trim_start_matches("sha256=");
        for header in [
            "",
            "sha256=",
            digits,
            &format!("sha1={digits}"),
            &format!("sha256={}", &digits[..40]),
            &format!("sha256={digits}00"),
            &format!("sha256={}", digits.replace(|c: char| c.is_ascii_digit(), "z")),
        ] {
            assert_eq!(signed_by(&secrets, header, b"x"), None, "{header:?} passed");
        }
        assert_eq!(signed_by(&[], &good, b"x"), None);
    }
}
