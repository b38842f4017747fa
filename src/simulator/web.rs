//! The pages of GitHub's web interface through which a person creates an App from a manifest.

use super::call::{Reply, Request};
use super::simulation::Simulation;
use actix_web::web;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The person who is signed in.
const PERSON: &str = "operator";
const CREATE: &str = "/settings/apps/create";

impl Simulation {
    /// Serves a page; none for a path that is not one.
    pub(super) fn page(&mut self, request: &Request) -> Option<Reply> {
        let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["settings", "apps", "new"]) => Some(confirmation(request, PERSON)),
            ("POST", ["organizations", organization, "settings", "apps", "new"]) => {
                Some(confirmation(request, organization))
            }
            ("POST", ["settings", "apps", "create"]) => Some(self.create_app(request)),
            ("GET", ["apps", slug, "installations", "new"]) => {
                Some(page(200, &format!("<h1>Install {}</h1>", escaped(slug))))
            }
            _ => None,
        }
    }

    fn create_app(&mut self, request: &Request) -> Reply {
        let fields = fields(&request.body);
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let manifest: Value = serde_json::from_str(field("manifest")).unwrap_or_default();
        match self.apps.create(field("name"), field("owner"), &manifest) {
            Ok(code) => {
                let back = manifest["redirect_url"].as_str().unwrap_or_default();
                Reply::empty(302).header(
                    "location",
                    format!("{back}?code={code}&state={}", encoded(field("state"))),
                )
            }
            Err(problem) => page(422, &format!("<h1>{}</h1>", escaped(&problem))),
        }
    }
}

/// Shows the manifest; its name can be changed, as on GitHub's page.
fn confirmation(request: &Request, owner: &str) -> Reply {
    let fields = fields(&request.body);
    let text = fields.get("manifest").map(String::as_str).unwrap_or_default();
    let state = request.query.get("state").map(String::as_str).unwrap_or_default();
    let Ok(manifest) = serde_json::from_str::<Value>(text) else {
        return page(422, "<h1>Invalid GitHub App manifest</h1>");
    };
    if manifest["redirect_url"].as_str().is_none_or(str::is_empty) {
        return page(
            422,
            "<h1>Invalid GitHub App configuration: redirect_url is missing</h1>",
        );
    }
    let name = manifest["name"].as_str().unwrap_or_default();
    page(
        200,
        &format!(
            "<h1>Create GitHub App for {0}</h1><form method=\"post\" action=\"{CREATE}\">\
             <label>GitHub App name <input name=\"name\" value=\"{1}\"></label>\
             <input type=\"hidden\" name=\"owner\" value=\"{0}\">\
             <input type=\"hidden\" name=\"state\" value=\"{2}\">\
             <input type=\"hidden\" name=\"manifest\" value=\"{3}\">\
             <p><button id=\"create\">Create GitHub App for {0}</button></p></form>",
            escaped(owner),
            escaped(name),
            escaped(state),
            escaped(text)
        ),
    )
}

fn page(status: u16, body: &str) -> Reply {
    let html = format!("<!DOCTYPE html><html lang=\"en\"><title>Simulated GitHub</title><body>{body}</body></html>");
    Reply {
        status,
        body: Some(html.into_bytes()),
        ..Reply::default()
    }
    .header("content-type", "text/html; charset=utf-8")
}

/// Returns the fields of a form.
fn fields(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    web::Query::from_query(&text)
        .map(web::Query::into_inner)
        .unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Percent-encodes everything except unreserved characters.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(out, "%{byte:02X}").ok();
        }
        out
    })
}
