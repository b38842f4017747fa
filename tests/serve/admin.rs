//! The admin API: who may ask, and what it answers.
