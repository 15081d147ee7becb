//! Starting, watching and ending processes: the detached runner, and the guard that ends an agent's whole tree.
//!
//! ```text
//!  wt spawn ──launch──▶ runner R (own session, subreaper; holds task lock and slot)
//!                          │  socket: orders →, reports ←, end of file = the other side is dead
//!                          ▼
//!                       guard G (own session, subreaper; shares lock and slot)
//!                          ▼
//!                       agent (own group, dies with G) ──▶ whatever it starts
//! ```
//!
//! R dies: G sees the end of file, ends every descendant, then runs a pass. G dies: its descendants re-parent to R, which
//! does the same. Both die in one instant: what is left carries the attempt's token and is swept by the next pass.
//!
//! Invariant: only children that were not reaped yet, or processes pinned by a pidfd, are ever signalled.

pub mod boot;
pub mod brief;
pub mod capture;
pub mod child;
mod footprint;
pub mod guard;
pub mod halt;
pub mod inside;
pub mod launch;
pub mod memory;
pub mod run;
mod spawn;
pub mod sweep;
pub mod terminal;
pub mod tool;
pub mod tree;

pub use child::{End, Sink, Spawn, Watch};
