//! The integration tests: one binary, one module a subject, real repositories and real processes.

mod env;
mod git_landed;
mod git_publish;
mod git_replay;
mod git_repo;
mod git_snapshot;
mod git_worktree;
