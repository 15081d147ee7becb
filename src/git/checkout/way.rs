//! The choice between copying and git alone, and its reasons.
//!
//! Copying is for the common repository. Whatever changes what a checkout writes, or what an index may hold, in a way that
//! nobody looks at here is git's: [`Why`] lists the cases. A wrong "copy" would be a wrong file, a wrong "git" only costs time.

use gix::index::entry::Stat;

use crate::git::settings::Settings;

/// Fewer files than this git writes sooner than we find out how they can be copied.
const SMALLEST: usize = 200;

/// Why git fills a worktree alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There are so few files that nothing can be gained.
    Small,
    /// There is no checkout to copy from whose index can be read: a bare repository without spares, a split index, an index
    /// with a required extension that is not known here, a damaged one.
    NoSource,
    /// Most of what the source has is not what is wanted, or not clean.
    Different,
    /// A sparse checkout, or an index with folders in it (`core.sparseCheckout`, `index.sparse`).
    Sparse,
    /// An index in two files (`core.splitIndex`).
    SplitIndex,
    /// A partial clone: git fetches what misses in one go.
    PartialClone,
    /// Names that the file system or git takes for others (`core.ignoreCase`, `core.precomposeUnicode`, `core.protectHFS`),
    /// or that git would refuse.
    Names,
    /// Symlinks are written as files (`core.symlinks=false`).
    Symlinks,
    /// The executable bit means nothing (`core.fileMode=false`).
    FileMode,
    /// Text files get other line ends than they have in the repository (`core.autocrlf=true`, `core.eol=crlf`).
    LineEnds,
    /// Attributes come from another tree than the commit's (`attr.tree`).
    Attributes,
    /// Something stood in the new worktree already.
    Taken,
}

/// Refuses to copy where it does not pay.
pub(super) fn worth(source: &gix::index::State) -> Result<(), Why> {
    if source.entries().len() < SMALLEST { Err(Why::Small) } else { Ok(()) }
}

/// Refuses to copy where git would have to write most of it nevertheless.
pub(super) fn enough(known: &[Option<Stat>]) -> Result<(), Why> {
    if known.iter().flatten().count() * 2 < known.len() { Err(Why::Different) } else { Ok(()) }
}

/// Refuses to copy where a setting changes what git would write.
pub(super) fn allow_copy(settings: &Settings) -> Result<(), Why> {
    let off = |key| settings.switch(key) == Some(false);
    let promised = |key: &str| key.starts_with("remote.") && key.ends_with(".promisor");
    let cases = [
        (settings.is_on("core.sparsecheckout") || settings.is_on("index.sparse"), Why::Sparse),
        (settings.is_on("core.splitindex"), Why::SplitIndex),
        (settings.has("extensions.partialclone") || settings.keys().any(promised), Why::PartialClone),
        (
            ["core.ignorecase", "core.precomposeunicode", "core.protecthfs"]
                .iter()
                .any(|key| settings.is_on(key)),
            Why::Names,
        ),
        (off("core.symlinks"), Why::Symlinks),
        (off("core.filemode"), Why::FileMode),
        (settings.is_on("core.autocrlf"), Why::LineEnds),
        (settings.text("core.eol").is_some_and(|eol| eol.eq_ignore_ascii_case("crlf")), Why::LineEnds),
        (settings.has("attr.tree"), Why::Attributes),
    ];
    cases.into_iter().find(|(holds, _)| *holds).map_or(Ok(()), |(_, why)| Err(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_changes_files_leaves_them_to_git() {
        let why = |listed: &str| allow_copy(&Settings::read(listed.as_bytes())).err();
        for (listed, expected) in [
            ("core.sparsecheckout\ntrue", Why::Sparse),
            ("index.sparse\ntrue", Why::Sparse),
            ("core.splitindex\ntrue", Why::SplitIndex),
            ("extensions.partialclone\norigin", Why::PartialClone),
            ("remote.x.promisor\ntrue", Why::PartialClone),
            ("core.ignorecase\ntrue", Why::Names),
            ("core.precomposeunicode\ntrue", Why::Names),
            ("core.protecthfs\ntrue", Why::Names),
            ("core.symlinks\nfalse", Why::Symlinks),
            ("core.filemode\nfalse", Why::FileMode),
            ("core.autocrlf\ntrue", Why::LineEnds),
            ("core.eol\nCRLF", Why::LineEnds),
            ("attr.tree\nHEAD", Why::Attributes),
        ] {
            assert_eq!(why(listed), Some(expected), "{listed}");
        }
        for listed in ["", "core.autocrlf\ninput", "core.eol\nlf", "core.filemode\ntrue", "core.symlinks"] {
            assert_eq!(why(listed), None, "{listed}");
        }
    }
}
