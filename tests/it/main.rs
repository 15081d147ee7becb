//! Adapters and engines against real repositories and real processes.

mod agent_verdict;
mod config;
