//! Values and rules: what a task is, which states it can be in, what the journal may say.
//!
//! Invariant: pure. No I/O, no clock, no process, no other room; [`parallel`] alone starts threads, and waits for them.
//! Everything here can be tested with plain values, and every other room speaks in these types.

pub mod account;
pub mod adapter;
pub mod agent_event;
pub mod breaker;
pub mod budget;
pub mod clock;
pub mod conflict;
pub mod duration;
pub mod event;
pub mod happening;
pub mod holder;
pub mod line;
pub mod name;
pub mod observer;
pub mod pace;
pub mod parallel;
pub mod roster;
pub mod settings;
pub mod state;
pub mod task;
pub mod text;
pub mod usage;
pub mod verdict;
pub mod view;

pub use clock::Clock;
pub use event::{Event, Record};
pub use holder::Holder;
pub use name::{TaskId, TaskName};
pub use roster::Roster;
pub use settings::Settings;
pub use state::State;
pub use task::{Oid, Task, TaskSpec, Workspace};
pub use usage::Usage;
