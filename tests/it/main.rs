//! The integration tests: one binary, one module a subject, real repositories and real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod env;
mod git_landed;
mod git_publish;
mod git_replay;
mod git_repo;
mod git_snapshot;
mod git_worktree;
