//! Landing, through the real program: what lands, what does not, and what is left after a kill.

mod abort;
mod auto;
mod auto_stopped;
mod batch;
mod chain;
mod checks;
mod clean;
mod crash;
pub mod field;
mod green;
mod messages;
mod owned;
mod processes;
mod publish;
mod recorded;
mod remote;
pub mod resolve;
mod resolve_life;
mod review;
mod setbacks;
mod styles;
mod turn;
mod undo;
