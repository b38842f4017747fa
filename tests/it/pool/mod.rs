//! `jitgate pool`: bounds, supervisor, passes and their lock, through real processes.

mod bounds;
mod lock;
mod passes;
mod records;
mod refusals;
mod stage;
