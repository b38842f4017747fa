//! Showing settings without giving secrets away.

use super::schema::Node;
use serde_json::Value;

/// What stands for a secret.
pub(super) const MASK: &str = "****";

/// A setting as one line of JSON: secrets masked, passwords in URLs too.
pub(super) fn shown(value: &Value, node: Node<'_>) -> String {
    match value {
        Value::Array(list) if node.is_secret() => Value::from(vec![MASK; list.len()]).to_string(),
        _ if node.is_secret() => Value::from(MASK).to_string(),
        Value::String(text) => Value::from(masked(text)).to_string(),
        other => other.to_string(),
    }
}

/// A URL without the parts that can be secret: user information and the values of the query. Other text is left alone,
/// unless it looks like a key or a token itself, put where its file should have been named.
pub(super) fn masked(text: &str) -> String {
    let is_token = ["ghp_", "ghs_", "gho_", "ghu_", "ghr_", "github_pat_"]
        .iter()
        .any(|prefix| text.starts_with(prefix));
    if is_token || text.contains("-----BEGIN") {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => (format!("{MASK}@"), rest),
        None => (String::new(), rest),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let query = query.map_or_else(String::new, |query| {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={MASK}"),
            None => MASK.to_owned(),
        });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{user}{place}{query}")
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
        ] {
            assert_eq!(masked(url), shown, "{url}");
        }
    }
}
