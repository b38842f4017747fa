//! Configuration as an operator meets it: the real binary in a directory of its own, and `config::load` where a table of
//! mistakes says it shorter.

mod command_line;
mod defaults;
mod mistakes;
pub(crate) mod place;
mod secrets;
mod sources;
