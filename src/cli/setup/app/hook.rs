//! The webhook of an App: its address and the form of its deliveries.

use crate::ports::GitHubApp;
use crate::ports::github_app::{AppFailure, AppHook};
use secrecy::SecretString;

/// jitgate accepts deliveries in this form only.
const JSON: &str = "json";

/// The step that a webhook needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HookStep {
    /// The webhook is as it should be.
    Nothing,
    Set(AppHook),
}

/// Returns the step from the webhook that GitHub shows to the requested one.
pub(super) fn plan(shown: &AppHook, requested: Option<&str>, has_secret: bool) -> HookStep {
    let Some(url) = requested.or(Some(shown.url.as_str()).filter(|url| !url.is_empty())) else {
        return HookStep::Nothing;
    };
    if shown.url == url && shown.content_type == JSON && has_secret {
        return HookStep::Nothing;
    }
    HookStep::Set(AppHook {
        url: url.to_owned(),
        content_type: JSON.to_owned(),
    })
}

/// Takes the step.
pub(super) async fn take(github: &dyn GitHubApp, step: &HookStep, secret: &SecretString) -> Result<(), AppFailure> {
    match step {
        HookStep::Nothing => Ok(()),
        HookStep::Set(hook) => github.set_hook(hook, Some(secret)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str, content_type: &str) -> AppHook {
        AppHook {
            url: url.to_owned(),
            content_type: content_type.to_owned(),
        }
    }

    #[test]
    fn each_difference_is_corrected_once() {
        let set = |url| HookStep::Set(hook(url, "json"));
        for (shown, requested, has_secret, step) in [
            (hook("https://a", "json"), Some("https://a"), true, HookStep::Nothing),
            (hook("https://a", "json"), None, true, HookStep::Nothing),
            (hook("https://a", "form"), None, true, set("https://a")),
            (hook("https://a", "json"), Some("https://b"), true, set("https://b")),
            (hook("https://a", "json"), Some("https://a"), false, set("https://a")),
            (hook("", ""), None, false, HookStep::Nothing),
            (hook("", ""), Some("https://b"), true, set("https://b")),
        ] {
            assert_eq!(
                plan(&shown, requested, has_secret),
                step,
                "{shown:?} {requested:?} {has_secret}"
            );
        }
    }
}
