//! Virtual machines: a real image, made by mmdebstrap from Debian, and real guests.
#![cfg(test)]

mod built;
mod image;
mod plain;
