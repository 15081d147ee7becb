//! Landing, through the real program: what lands, what does not, and what is left after a kill.

mod batch;
mod checks;
mod clean;
mod crash;
pub mod field;
mod processes;
mod publish;
pub mod resolve;
mod resolve_life;
mod review;
mod setbacks;
