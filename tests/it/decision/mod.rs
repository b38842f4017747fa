//! The decisions of jitgate, seen through `jitgate::domain` alone: events and facts go in, records come out.
//!
//! `table` holds the routing table, `reasons` the codes and alerts, `labels` the classes, `outsiders` what people without
//! any rights have tried, `repository` who only bears our name, `questions` what is asked of GitHub, `route` the same rule
//! as workflows have it, and `properties` what holds for any facts whatever.

mod arbitrary;
mod labels;
mod outsiders;
mod properties;
mod questions;
mod reasons;
mod repository;
mod route;
mod table;
