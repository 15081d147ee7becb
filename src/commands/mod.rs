//! The verbs: one file each, holding its `Args` (whose doc comment is the help) and its `run`: resolve, call an engine,
//! hand the answer to `ui`. What joins engines is composed here.

pub mod context;
pub mod merge;
pub mod roles;
pub mod spawn;
pub mod status;
pub mod trust;
pub mod wait;

pub use context::{Context, Global, Trust};
