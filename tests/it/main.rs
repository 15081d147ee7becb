//! One binary for every test that needs a repository, a process or the program itself.

mod architecture;
mod journal;
//! Adapters and engines against real repositories and real processes.

mod agent_verdict;
