//! Configuration: layers of TOML and environment come to one [`crate::model::Settings`], and what of it a person must have approved.
//!
//! Invariant: never touches git; the repository's layer is handed in as committed bytes. An unknown key is a warning with
//! the nearest known one, never an error; everything else that is wrong is an error that names its place.

mod file;
mod keys;
pub mod layers;
mod range;
pub mod schema;
pub mod trust;

pub use layers::{ConfigError, Layers, Loaded, Warning, load, state_folder, user_folder};
pub use trust::{Approvals, Executable, TrustError, executable};
