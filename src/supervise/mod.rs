//! Running tasks: who starts when, one attempt from start to end, and what follows it.
//!
//! There is no coordinator: a short *pass* under a lock starts what is ready, run by every command and by every runner
//! that ends. Invariant: a task is run by who holds its lock; slots are held locks; state is the fold of the journal.

mod account;
pub mod attach;
mod budgeting;
pub mod by_hand;
mod calling;
mod ending;
pub mod enqueue;
pub mod foresight;
pub mod governor;
pub mod headroom;
mod iterating;
mod iteration;
pub mod judge;
mod limit;
pub mod meter;
pub mod order;
pub mod pass;
pub mod prd;
pub mod prompt;
pub mod ralph;
mod reach;
pub mod recovery;
pub mod resuming;
pub mod runner;
pub mod schedule;
pub mod settle;
pub mod setup;
mod siblings;

pub use iteration::TEMPLATE_NAME as ITERATION_TEMPLATE;
