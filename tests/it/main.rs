//! The integration tests, in one program.

mod fake_agent;
