//! Access control: an App's JWT, and installation tokens with their permissions.
//!
//! The signature of a JWT is not checked, since the simulator holds no key; all its other parts are.

use super::call::{PERSONAL, Refused, Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::BTreeMap;

/// The permissions of the App, which limit the permissions of its tokens.
pub(super) const INSTALLED: [(&str, Level); 7] = [
    ("actions", Level::Write),
    ("actions_variables", Level::Write),
    ("administration", Level::Write),
    ("contents", Level::Read),
    ("metadata", Level::Read),
    ("organization_self_hosted_runners", Level::Write),
    ("pull_requests", Level::Read),
];
const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(1);
const MAX_JWT_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// The tolerated difference between clocks.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Read,
    Write,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Write]
            .into_iter()
            .find(|level| level.as_str() == word)
    }
}

/// The access that an endpoint requires.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    Anyone,
    /// The JWT of the App.
    App,
    Token,
    /// A token with this permission.
    Needs(&'static str, Level),
}

/// The tokens that this simulator issued.
#[derive(Default)]
pub(super) struct Tokens {
    issued: BTreeMap<String, Token>,
}

struct Token {
    expires_at: DateTime<Utc>,
    permissions: BTreeMap<String, Level>,
    /// Lower-case names without owner; none for every repository.
    repositories: Option<Vec<String>>,
}

impl Tokens {
    /// Issues a token and returns it with its expiry.
    pub(super) fn issue(
        &mut self,
        now: DateTime<Utc>,
        permissions: BTreeMap<String, Level>,
        repositories: Option<Vec<String>>,
    ) -> (String, DateTime<Utc>) {
        let text = format!("ghs_{:036}", self.issued.len() + 1);
        let expires_at = now + TOKEN_LIFETIME;
        self.issued.insert(
            text.clone(),
            Token {
                expires_at,
                permissions,
                repositories,
            },
        );
        (text, expires_at)
    }

    /// Checks the credentials of a request. `repository` is the name of the repository that it concerns.
    pub(super) fn admit(
        &self,
        request: &Request,
        access: Access,
        repository: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        if matches!(access, Access::Anyone) {
            return Ok(());
        }
        let Some(credential) = request.credential() else {
            return Err(Refused::new(401, "Requires authentication"));
        };
        if matches!(access, Access::App) {
            return check_jwt(credential, now).map_err(|problem| Refused::new(401, problem));
        }
        if credential.starts_with(PERSONAL) {
            return Ok(());
        }
        let token = self.issued.get(credential).filter(|token| now < token.expires_at);
        let Some(token) = token else {
            return Err(Refused::new(401, "Bad credentials"));
        };
        let covers = |name: &str| match &token.repositories {
            Some(names) => names.contains(&name.to_ascii_lowercase()),
            None => true,
        };
        if !repository.is_none_or(covers) {
            return Err(Refused::not_found());
        }
        match access {
            Access::Needs(permission, level) if token.permissions.get(permission).is_none_or(|had| *had < level) => {
                Err(Refused::new(403, "Resource not accessible by integration"))
            }
            _ => Ok(()),
        }
    }
}

/// Checks all parts of a JWT except its signature.
fn check_jwt(token: &str, now: DateTime<Utc>) -> Result<(), &'static str> {
    const UNDECODABLE: &str = "A JSON web token could not be decoded";
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err(UNDECODABLE);
    };
    let json = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = json(header).ok_or(UNDECODABLE)?;
    let claims = json(claims).ok_or(UNDECODABLE)?;
    if header["alg"] != "RS256" || !URL_SAFE_NO_PAD.decode(signature).is_ok_and(|bytes| bytes.len() >= 256) {
        return Err(UNDECODABLE);
    }
    if !(claims["iss"].is_u64() || claims["iss"].as_str().is_some_and(|iss| !iss.is_empty())) {
        return Err("'Issuer' claim ('iss') must be an Integer");
    }
    let instant = |claim: &str| claims[claim].as_i64().and_then(|s| DateTime::from_timestamp(s, 0));
    let issued = instant("iat").ok_or("Missing 'issued at' claim ('iat') in assertion")?;
    let expires = instant("exp").ok_or("Missing 'expiration' claim ('exp') in assertion")?;
    if issued > now + CLOCK_SKEW {
        return Err("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued");
    }
    if expires <= now {
        return Err(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which \
                    the assertion expires",
        );
    }
    if expires > now + MAX_JWT_LIFETIME {
        return Err("'Expiration time' claim ('exp') is too far in the future");
    }
    Ok(())
}
