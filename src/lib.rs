//! `wt`: git worktree workspaces for fleets of coding agents.
//!
//! The rooms follow the life of a task: a *workspace* is made, *supervised*, *landed*, *tidied*, and *observed* all along.
//! Engines stand on adapters (`git`, `process`, `agent`, `store`, `config`), everything stands on `model`; `commands` joins
//! them and `ui` alone prints. `tests/it/architecture.rs` enforces who may import whom.

pub mod agent;
pub mod config;
pub mod error;
pub mod failpoint;
pub mod git;
pub mod land;
pub mod model;
pub mod process;
pub mod store;
pub mod supervise;
pub mod ui;
