//! The Apps that were created from manifests, with real keys: the signatures of their JWTs are checked.
//!
//! Any other JWT belongs to the App that every world has.

use super::access::INSTALLED;
use super::call::{Refused, Request};
use super::world::AppChange;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The id of the App of every world.
pub(super) const FIRST_APP: u64 = 1;
const PEM_LINE: usize = 64;

/// The webhook of an App.
#[derive(Default)]
pub(super) struct Hook {
    pub(super) url: Option<String>,
    pub(super) content_type: String,
    pub(super) accepts_any_certificate: bool,
    pub(super) secret: Option<String>,
}

/// The App that every world has, and its installation for each owner.
pub(super) struct FirstApp {
    /// Levels by permission.
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
    /// The permissions that the owners have accepted.
    pub(super) installed: BTreeMap<String, String>,
    pub(super) is_suspended: bool,
    hook: Hook,
}

impl Default for FirstApp {
    fn default() -> Self {
        let level = |(name, level): (&str, super::access::Level)| (name.to_owned(), level.as_str().to_owned());
        let permissions: BTreeMap<_, _> = INSTALLED.into_iter().map(level).collect();
        Self {
            installed: permissions.clone(),
            permissions,
            events: vec!["workflow_job".to_owned()],
            is_suspended: false,
            hook: Hook::default(),
        }
    }
}

pub(super) struct CreatedApp {
    pub(super) id: u64,
    pub(super) client_id: String,
    pub(super) name: String,
    pub(super) slug: String,
    /// The login of the owner.
    pub(super) owner: String,
    pub(super) permissions: Value,
    pub(super) events: Value,
    pub(super) home: String,
    pub(super) hook: Hook,
    pub(super) private_key: String,
    public_key: Vec<u8>,
    /// The code that buys the credentials, once.
    code: Option<String>,
}

#[derive(Default)]
pub(super) struct Apps {
    created: Vec<CreatedApp>,
    pub(super) first: FirstApp,
}

impl Apps {
    /// Changes the App that every world has.
    pub(super) fn change(&mut self, change: AppChange) {
        let first = &mut self.first;
        if let Some(webhook) = change.webhook {
            first.hook.url = webhook.url.or(first.hook.url.take());
            first.hook.content_type = webhook.content_type.unwrap_or_default();
            first.hook.accepts_any_certificate = webhook.insecure_ssl.unwrap_or_default();
        }
        first.permissions = change.permissions.unwrap_or_else(|| first.permissions.clone());
        first.events = change.events.unwrap_or_else(|| first.events.clone());
        first.installed = change.installed_permissions.unwrap_or_else(|| first.installed.clone());
        first.is_suspended = change.suspended.unwrap_or(first.is_suspended);
    }

    /// Creates an App from a manifest and returns its code.
    ///
    /// # Errors
    /// With GitHub's words about an invalid manifest.
    pub(super) fn create(&mut self, name: &str, owner: &str, manifest: &Value) -> Result<String, String> {
        let text = |key: &str| manifest[key].as_str().filter(|text| !text.is_empty());
        let home = text("url").ok_or("Url can't be blank")?;
        if name.is_empty() || name.chars().count() > 34 {
            return Err("Name must have 1 to 34 characters".to_owned());
        }
        let slug = name
            .to_ascii_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        if self.created.iter().any(|app| app.slug == slug) {
            return Err("Name is already taken".to_owned());
        }
        let hook_url = manifest["hook_attributes"]["url"].as_str().map(str::to_owned);
        if hook_url.is_none()
            && manifest["default_events"]
                .as_array()
                .is_some_and(|events| !events.is_empty())
        {
            return Err("Hook url cannot be blank".to_owned());
        }
        let id = FIRST_APP + 1 + self.created.len() as u64;
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| "no key")?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| "no key")?;
        let code = word("code", id);
        self.created.push(CreatedApp {
            id,
            client_id: format!("Iv23li{id:014}"),
            name: name.to_owned(),
            slug,
            owner: owner.to_owned(),
            permissions: manifest["default_permissions"].clone(),
            events: manifest["default_events"].clone(),
            home: home.to_owned(),
            hook: Hook {
                secret: hook_url.is_some().then(|| word("webhook", id)),
                url: hook_url,
                content_type: "json".to_owned(),
                accepts_any_certificate: false,
            },
            private_key: pem(der.as_ref()),
            public_key: pair.public_key().as_ref().to_vec(),
            code: Some(code.clone()),
        });
        Ok(code)
    }

    /// Returns the App of a code, which is then used up.
    pub(super) fn convert(&mut self, code: &str) -> Option<&CreatedApp> {
        let app = self.created.iter_mut().find(|app| app.code.as_deref() == Some(code))?;
        app.code = None;
        Some(app)
    }

    /// Returns the App that a request comes from; none for the App of every world.
    pub(super) fn caller(&self, request: &Request) -> Option<&CreatedApp> {
        let issuer = issuer(request.credential()?)?;
        self.created
            .iter()
            .find(|app| app.client_id == issuer || app.id.to_string() == issuer)
    }

    /// Returns the webhook of the App that a request comes from.
    pub(super) fn hook(&mut self, request: &Request) -> &mut Hook {
        let id = self.caller(request).map(|app| app.id);
        let app = self.created.iter_mut().find(|app| Some(app.id) == id);
        match app {
            Some(app) => &mut app.hook,
            None => &mut self.first.hook,
        }
    }

    /// Checks the signature of a JWT, if its App has a known key.
    pub(super) fn check(&self, request: &Request) -> Result<(), Refused> {
        let (Some(app), Some(token)) = (self.caller(request), request.credential()) else {
            return Ok(());
        };
        let signature = token
            .rsplit_once('.')
            .and_then(|(signed, signature)| Some((signed, URL_SAFE_NO_PAD.decode(signature).ok()?)));
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &app.public_key);
        let is_valid = signature.is_some_and(|(signed, signature)| key.verify(signed.as_bytes(), &signature).is_ok());
        if is_valid {
            Ok(())
        } else {
            Err(Refused::new(401, "A JSON web token could not be decoded"))
        }
    }
}

/// Returns the `iss` of a JWT as text.
fn issuer(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    match &claims["iss"] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns a word that looks random and is the same in each run.
fn word(purpose: &str, id: u64) -> String {
    let digest = hex::encode(Sha256::digest(format!("{purpose} of simulated app {id}")));
    digest.get(..40).unwrap_or(&digest).to_owned()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(PEM_LINE).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    )
}
