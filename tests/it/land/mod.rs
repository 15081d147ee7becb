//! Landing, through the real program: what lands, what does not, and what is left after a kill.

mod checks;
mod clean;
mod crash;
mod field;
mod publish;
mod resolve;
mod resolve_life;
mod review;
mod setbacks;
