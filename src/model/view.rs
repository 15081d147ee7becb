//! The answers of commands as values: `ui` prints them as a table or as JSON from the same structs.

/// The version of every JSON document that `wt` prints.
pub const SCHEMA: u32 = 1;
