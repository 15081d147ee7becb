//! Resolutions of real-looking conflicts, in folders by what is to be thought of them; and what happens to the good ones
//! when a line is dropped, doubled, brought back, or a marker is left.
//!
//! `fixtures/merge/{resolved,review,refused}/<case>/{base,ours,theirs,answer}.<ending>` and `case.toml`; without a base
//! both sides added the file.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use wt::land::conserve::{DoubtKind, Judgement, Side, Sides, Superseded, judge};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    path: String,
    why: String,
    #[serde(default)]
    kinds: Vec<String>,
    owner: Option<String>,
    #[serde(default)]
    superseded: Vec<GivenUp>,
}

#[derive(Debug, Deserialize)]
struct GivenUp {
    quote: String,
    reason: String,
}

struct Case {
    name: String,
    folder: PathBuf,
    about: About,
    base: Option<String>,
    ours: String,
    theirs: String,
    answer: String,
}

impl Case {
    fn load(folder: &Path) -> Self {
        let about: About =
            toml::from_str(&fs_err::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
        let version = |name: &str| {
            let prefix = format!("{name}.");
            let mut entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            let entry = entries.find(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix))?;
            Some(fs_err::read_to_string(entry.path()).unwrap())
        };
        let need = |name: &str| version(name).unwrap_or_else(|| panic!("{} has no {name}", folder.display()));
        Self {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            folder: folder.to_owned(),
            base: version("base"),
            ours: need("ours"),
            theirs: need("theirs"),
            answer: need("answer"),
            about,
        }
    }

    fn judge(&self, answer: &str) -> Judgement {
        let sides = Sides {
            path: &self.about.path,
            base: self.base.as_ref().map(String::as_bytes),
            ours: self.ours.as_bytes(),
            theirs: self.theirs.as_bytes(),
        };
        let superseded: Vec<Superseded> = self
            .about
            .superseded
            .iter()
            .map(|given_up| Superseded {
                path: self.about.path.clone(),
                quote: given_up.quote.clone(),
                reason: given_up.reason.clone(),
            })
            .collect();
        let owner = self.about.owner.as_deref().map(|owner| match owner {
            "ours" => Side::Ours,
            "theirs" => Side::Theirs,
            other => panic!("{}: no side is called {other}", self.name),
        });
        judge(&sides, answer.as_bytes(), &superseded, owner)
    }

    /// How often a line, without the white space around it, is in a text.
    fn count(text: &str, line: &str) -> usize {
        text.lines().filter(|other| other.trim() == line.trim()).count()
    }

    fn base_count(&self, line: &str) -> usize {
        self.base.as_deref().map_or(0, |base| Self::count(base, line))
    }
}

fn cases(outcome: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/merge").join(outcome);
    let mut folders: Vec<PathBuf> =
        fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.iter().map(|folder| Case::load(folder)).collect()
}

fn named(kind: &DoubtKind) -> &'static str {
    match kind {
        DoubtKind::Marker => "marker",
        DoubtKind::OneSided { .. } => "one-sided",
        DoubtKind::Lost { .. } => "lost",
        DoubtKind::LostBase => "lost-base",
        DoubtKind::BroughtBack { .. } => "brought-back",
        DoubtKind::Duplicated => "duplicated",
        DoubtKind::Empty => "empty",
        DoubtKind::Binary => "binary",
        DoubtKind::Invented => "invented",
        DoubtKind::Altered => "altered",
        DoubtKind::Encoding => "encoding",
        DoubtKind::Layout => "layout",
        DoubtKind::Incompatible { .. } => "incompatible",
        DoubtKind::Superseded { .. } => "superseded",
        DoubtKind::Unexplained => "unexplained",
    }
}

fn told(judgement: &Judgement) -> String {
    let doubts: Vec<String> = judgement.doubts().iter().map(|doubt| format!("    {doubt}")).collect();
    let word = match judgement {
        Judgement::Kept => "resolved",
        Judgement::Doubtful(_) => "review",
        Judgement::Refused(_) => "refused",
    };
    format!("{word}\n{}", doubts.join("\n"))
}

#[test]
fn merge_fixtures_are_judged_as_their_folder_says() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for outcome in ["resolved", "review", "refused"] {
        for case in cases(outcome) {
            seen += 1;
            let judgement = case.judge(&case.answer);
            let told = told(&judgement);
            let kinds: Vec<&str> = judgement.doubts().iter().map(|doubt| named(&doubt.kind)).collect();
            let named = case.about.kinds.iter().all(|kind| kinds.contains(&kind.as_str()));
            if !told.starts_with(outcome) || !named {
                let (name, why, expected) = (&case.name, &case.about.why, &case.about.kinds);
                wrong.push(format!("{outcome}/{name} ({why}), expected {expected:?}, is {told}"));
            }
        }
    }
    assert!(seen >= 45, "only {seen} cases");
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn merge_fixtures_are_conflicts_for_git() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    for case in ["resolved", "review", "refused"].into_iter().flat_map(cases) {
        let ending = fs_err::read_dir(&case.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .find_map(|name| name.strip_prefix("ours").map(str::to_owned))
            .unwrap();
        let path = |name: &str| case.folder.join(format!("{name}{ending}"));
        let base = if case.base.is_some() { path("base") } else { empty.path().to_owned() };
        let merged = Command::new("git")
            .args(["merge-file", "-p", "--diff3"])
            .args([path("ours"), base, path("theirs")])
            .output()
            .unwrap();
        let code = merged.status.code().unwrap();
        assert!((1..=127).contains(&code), "{} is no conflict: git says {code}", case.name);
    }
}

fn without(lines: &[&str], n: usize) -> String {
    lines.iter().enumerate().filter(|(other, _)| *other != n).flat_map(|(_, line)| [*line, "\n"]).collect()
}

fn with(lines: &[&str], n: usize, more: &str) -> String {
    let mut lines = lines.to_vec();
    lines.insert(n, more);
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// Each mutation of each good answer that is accepted.
fn accepted(mutations: impl Fn(&Case, &[&str]) -> Vec<(String, String)>) -> (usize, Vec<String>) {
    let (mut tried, mut found) = (0, Vec::new());
    for case in cases("resolved") {
        let lines: Vec<&str> = case.answer.lines().collect();
        for (what, answer) in mutations(&case, &lines) {
            if answer == case.answer {
                continue;
            }
            tried += 1;
            if case.judge(&answer).is_kept() {
                found.push(format!("{}: {what}", case.name));
            }
        }
    }
    (tried, found)
}

#[test]
fn merge_fixtures_without_any_one_line_are_never_kept() {
    let (tried, found) = accepted(|_, lines| {
        let said = (0..lines.len()).filter(|n| !lines[*n].trim().is_empty());
        said.map(|n| (format!("without line {}, `{}`", n + 1, lines[n]), without(lines, n))).collect()
    });
    assert!(tried > 300, "only {tried}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn merge_fixtures_with_any_line_or_block_twice_are_never_kept() {
    let (tried, found) = accepted(|case, lines| {
        let mut mutations = Vec::new();
        for n in (0..lines.len()).filter(|n| !lines[*n].trim().is_empty()) {
            for at in [n + 1, lines.len()] {
                mutations.push((format!("line {} twice, `{}`", n + 1, lines[n]), with(lines, at, lines[n])));
            }
        }
        // Every run of lines that were added.
        let new: Vec<bool> =
            lines.iter().map(|line| !line.trim().is_empty() && case.base_count(line) == 0).collect();
        let mut start = 0;
        for n in 0..=lines.len() {
            if n < lines.len() && new[n] {
                continue;
            }
            if start < n {
                let block = lines[start..n].join("\n");
                mutations.push((format!("lines {} to {n} twice", start + 1), with(lines, n, &block)));
            }
            start = n + 1;
        }
        mutations
    });
    assert!(tried > 600, "only {tried}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn merge_fixtures_with_a_deleted_line_back_are_never_kept() {
    let (tried, found) = accepted(|case, lines| {
        let base = case.base.clone().unwrap_or_default();
        let gone = base.lines().filter(|line| {
            let count = case.base_count(line);
            let fewer = |side: &str| Case::count(side, line) < count;
            !line.trim().is_empty() && (fewer(&case.ours) || fewer(&case.theirs))
        });
        gone.flat_map(|line| {
            (0..=lines.len())
                .map(move |at| (format!("`{line}` back at line {}", at + 1), with(lines, at, line)))
        })
        .collect()
    });
    assert!(tried > 100, "only {tried}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn merge_fixtures_with_any_marker_are_never_kept() {
    let (tried, found) = accepted(|_, lines| {
        let markers =
            ["<<<<<<< main", "||||||| 1a2b3c4", "=======", ">>>>>>> wt/task", "<<<<<<<", "  >>>>>>>"];
        let places = 0..=lines.len();
        places
            .flat_map(|at| {
                markers.map(|marker| (format!("`{marker}` at line {}", at + 1), with(lines, at, marker)))
            })
            .collect()
    });
    assert!(tried > 1000, "only {tried}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn merge_fixtures_with_a_character_dropped_changed_or_commented_out_are_never_kept() {
    let (tried, found) = accepted(|_, lines| {
        let mut mutations = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            let mut put = |what: &str, line: &str| {
                let mut lines = lines.to_vec();
                lines[n] = line;
                let answer = lines.iter().flat_map(|line| [*line, "\n"]).collect();
                mutations.push((format!("line {} {what}: `{line}`", n + 1), answer));
            };
            for (at, c) in line.char_indices().filter(|(at, c)| (n + at) % 7 == 0 && !c.is_whitespace()) {
                let (before, after) = (&line[..at], &line[at + c.len_utf8()..]);
                put("dropped", &format!("{before}{after}"));
                put("changed", &format!("{before}{}{after}", if c == 'x' { 'y' } else { 'x' }));
            }
            for before in ["// ", "# ", "!", "if false "].into_iter().filter(|_| !line.trim().is_empty()) {
                put("prefixed", &format!("{before}{line}"));
            }
        }
        mutations
    });
    assert!(tried > 3000, "only {tried}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn merge_fixtures_indented_anew_are_never_kept_where_that_means_something() {
    let (tried, found) = accepted(|case, lines| {
        let ending = case.about.path.rsplit(['.', '/']).next().unwrap();
        // Between brackets the start of a line means nothing in Python.
        let free = |line: &str| {
            case.name.ends_with("into-lines") && line.starts_with("        ")
                || case.name.ends_with("into-lines") && line.trim() == ")"
        };
        let strict = ["py", "yaml", "md", "Makefile", "gitignore"].contains(&ending);
        let said =
            lines.iter().enumerate().filter(|(_, line)| strict && !line.trim().is_empty() && !free(line));
        said.flat_map(|(n, line)| {
            [format!("    {line}"), line.trim_start().to_owned()].map(|line| {
                let mut lines = lines.to_vec();
                lines[n] = &line;
                let answer = lines.iter().flat_map(|line| [*line, "\n"]).collect();
                (format!("line {}: `{line}`", n + 1), answer)
            })
        })
        .collect()
    });
    assert!(tried > 100, "only {tried}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
