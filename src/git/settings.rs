//! The configuration of git as git itself has it: all files, all conditions, in one call.

use std::collections::BTreeMap;

use super::GitError;
use super::command::Git;

/// The values in force, by key as git writes it: section and name in small letters.
#[derive(Debug, Default)]
pub(in crate::git) struct Settings(BTreeMap<String, Option<String>>);

impl Settings {
    /// Asks git; `call` is a call of `config`, which says for which checkout.
    pub(in crate::git) fn asked(call: Git) -> Result<Self, GitError> {
        Ok(Self::read(&call.args(["--list", "-z"]).output()?))
    }

    /// Reads what git lists; the last value of a key counts.
    pub(in crate::git) fn read(listed: &[u8]) -> Self {
        let lines = listed.split(|b| *b == 0).filter(|line| !line.is_empty());
        let pairs = lines.map(|line| {
            let line = String::from_utf8_lossy(line);
            match line.split_once('\n') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                // A key without a value is a true one.
                None => (line.into_owned(), None),
            }
        });
        Self(pairs.collect())
    }

    /// Returns the keys that have a value, or stand without one.
    pub(in crate::git) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Tells whether a key is there.
    pub(in crate::git) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Returns a value as it is written; `None` where the key is missing or has none.
    pub(in crate::git) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_deref()
    }

    /// Tells what a switch says; `None` where it is missing or no switch.
    pub(in crate::git) fn switch(&self, key: &str) -> Option<bool> {
        let Some(value) = self.0.get(key)? else { return Some(true) };
        match value.to_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" | "" => Some(false),
            other => other.parse::<i64>().ok().map(|n| n != 0),
        }
    }

    /// Tells whether a switch is on.
    pub(in crate::git) fn is_on(&self, key: &str) -> bool {
        self.switch(key) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_git_reads_them() {
        let settings =
            Settings::read(b"core.a\0core.b\nyes\0core.c\n0\0core.c\n2\0core.d\n\0core.e\ninput\0");
        let switch = |key| settings.switch(key);
        assert_eq!([switch("core.a"), switch("core.b"), switch("core.c")], [Some(true); 3]);
        assert_eq!([switch("core.d"), switch("core.e"), switch("core.f")], [Some(false), None, None]);
        assert_eq!((settings.text("core.e"), settings.text("core.a")), (Some("input"), None));
        assert!(settings.has("core.a") && !settings.has("core.f"));
    }
}
