//! `wt`: git worktree workspaces for fleets of coding agents.
//!
//! The rooms follow the life of a task: a *workspace* is made, *supervised*, *landed*, *tidied*, and *observed* all along.
//! Engines stand on adapters (`git`, `process`, `agent`, `store`, `config`), everything stands on `model`; `commands` joins
//! them and `ui` alone prints. `tests/it/architecture.rs` enforces who may import whom.

pub mod agent;
mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod failpoint;
pub mod git;
pub mod land;
pub mod model;
pub mod observe;
pub mod process;
pub mod store;
pub mod supervise;
pub mod tidy;
pub mod ui;
pub mod workspace;

use std::process::ExitCode;

/// Runs the program on its arguments and returns its exit code.
pub fn run() -> ExitCode {
    let mut arguments = std::env::args();
    let role = arguments.nth(1).unwrap_or_default();
    // Detached roles come first: they are started often, stay long, and must stay small.
    let code = match role.as_str() {
        process::guard::ROLE => commands::roles::guard(&arguments.collect::<Vec<_>>()),
        supervise::pass::RUNNER => commands::roles::runner(&arguments.collect::<Vec<_>>()),
        supervise::pass::PASS => commands::roles::pass(&arguments.collect::<Vec<_>>()),
        commands::notify::ROLE => commands::notify::role(&arguments.collect::<Vec<_>>()),
        commands::auto::ROLE => commands::auto::role(&arguments.collect::<Vec<_>>()),
        supervise::foresight::ROLE => commands::foresee::role(&arguments.collect::<Vec<_>>()),
        commands::tend::ROLE => commands::tend::role(&arguments.collect::<Vec<_>>()),
        _ => cli::run(),
    };
    ExitCode::from(code)
}
