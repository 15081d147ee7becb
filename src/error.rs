//! The one boundary where typed errors become what a person reads: a message, its causes, hints, an exit code.

use std::error::Error;
use std::fmt;

use crate::model::Holder;
use crate::model::view::{ErrorView, RefusalView, SCHEMA};
use crate::store::LockError;

/// Done.
pub const DONE: u8 = 0;
/// Refused or failed for a reason that the user can change.
pub const REFUSED: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 2;
/// Some of several failed.
pub const SOME_FAILED: u8 = 3;
/// A conflict or review needs a decision.
pub const DECISION: u8 = 4;
/// Verification failed.
pub const VERIFICATION: u8 = 5;
/// A lock stayed busy past its deadline.
pub const BUSY: u8 = 6;
/// A bug in `wt`.
pub const BUG: u8 = 70;
/// A time limit of `wt wait` was reached.
pub const TIMED_OUT: u8 = 124;

/// Every exit code with what it means, for the manual.
pub const CODES: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "refused, or failed for a reason you can change"),
    ("2", "usage"),
    ("3", "some of several failed"),
    ("4", "a decision is needed"),
    ("5", "verification failed"),
    ("6", "a lock stayed busy"),
    ("70", "a bug in `wt`"),
    ("124", "the time limit of `wt wait` was reached"),
    ("128+n", "ended by signal n"),
];

/// What a command ends with when it cannot do what was asked.
#[derive(Debug)]
pub struct CommandError {
    /// The exit code.
    pub code: u8,
    /// What was asked, what stopped it, what is kept; a lowercase fragment.
    pub message: String,
    /// What lies behind it, outermost first.
    pub causes: Vec<String>,
    /// Commands that work now.
    pub hints: Vec<String>,
    /// Whether the answer that `--json` asks for was printed already.
    pub answered: bool,
    /// Who has the lock that stayed busy.
    pub holder: Option<Box<Holder>>,
}

impl CommandError {
    /// Returns a refusal.
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            code: REFUSED,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            answered: false,
            holder: None,
        }
    }

    /// Returns a usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, ..Self::refused(message) }
    }

    /// Returns a refusal to do `what`, caused by `error`; a lock that stayed busy keeps its exit code.
    pub fn caused(what: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut refusal = Self { code: code_of(error), holder: holder_in(error), ..Self::refused(what) };
        let mut cause: Option<&dyn Error> = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if refusal.causes.last() != Some(&text) {
                refusal.causes.push(text);
            }
            cause = error.source();
        }
        refusal
    }

    /// Adds a hint: a command that works now, or how to do it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says that the answer was printed already.
    #[must_use]
    pub fn answered(mut self) -> Self {
        self.answered = true;
        self
    }

    /// Returns the refusal as the answer that `--json` asks for.
    pub fn view(&self) -> RefusalView<'_> {
        let Self { code, message, causes, hints, holder, .. } = self;
        let holder = holder.as_deref();
        RefusalView { schema: SCHEMA, error: ErrorView { code: *code, message, causes, hints, holder } }
    }

    /// Sets the exit code.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

fn code_of(error: &(dyn Error + 'static)) -> u8 {
    match lock_in(error) {
        Some(LockError::Busy { .. }) => BUSY,
        _ => REFUSED,
    }
}

/// Returns who has the lock that an error is about.
fn holder_in(error: &(dyn Error + 'static)) -> Option<Box<Holder>> {
    match lock_in(error) {
        Some(LockError::Busy { holder, .. }) => holder.clone(),
        _ => None,
    }
}

/// Returns what went wrong with a lock, if an error is about that.
fn lock_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a LockError> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(lock) = error.downcast_ref() {
            return Some(lock);
        }
        cause = error.source();
    }
    None
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CommandError {}

/// Turns an error into a [`CommandError`] that says what was being done.
pub trait During<T> {
    /// Says what was being done, as a fragment ("cannot land `x`").
    fn during(self, what: impl FnOnce() -> String) -> Result<T, CommandError>;
}

impl<T, E: Error + 'static> During<T> for Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, CommandError> {
        self.map_err(|error| CommandError::caused(what(), &error))
    }
}

/// An error whose own text says enough.
impl<E: Plain> From<E> for CommandError {
    fn from(error: E) -> Self {
        let mut refusal =
            Self { code: code_of(&error), holder: holder_in(&error), ..Self::refused(error.to_string()) };
        let mut cause = error.source();
        while let Some(error) = cause {
            refusal.causes.push(error.to_string());
            cause = error.source();
        }
        refusal
    }
}

/// Marks the errors that `?` turns into a [`CommandError`] as they are.
pub trait Plain: Error + 'static {}

impl Plain for crate::store::JournalError {}
impl Plain for crate::store::LockError {}
impl Plain for crate::store::layout::LayoutError {}
impl Plain for std::io::Error {}
