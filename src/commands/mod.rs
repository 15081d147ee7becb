//! The verbs: one file each, holding its `Args` (whose doc comment is the help) and its `run`: resolve, call an engine,
//! hand the answer to `ui`. What joins engines is composed here.

pub mod approve;
pub mod attach;
pub mod auto;
pub mod budget;
pub mod completions;
pub mod conflicts;
pub mod context;
pub mod cost;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod done;
pub mod events;
pub mod exec;
pub mod foresee;
pub mod gc;
pub mod hooks;
pub mod logs;
pub mod man;
pub mod merge;
pub mod notify;
pub mod path;
mod question;
pub mod resolve;
pub mod restore;
pub mod resume;
pub mod retry;
pub mod roles;
mod room;
pub mod schema;
mod several;
pub mod spawn;
pub mod status;
pub mod stop;
pub mod tend;
pub mod trust;
pub mod undo;
pub mod wait;

pub use context::{Context, Global, Trust};
