//! What differs between agent CLIs, as data: how one is started, what its output means, what its end comes to.
//!
//! Invariant: a new CLI is a table of settings, never code here. Text of an agent is data: nothing in it can make this
//! room fail, and a good end needs the agent's final event, never its word alone. Only `call` starts a process.

pub mod adapter;
pub mod call;
pub mod facts;
pub mod invocation;
mod line;
pub mod promise;
mod question;
mod rule;
pub mod stream;
pub mod transcript;
pub mod verdict;

pub use adapter::{Adapter, AdapterError, BUILT_IN};
pub use facts::Facts;
pub use invocation::{Invocation, Request, StdinFrom};
pub use promise::Promise;
pub use stream::Stream;
pub use transcript::Transcript;
pub use verdict::{Ending, StoppedBy, verdict};
