//! What `wt` remembers: paths, locks and the journal below `<git common dir>/wt/`.
//!
//! [`measure`] tells what folders take on the same disk, [`space`] what is left of it.
//!
//! Invariant: every file here has one writer at a time, named by a lock; liveness is a held lock, never a pid.

pub mod auto;
pub mod clashes;
pub mod exit;
pub mod journal;
pub mod layout;
pub mod live;
pub mod lock;
pub mod measure;
pub mod merged;
pub mod remembered;
pub mod space;
pub mod tail;

pub use journal::{Journal, JournalError};
pub use layout::Layout;
pub use lock::{Lock, LockError};
pub use space::Space;
