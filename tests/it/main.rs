//! Every test that needs no machine of its own, as one program: a folder or file for each theme, and what they share in
//! `support`.
#![cfg(test)]

mod alert_dispatch;
mod api_calls;
mod assignment;
mod base_runners;
mod canary;
mod commands;
mod config;
mod decision;
mod documented;
mod fixtures;
mod github_adapter;
mod github_schemas;
mod guest;
mod incidents;
mod operator_guide;
mod pool;
mod recovery;
mod redis_engine;
mod rollback;
mod runners;
mod serve;
mod simulator;
mod slo;
mod snapshots;
mod store_contract;
mod support;
mod takeover;
mod tools;
