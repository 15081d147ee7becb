//! What git's own merge in memory says (`git merge-tree`): the tree, or what conflicts and how.

use super::super::command::Git;
use super::super::{GitError, Repo};
use crate::model::Oid;
use crate::model::event::{ConflictKind, ConflictedPath};

/// What a merge in memory came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// The merged tree.
    Clean(Oid),
    /// What does not merge.
    Conflict(Vec<ConflictedPath>),
}

impl Merged {
    /// Tells whether anything does not merge.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// Merges two commits in memory, from `base` or from their own common ancestors; attributes are those of `ours`.
pub fn merge(repo: &Repo, base: Option<&Oid>, ours: &Oid, theirs: &Oid) -> Result<Merged, GitError> {
    let answer = answer(repo, base, ours, theirs)?;
    let tree = answer.tree()?;
    Ok(if answer.clean { Merged::Clean(tree) } else { Merged::Conflict(answer.conflicts()) })
}

/// Returns what git says of a merge in memory; conflicts stand in the tree with the lines of both sides and of the base.
pub(in crate::git) fn answer(
    repo: &Repo,
    base: Option<&Oid>,
    ours: &Oid,
    theirs: &Oid,
) -> Result<Answer, GitError> {
    answer_marked(repo, base, ours, theirs, "diff3")
}

/// The same, with conflicts marked in that style of `merge.conflictStyle`.
pub(in crate::git) fn answer_marked(
    repo: &Repo,
    base: Option<&Oid>,
    ours: &Oid,
    theirs: &Oid,
    style: &str,
) -> Result<Answer, GitError> {
    repo.require_git()?;
    let mut call = Git::on(repo, "merge-tree").args(["--write-tree", "-z", "--messages"]);
    call = match base {
        Some(base) => call.arg(format!("--merge-base={base}")),
        None => call.arg("--allow-unrelated-histories"),
    };
    let call = call.set(format!("merge.conflictStyle={style}")).args([ours.as_str(), theirs.as_str()]);
    let ended = call.attributes_of(ours.as_str()).finish()?;
    match ended.code {
        Some(code @ (0 | 1)) => {
            let answer = Answer::read(&mut ended.stdout.split(|b| *b == 0)).unwrap_or_default();
            Ok(Answer { clean: code == 0, ..answer })
        }
        _ => Err(ended.into()),
    }
}

/// The answer of `git merge-tree -z`: the tree, NUL, one record per stage of each conflicted path, an empty record, and
/// messages of the form count, paths, type, text.
#[derive(Default)]
pub(in crate::git) struct Answer {
    clean: bool,
    tree: String,
    pub(in crate::git) stages: Vec<Stage>,
    messages: Vec<(Vec<String>, String, String)>,
}

/// What stands at a conflicted path on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::git) struct Stage {
    pub(in crate::git) path: String,
    /// Whether `path` is what git has: it is lossy where that is not UTF-8.
    pub(in crate::git) exact: bool,
    /// 1: the base, 2: ours, 3: theirs.
    pub(in crate::git) number: u8,
    /// As it stands in trees (`100644`).
    pub(in crate::git) mode: String,
    pub(in crate::git) object: String,
}

impl Stage {
    /// Reads `MODE OBJECT STAGE<tab>PATH`.
    fn read(record: &[u8]) -> Option<Self> {
        let exact = std::str::from_utf8(record).is_ok();
        let record = String::from_utf8_lossy(record);
        let (about, path) = record.split_once('\t')?;
        let mut about = about.split(' ').map(str::to_owned);
        let (mode, object) = (about.next()?, about.next()?);
        let number = about.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Some(Self { path: path.to_owned(), exact, number, mode, object })
    }
}

impl Answer {
    /// Reads the fields of one answer and the empty one after it; `None` where they end before.
    fn read<'a>(raw: &mut impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let tree = raw.next().map(|tree| String::from_utf8_lossy(tree).into_owned())?;
        let stages = raw.by_ref().take_while(|record| !record.is_empty()).filter_map(Stage::read).collect();
        let mut records = raw.map(|r| String::from_utf8_lossy(r).into_owned());
        let mut messages = Vec::new();
        while let Ok(count) = records.next()?.parse::<usize>() {
            let paths = records.by_ref().take(count).collect();
            let (kind, text) = (records.next()?, records.next()?);
            messages.push((paths, kind, text));
        }
        Some(Self { clean: false, tree, stages, messages })
    }

    /// Reads what `git merge-tree --stdin` says of one pair after the other, up to the one that was cut short: for each 0
    /// (conflict) or 1 (clean) before the answer.
    pub(in crate::git) fn all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        // Every field ends in NUL; what follows the last one is none.
        let whole = bytes.iter().rposition(|b| *b == 0).map_or(&bytes[..0], |end| &bytes[..end]);
        let mut fields = whole.split(|b| *b == 0);
        std::iter::from_fn(move || {
            let clean = match fields.next()? {
                b"0" => false,
                b"1" => true,
                _ => return None,
            };
            Some(Self { clean, ..Self::read(&mut fields)? })
        })
    }

    /// Tells whether there is nothing that does not merge.
    pub(in crate::git) fn is_clean(&self) -> bool {
        self.clean
    }

    pub(in crate::git) fn tree(&self) -> Result<Oid, GitError> {
        Oid::parse(&self.tree).ok_or_else(|| GitError::unreadable("the merged tree", &self.tree))
    }

    /// Returns each conflicted path once, with the kind that leaves the least room: what is binary has no lines to merge,
    /// whatever else is said of it.
    pub(in crate::git) fn conflicts(&self) -> Vec<ConflictedPath> {
        let mut paths: Vec<&String> = self.stages.iter().map(|stage| &stage.path).collect();
        let told = self.messages.iter().filter(|(_, kind, _)| kind.starts_with("CONFLICT"));
        // git also stops where no path has stages: it cannot tell where a folder was moved. What was moved aside has them by
        // another name, which stands beside its own.
        let staged = |path: &String| self.stages.iter().any(|stage| stage.path == *path);
        let beside =
            |path: &String| told.clone().any(|(paths, ..)| paths.contains(path) && paths.iter().any(staged));
        let placed = |told: &[String]| told.iter().any(|path| staged(path) || beside(path));
        paths.extend(told.clone().filter(|(told, ..)| !placed(told)).filter_map(|(told, ..)| told.first()));
        paths.sort();
        paths.dedup();
        paths
            .into_iter()
            .map(|path| {
                let about = told.clone().filter(|(paths, ..)| paths.contains(path));
                let kind = about.map(|(_, kind, _)| self.kind(path, kind)).min_by_key(|kind| rank(*kind));
                ConflictedPath { path: path.clone(), kind: kind.unwrap_or(ConflictKind::Other) }
            })
            .collect()
    }

    fn kind(&self, path: &str, told: &str) -> ConflictKind {
        let has = |stage| self.stages.iter().any(|there| there.path == path && there.number == stage);
        let told = told.trim_start_matches("CONFLICT").trim_start().trim_matches(['(', ')']);
        match told {
            "contents" if !has(1) && has(2) && has(3) => ConflictKind::AddAdd,
            "contents" if has(2) && has(3) => ConflictKind::Content,
            "binary" => ConflictKind::Binary,
            "modify/delete" => ConflictKind::ModifyDelete,
            "file/directory" => ConflictKind::FileDirectory,
            "distinct modes" => ConflictKind::Mode,
            _ if told.contains("rename") => ConflictKind::Rename,
            _ if told.starts_with("submodule") => ConflictKind::Submodule,
            _ => ConflictKind::Other,
        }
    }
}

/// Orders kinds from the one that says most to the one that says least.
fn rank(kind: ConflictKind) -> u8 {
    match kind {
        ConflictKind::Submodule => 0,
        ConflictKind::Binary => 1,
        ConflictKind::Mode => 2,
        ConflictKind::FileDirectory => 3,
        ConflictKind::Rename => 4,
        ConflictKind::ModifyDelete => 5,
        ConflictKind::AddAdd => 6,
        ConflictKind::Content => 7,
        ConflictKind::Other => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_answer_is_read_to_the_last_record() {
        let text = "aaaa|100644 1 1\tf|100644 2 2\tf|100644 3 3\tf|100644 4 2\tn|100644 5 3\tn||\
            1|f|Auto-merging|Auto-merging f|\
            1|f|CONFLICT (contents)|CONFLICT (content): Merge conflict in f\n|\
            1|n|CONFLICT (contents)|CONFLICT (add/add): Merge conflict in n\n|\
            2|n|f|CONFLICT(directory rename unclear split)|x|"
            .replace('|', "\0");
        let answer = Answer::read(&mut text.as_bytes().split(|b| *b == 0)).unwrap();
        assert_eq!((answer.tree.as_str(), answer.messages.len()), ("aaaa", 4));
        let kinds: Vec<_> = answer.conflicts().into_iter().map(|c| (c.path, c.kind)).collect();
        assert_eq!(kinds, [("f".into(), ConflictKind::Rename), ("n".into(), ConflictKind::Rename)]);
        let text = text.replace("2\0n\0f\0CONFLICT(directory", "1\0old\0CONFLICT(directory");
        let answer = Answer::read(&mut text.as_bytes().split(|b| *b == 0)).unwrap();
        let kinds: Vec<_> = answer.conflicts().into_iter().map(|c| (c.path, c.kind)).collect();
        let of_its_own = ("old".into(), ConflictKind::Rename);
        assert_eq!(
            kinds,
            [("f".into(), ConflictKind::Content), ("n".into(), ConflictKind::AddAdd), of_its_own]
        );
        assert_eq!(answer.kind("n", "CONFLICT (contents)"), ConflictKind::AddAdd);
        assert_eq!(answer.kind("f", "CONFLICT (contents)"), ConflictKind::Content);
        assert_eq!(answer.kind("f", "CONFLICT (submodule lacks merge base)"), ConflictKind::Submodule);
    }

    #[test]
    fn what_was_moved_aside_is_told_once() {
        let text = "aaaa|100644 1 1\tc/five|100644 2 3\tc/five|100644 3 1\tc~A|100644 3 2\tc~A||\
            2|c|b/three|CONFLICT (rename/delete)|x|1|c/five|CONFLICT (modify/delete)|x|\
            2|c~A|c|CONFLICT (file/directory)|x||"
            .replace('|', "\0");
        let answer = Answer::read(&mut text.as_bytes().split(|b| *b == 0)).unwrap();
        let kinds: Vec<_> = answer.conflicts().into_iter().map(|c| (c.path, c.kind)).collect();
        let (five, aside) = (ConflictKind::ModifyDelete, ConflictKind::FileDirectory);
        assert_eq!(kinds, [("c/five".into(), five), ("c~A".into(), aside)]);
    }

    #[test]
    fn answers_about_many_are_read_up_to_the_one_that_was_cut_short() {
        let conflict = "0|aaaa|100644 2 2\tf|100644 3 3\tf||1|f|CONFLICT (contents)|x\n||";
        let clean = "1|bbbb|||";
        let merged = "1|cccc||1|f|Auto-merging|Auto-merging f\n||";
        let all = |text: &str| -> Vec<(bool, usize)> {
            let bytes = text.replace('|', "\0");
            Answer::all(bytes.as_bytes()).map(|answer| (answer.clean, answer.conflicts().len())).collect()
        };
        let text = [clean, conflict, merged, clean].concat();
        assert_eq!(all(&text), [(true, 0), (false, 1), (true, 0), (true, 0)]);
        let before = clean.len() + conflict.len();
        for cut in before..before + merged.len() {
            assert_eq!(all(&text[..cut]).len(), 2, "{cut}");
        }
        assert_eq!(all("-1|"), []);
        assert_eq!(all(""), []);
    }
}
