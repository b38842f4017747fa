//! Displays settings without their secrets.

use super::node::Node;
use serde_json::Value;

/// The replacement for a secret.
pub(super) const MASK: &str = "****";

/// Returns a setting as one line of JSON with masked secrets, including passwords in URLs.
pub(super) fn shown(value: &Value, node: Node<'_>) -> String {
    match value {
        Value::Array(list) if node.is_secret() => Value::from(vec![MASK; list.len()]).to_string(),
        _ if node.is_secret() => Value::from(MASK).to_string(),
        Value::String(text) if node.is_url() => Value::from(masked_url(text)).to_string(),
        Value::String(text) => Value::from(masked(text)).to_string(),
        // Each element is masked separately, because one of them can be a misplaced secret.
        Value::Array(list) if list.iter().all(Value::is_string) => {
            let shown = list.iter().filter_map(Value::as_str).map(masked);
            Value::from(shown.collect::<Vec<_>>()).to_string()
        }
        other => other.to_string(),
    }
}

/// Returns a URL without its secret parts: user information, values of the query, fragment. A malformed URL can have
/// its password anywhere and is not shown. Other text is unchanged, unless it looks like a key, a token or a user with
/// a password.
pub(super) fn masked(text: &str) -> String {
    let text = text.trim();
    let is_token = ["ghp_", "ghs_", "gho_", "ghu_", "ghr_", "github_pat_"]
        .iter()
        .any(|prefix| text.contains(prefix));
    if is_token || text.contains("-----BEGIN") {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let has_user = text.split_once('@').is_some_and(|(user, _)| user.contains(':'));
        return if has_user { MASK.to_owned() } else { without_query(text) };
    };
    let is_scheme = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => (format!("{MASK}@"), rest),
        None => (String::new(), rest),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !is_scheme || !authority.split(',').all(is_place) {
        return MASK.to_owned();
    }
    format!("{scheme}://{user}{}", without_query(rest))
}

/// Masks the value of a URL setting. A text that does not start like a supported URL is not shown.
fn masked_url(text: &str) -> String {
    let (text, is_url) = (text.trim(), text.contains("://"));
    let is_plain = text == "memory:" || text.starts_with("sqlite:") || text.starts_with("unix:");
    if is_url || is_plain {
        masked(text)
    } else {
        MASK.to_owned()
    }
}

/// Returns true for `HOST`, `HOST:PORT`, or an empty text, as before the path of a socket.
fn is_place(place: &str) -> bool {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (place, ""),
    };
    let is_address = host.starts_with('[') && host.ends_with(']');
    let is_name = host.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    let has_place = !host.is_empty() || port.is_empty();
    has_place && (is_address || is_name) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn without_query(text: &str) -> String {
    let text = text.split_once('#').map_or(text, |(text, _)| text);
    let Some((place, query)) = text.split_once('?') else {
        return text.to_owned();
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    });
    format!("{place}?{}", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_what_can_be_secret() {
        for (url, shown) in [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://:hunter2@db:6379", "redis://****@db:6379"),
            ("redis://user:p@ss?w@db", "redis://****@db"),
            (
                "redis+unix:///run/redis.sock?db=0&pass=hunter2",
                "redis+unix:///run/redis.sock?db=****&pass=****",
            ),
            ("sqlite:./jitgate.db", "sqlite:./jitgate.db"),
            ("ghp_0123456789", "****"),
            ("redis://user:hunter2/db", "****"),
            ("redis://:hunter2#1:6379", "****"),
            ("redis:me:hunter2@db", "****"),
            ("redis//me:hunter2@db", "****"),
            ("re dis://me:hunter2@db", "****"),
            ("https://db/x#hunter2", "https://db/x"),
            ("redis+cluster://:hunter2@a:1,b:2", "redis+cluster://****@a:1,b:2"),
            ("redis://[::1]:6379", "redis://[::1]:6379"),
            ("@octo-org/ci", "@octo-org/ci"),
            ("[::]:8080", "[::]:8080"),
        ] {
            assert_eq!(masked(url), shown, "{url}");
        }
        for url in ["redis:hunter2", "redis:/hunter2@db", "hunter2", "mysql:hunter2/db"] {
            assert_eq!(masked_url(url), MASK, "{url}");
        }
        assert_eq!(masked_url("sqlite:./jitgate.db"), "sqlite:./jitgate.db");
        assert_eq!(masked_url("memory:"), "memory:");
    }
}
