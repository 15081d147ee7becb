//! How engines tell of their progress without knowing who listens.

/// Receives the steps of long work; `ui` shows them, tests collect them.
pub trait Observer: Send + Sync {
    /// A step begins; `text` is a present participle ("replaying 3 commits of `x`").
    fn step(&self, text: &str);
    /// Something that the reader should know and can act on.
    fn warn(&self, text: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn step(&self, _text: &str) {}
    fn warn(&self, _text: &str) {}
}
