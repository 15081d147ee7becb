//! One binary for every test that needs a repository, a process or the program itself.

mod agent_verdict;
mod config;
mod architecture;
mod env;
mod fake_agent;
mod fake_api;
mod journal;
mod real_claude;
mod git_replay;
mod git_repo;
mod git_worktree;
