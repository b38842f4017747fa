//! The GitHub adapter against a scripted HTTP server: what goes over the wire, and what comes of each answer.

mod api;
mod credentials;
mod history;
mod limits;
mod wire;
