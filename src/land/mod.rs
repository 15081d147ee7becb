//! Landing.

pub mod queue;
