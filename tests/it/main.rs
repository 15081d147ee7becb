//! The integration tests, in one program.

mod fake_agent;
mod fake_api;
mod real_claude;
