//! Looking at tasks: views folded from the journal, git and live facts. Changes nothing.

pub mod conflicts;
pub mod cost;
pub mod disk;
pub mod look;
pub mod status;
