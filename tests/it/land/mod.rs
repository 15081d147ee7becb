//! Landing, through the real program: what lands, what does not, and what is left after a kill.

mod batch;
mod checks;
mod clean;
mod crash;
pub mod field;
mod messages;
mod publish;
pub mod resolve;
mod resolve_life;
mod review;
mod setbacks;
mod styles;
