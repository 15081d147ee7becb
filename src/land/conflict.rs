//! A conflict as a value: which files have two texts to be merged, and which are for a person only. Pure rules.
//!
//! Invariant: if one path of a commit is for a person, all of them are: who merges the texts of a commit of which the rest
//! is undecided merges them blindly.

use sha2::{Digest as _, Sha256};

use crate::git::conflict::{Conflict, ConflictedFile, Side};
use crate::model::Oid;
use crate::model::event::ConflictKind;
use crate::model::text::hex;

/// The largest side of a file that an agent is asked to merge, in bytes.
const LARGEST: usize = 1 << 20;

/// A file with two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// The path in the repository.
    pub path: String,
    /// `Content` or `AddAdd`.
    pub kind: ConflictKind,
    /// Its mode on every side.
    pub mode: String,
    /// What both sides started from; `None`: both added it.
    pub base: Option<Oid>,
    /// The target's.
    pub ours: Oid,
    /// The task's.
    pub theirs: Oid,
}

impl TextFile {
    /// Returns the name of this conflict wherever it comes up again: the same three sides have the same resolution.
    pub fn key(&self) -> String {
        let mut sum = Sha256::new();
        for side in [self.base.as_ref(), Some(&self.ours), Some(&self.theirs)] {
            sum.update(side.map_or("", Oid::as_str));
            sum.update("|");
        }
        hex(&sum.finalize())
    }
}

/// Returns the files of a conflict if all of them are texts with two sides; else why a person must decide.
pub(super) fn texts(conflict: &Conflict) -> Result<Vec<TextFile>, String> {
    conflict.files.iter().map(|file| text(file).map_err(|why| format!("`{}` {why}", file.path))).collect()
}

fn text(file: &ConflictedFile) -> Result<TextFile, String> {
    if !matches!(file.kind, ConflictKind::Content | ConflictKind::AddAdd) {
        return Err(format!("is no conflict of two texts ({})", file.kind.words()));
    }
    if !file.exact {
        return Err("has a name that is not UTF-8".to_owned());
    }
    let (Some(ours), Some(theirs)) = (&file.ours, &file.theirs) else {
        return Err("is not there on both sides".to_owned());
    };
    let sides = [file.base.as_ref(), Some(ours), Some(theirs)];
    let mut modes = sides.into_iter().flatten().map(|side: &Side| side.mode.as_str());
    if modes.clone().any(|mode| !matches!(mode, "100644" | "100755")) {
        return Err("is not a regular file on every side".to_owned());
    }
    if modes.any(|mode| mode != ours.mode) {
        return Err("has not the same mode on every side".to_owned());
    }
    Ok(TextFile {
        path: file.path.clone(),
        kind: file.kind,
        mode: ours.mode.clone(),
        base: file.base.as_ref().map(|side| side.blob.clone()),
        ours: ours.blob.clone(),
        theirs: theirs.blob.clone(),
    })
}

/// Returns why a side of a file cannot be merged as a text, if it cannot.
pub(super) fn no_text(content: &[u8]) -> Option<&'static str> {
    if content.len() > LARGEST {
        return Some("is larger than 1 MiB");
    }
    if content.contains(&0) || std::str::from_utf8(content).is_err() {
        return Some("is not UTF-8 text");
    }
    content.starts_with(b"version https://git-lfs.").then_some("is kept by Git LFS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(digit: char, mode: &str) -> Option<Side> {
        Oid::parse(&digit.to_string().repeat(40)).map(|blob| Side { mode: mode.to_owned(), blob })
    }

    fn file(kind: ConflictKind) -> ConflictedFile {
        let (base, ours, theirs) = (side('1', "100644"), side('2', "100644"), side('3', "100644"));
        ConflictedFile { path: "f".to_owned(), exact: true, kind, base, ours, theirs }
    }

    #[test]
    fn only_two_texts_of_one_mode_are_for_an_agent() {
        assert!(text(&file(ConflictKind::Content)).is_ok());
        assert!(text(&ConflictedFile { base: None, ..file(ConflictKind::AddAdd) }).is_ok());
        let every = [
            ConflictKind::ModifyDelete,
            ConflictKind::Rename,
            ConflictKind::FileDirectory,
            ConflictKind::Binary,
            ConflictKind::Mode,
            ConflictKind::Submodule,
            ConflictKind::Other,
        ];
        assert!(every.into_iter().all(|kind| text(&file(kind)).is_err()));
        let content = || file(ConflictKind::Content);
        assert!(text(&ConflictedFile { theirs: None, ..content() }).is_err());
        assert!(text(&ConflictedFile { exact: false, ..content() }).is_err());
        for mode in ["100755", "120000", "160000"] {
            assert!(text(&ConflictedFile { theirs: side('3', mode), ..content() }).is_err(), "{mode}");
        }
        let executable = |digit| side(digit, "100755");
        let all = ConflictedFile {
            base: executable('1'),
            ours: executable('2'),
            theirs: executable('3'),
            ..content()
        };
        assert_eq!(text(&all).unwrap().mode, "100755");
    }

    #[test]
    fn one_file_for_a_person_makes_all_of_them_so() {
        let tree = Oid::parse(&"0".repeat(40)).unwrap();
        let files = vec![file(ConflictKind::Content), file(ConflictKind::Binary)];
        assert!(texts(&Conflict { tree, files }).is_err());
    }

    #[test]
    fn the_key_tells_the_sides_apart_and_not_the_paths() {
        let one = text(&file(ConflictKind::Content)).unwrap();
        let renamed = TextFile { path: "g".to_owned(), ..one.clone() };
        assert_eq!(one.key(), renamed.key());
        let swapped = TextFile { ours: one.theirs.clone(), theirs: one.ours.clone(), ..one.clone() };
        assert_ne!(one.key(), swapped.key());
        assert_ne!(one.key(), TextFile { base: None, ..one.clone() }.key());
    }

    #[test]
    fn what_is_no_text_says_why() {
        assert_eq!(no_text("ä\n".as_bytes()), None);
        assert!(no_text(b"\xff").is_some() && no_text(b"a\0").is_some());
        assert!(no_text(b"version https://git-lfs.github.com/spec/v1\n").is_some());
    }
}
