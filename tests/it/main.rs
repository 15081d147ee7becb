//! One binary for every test that needs a repository, a process or the program itself.

mod agent_verdict;
mod architecture;
mod env;
mod fake_agent;
mod journal;
//! The integration tests: one binary, one module a subject, real repositories and real processes.

mod env;
mod fake_api;
mod real_claude;
