//! One binary for every test that needs a repository, a process or the program itself.

mod architecture;
mod journal;
