//! The place where a task works: worktree, branch, generated files; made with an undo per step, removed restorably.

pub mod create;
