//! The calls of an App about itself, with its JWT, and the creation of an App.

use super::adapter::GitHubAdapter;
use super::client::{Answer, Bearer};
use super::request::{Request, encoded, under};
use crate::ports::github::Purpose;
use crate::ports::github_app::{
    AppFailure, AppHook, AppIdentity, AppManifests, GitHubApp, Installation, InstallationToken, InstalledOn, NewApp,
    TokenRequest,
};
use crate::ports::{Clock, Failure};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Named {
    login: Option<String>,
    /// An enterprise has no login.
    slug: Option<String>,
}

impl Named {
    fn into_name(self) -> String {
        self.login.or(self.slug).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct ShownApp {
    id: u64,
    client_id: Option<String>,
    slug: Option<String>,
    name: Option<String>,
    owner: Option<Named>,
    html_url: Option<String>,
    #[serde(default)]
    permissions: BTreeMap<String, Value>,
    #[serde(default)]
    events: Vec<String>,
}

#[derive(Deserialize)]
struct ShownInstallation {
    id: u64,
    account: Option<Named>,
    #[serde(default)]
    permissions: BTreeMap<String, Value>,
    suspended_at: Option<String>,
}

#[derive(Deserialize)]
struct MintedToken {
    token: String,
    expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct ShownHook {
    url: Option<String>,
    content_type: Option<String>,
}

#[derive(Deserialize)]
struct Converted {
    #[serde(flatten)]
    app: ShownApp,
    pem: String,
    webhook_secret: Option<String>,
}

/// Returns the permissions whose level is a word.
fn levels(permissions: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let level = |(name, level): (String, Value)| Some((name, level.as_str()?.to_owned()));
    permissions.into_iter().filter_map(level).collect()
}

fn refused(answer: &Answer, clock: &dyn Clock) -> AppFailure {
    AppFailure::Refused {
        status: answer.status.as_u16(),
        detail: answer.to_string(),
        skew: answer.date.map(|date| clock.now() - date),
    }
}

impl GitHubAdapter {
    /// Sends a request with the JWT of the App. A 401 is an answer here.
    async fn ask_by_jwt(&self, request: &Request) -> Result<Answer, AppFailure> {
        Ok(self.client.send(request, &self.tokens().of_the_app()?).await?)
    }

    fn expect(&self, answer: Answer, status: StatusCode) -> Result<Answer, AppFailure> {
        if answer.status == status {
            Ok(answer)
        } else {
            Err(refused(&answer, self.client.clock.as_ref()))
        }
    }
}

#[async_trait]
impl GitHubApp for GitHubAdapter {
    async fn identity(&self) -> Result<AppIdentity, AppFailure> {
        let request = Request::get("app", "/app".to_owned(), Purpose::Admit);
        let answer = self.expect(self.ask_by_jwt(&request).await?, StatusCode::OK)?;
        let shown: ShownApp = answer.read()?;
        Ok(AppIdentity {
            id: shown.id,
            client_id: shown.client_id,
            slug: shown.slug.or(shown.name).unwrap_or_default(),
            owner: shown.owner.map(Named::into_name).unwrap_or_default(),
            html_url: shown.html_url.unwrap_or_default(),
            permissions: levels(shown.permissions),
            events: shown.events,
            skew: answer.date.map(|date| self.client.clock.now() - date),
        })
    }

    async fn installation(&self, on: &InstalledOn) -> Result<Option<Installation>, AppFailure> {
        let (endpoint, path) = match on {
            InstalledOn::Repository(name) => ("installation", under(name, "installation")),
            InstalledOn::Organization(login) => (
                "organization_installation",
                format!("/orgs/{}/installation", encoded(login)),
            ),
            InstalledOn::User(login) => ("user_installation", format!("/users/{}/installation", encoded(login))),
            InstalledOn::Installation(id) => ("installation_by_id", format!("/app/installations/{id}")),
        };
        let answer = self.ask_by_jwt(&Request::get(endpoint, path, Purpose::Admit)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let shown: ShownInstallation = self.expect(answer, StatusCode::OK)?.read()?;
        Ok(Some(Installation {
            id: shown.id,
            account: shown.account.map(Named::into_name).unwrap_or_default(),
            permissions: levels(shown.permissions),
            is_suspended: shown.suspended_at.is_some(),
        }))
    }

    async fn installation_token(&self, request: &TokenRequest) -> Result<InstallationToken, AppFailure> {
        let mut body = json!({});
        if !request.repositories.is_empty() {
            body["repositories"] = json!(request.repositories);
        }
        if !request.permissions.is_empty() {
            body["permissions"] = json!(request.permissions);
        }
        let path = format!("/app/installations/{}/access_tokens", request.installation);
        let request = Request::change("access_token", Method::POST, path, Some(body));
        let answer = self.expect(self.ask_by_jwt(&request).await?, StatusCode::CREATED)?;
        let minted: MintedToken = answer.read()?;
        Ok(InstallationToken {
            token: SecretString::from(minted.token),
            expires_at: minted.expires_at,
        })
    }

    async fn hook(&self) -> Result<AppHook, AppFailure> {
        let request = Request::get("app_hook", "/app/hook/config".to_owned(), Purpose::Admit);
        let shown: ShownHook = self.expect(self.ask_by_jwt(&request).await?, StatusCode::OK)?.read()?;
        Ok(AppHook {
            url: shown.url.unwrap_or_default(),
            content_type: shown.content_type.unwrap_or_default(),
        })
    }

    async fn set_hook(&self, hook: &AppHook, secret: Option<&SecretString>) -> Result<(), AppFailure> {
        let mut body = json!({"url": hook.url, "content_type": hook.content_type});
        if let Some(secret) = secret {
            body["secret"] = json!(secret.expose_secret());
        }
        let path = "/app/hook/config".to_owned();
        let request = Request::change("set_app_hook", Method::PATCH, path, Some(body));
        self.expect(self.ask_by_jwt(&request).await?, StatusCode::OK).map(drop)
    }
}

#[async_trait]
impl AppManifests for GitHubAdapter {
    async fn convert(&self, code: &SecretString) -> Result<NewApp, AppFailure> {
        // The code is a secret until GitHub has answered, and errors name the path.
        let hidden = |text: String| text.replace(&encoded(code.expose_secret()), "CODE");
        let path = format!("/app-manifests/{}/conversions", encoded(code.expose_secret()));
        let request = Request::change("convert_manifest", Method::POST, path, None);
        let answer = self.client.send(&request, &Bearer::anonymous()).await;
        let answer = answer.map_err(|failure| match failure {
            Failure::Transient(text) => Failure::Transient(hidden(text)),
            Failure::RateLimited { until, detail } => Failure::RateLimited {
                until,
                detail: hidden(detail),
            },
            Failure::Permanent(text) => Failure::Permanent(hidden(text)),
        })?;
        if answer.status != StatusCode::CREATED {
            return Err(AppFailure::Refused {
                status: answer.status.as_u16(),
                detail: hidden(answer.to_string()),
                skew: None,
            });
        }
        let Converted {
            app,
            pem,
            webhook_secret,
        } = answer.read()?;
        Ok(NewApp {
            id: app.id,
            client_id: app.client_id,
            slug: app.slug.or(app.name).unwrap_or_default(),
            owner: app.owner.map(Named::into_name).unwrap_or_default(),
            html_url: app.html_url.unwrap_or_default(),
            private_key: SecretString::from(pem),
            webhook_secret: webhook_secret
                .filter(|secret| !secret.is_empty())
                .map(SecretString::from),
        })
    }
}
