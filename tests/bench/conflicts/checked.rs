//! The conservation check on what people made, on one side given for a merge, and on answers of the structural merger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use wt::land::conserve::{DoubtKind, Judgement, judge};

use crate::case::Case;
use crate::score::{Score, score, share, tail};
use crate::ways::{Answer, Way};

/// What was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    /// A person's answer that is neither side.
    Edited,
    /// A person's answer that is a side as it was.
    Side,
    /// The first parent's version, which no person chose.
    Ours,
    /// The second parent's version, which no person chose.
    Theirs,
    /// A side that no person chose, with every line that the other added and none that it deleted.
    Both,
    /// The structural merger's answer, equal to the person's.
    Same,
    /// The same but for white space.
    Spaced,
    /// Different.
    Other,
}

impl Given {
    const ALL: [Self; 8] = [
        Self::Edited,
        Self::Side,
        Self::Ours,
        Self::Theirs,
        Self::Both,
        Self::Same,
        Self::Spaced,
        Self::Other,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Edited => "by a person, edited",
            Self::Side => "by a person, one side as it was",
            Self::Ours => "ours, where the person has it not",
            Self::Theirs => "theirs, where the person has it not",
            Self::Both => "a side that holds the other's lines",
            Self::Same => "mergiraf, identical to the person",
            Self::Spaced => "mergiraf, but for spaces",
            Self::Other => "mergiraf, other",
        }
    }
}

/// A result that deserves a look.
struct Example {
    title: &'static str,
    about: String,
    /// File name and bytes.
    versions: Vec<(String, Vec<u8>)>,
}

/// All judgements of a corpus.
#[derive(Default)]
pub struct Checked {
    /// Kept, doubtful, refused.
    counts: BTreeMap<Given, [usize; 3]>,
    /// Of people's edited answers: files by language, as above.
    by_language: BTreeMap<String, [usize; 3]>,
    /// Of people's edited answers: files with a doubt of this kind; doubtful, refused.
    kinds: BTreeMap<&'static str, [usize; 2]>,
    times: Vec<f64>,
    examples: Vec<Example>,
}

impl Checked {
    /// Judges what there is of a case.
    pub fn add(&mut self, case: &Case, answers: &[Answer]) {
        let a_side = case.human == case.ours || case.human == case.theirs;
        self.judge(case, if a_side { Given::Side } else { Given::Edited }, &case.human);
        for (given, side, other) in
            [(Given::Ours, &case.ours, &case.theirs), (Given::Theirs, &case.theirs, &case.ours)]
        {
            if *side != case.human {
                let both = holds(case.base.as_deref().unwrap_or_default(), side, other);
                self.judge(case, if both { Given::Both } else { given }, side);
            }
        }
        let structural = answers.iter().filter(|answer| answer.way == Way::Mergiraf);
        for text in structural.filter_map(|answer| answer.text.as_deref()) {
            let given = match score(Some(text), &case.human) {
                Score::Identical => Given::Same,
                Score::Spaced => Given::Spaced,
                Score::Other | Score::HandedOn => Given::Other,
            };
            self.judge(case, given, text);
        }
    }

    fn judge(&mut self, case: &Case, given: Given, text: &[u8]) {
        let begun = Instant::now();
        let judgement = judge(&case.sides(), text, &[], None);
        self.times.push(begun.elapsed().as_secs_f64() * 1e3);
        let at = match judgement {
            Judgement::Kept => 0,
            Judgement::Doubtful(_) => 1,
            Judgement::Refused(_) => 2,
        };
        self.counts.entry(given).or_default()[at] += 1;
        if given == Given::Edited {
            self.by_language.entry(case.language().to_owned()).or_default()[at] += 1;
            let kinds: BTreeSet<_> = judgement.doubts().iter().map(|doubt| named(&doubt.kind)).collect();
            for kind in kinds {
                self.kinds.entry(kind).or_default()[at - 1] += 1;
            }
        }
        let title = match (given, at) {
            (Given::Edited, 1) => "a person's answer is doubtful",
            (Given::Edited, 2) => "a person's answer is refused",
            (Given::Ours | Given::Theirs, 0) => "one side is kept",
            (Given::Same, 1 | 2) => "mergiraf's answer is the person's and is not kept",
            (Given::Other, 0) => "mergiraf's answer is not the person's and is kept",
            _ => return,
        };
        let doubts =
            judgement.doubts().iter().map(|doubt| format!("\n      {}: {doubt}", named(&doubt.kind)));
        let about = format!("{} {} ({}){}", case.merge, case.path, given.name(), doubts.collect::<String>());
        let ending = case.path.rsplit(['.', '/']).next().unwrap_or_default();
        let version = |name: &str, text: &[u8]| (format!("{name}.{ending}"), text.to_owned());
        let base = case.base.as_deref().map(|base| version("base", base));
        let others = [
            version("ours", &case.ours),
            version("theirs", &case.theirs),
            version("human", &case.human),
            version("answer", text),
        ];
        self.examples.push(Example { title, about, versions: base.into_iter().chain(others).collect() });
    }

    /// Prints the tables.
    pub fn print(&self) {
        println!(
            "\n{:<38}{:>8}{:>16}{:>16}{:>16}",
            "the check of results", "files", "kept", "doubtful", "refused"
        );
        for given in Given::ALL {
            let Some(counts) = self.counts.get(&given) else { continue };
            println!("  {:<36}{}", given.name(), line(counts));
        }
        println!("  ms median / p95: {}", tail(self.times.clone()));
        let kinds =
            self.kinds.iter().map(|(kind, [doubtful, refused])| format!("{kind} {doubtful} + {refused}"));
        println!(
            "  kinds of doubt about edited answers (files doubtful + refused): {}",
            kinds.collect::<Vec<_>>().join(", ")
        );
        let mut languages: Vec<_> = self.by_language.iter().collect();
        languages.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<usize>()));
        println!("  edited answers by language");
        for (language, counts) in languages.into_iter().take(10) {
            println!("    {language:<34}{}", line(counts));
        }
    }

    /// Tells examples of each thing that deserves a look, and writes their versions.
    pub fn show(&self, most: usize, save: Option<&Path>) {
        let titles: BTreeSet<_> = self.examples.iter().map(|example| example.title).collect();
        for title in titles.iter().filter(|_| most > 0) {
            let examples = self.examples.iter().filter(|example| example.title == *title);
            println!("\n{title}: {}", examples.clone().count());
            for (n, example) in examples.take(most).enumerate() {
                println!("  {n}  {}", example.about);
                let Some(folder) = save else { continue };
                let folder = folder.join(title.replace([' ', '\''], "-")).join(n.to_string());
                std::fs::create_dir_all(&folder).unwrap();
                for (name, text) in &example.versions {
                    std::fs::write(folder.join(name), text).unwrap();
                }
            }
        }
    }
}

/// Whether a side did to each line of the base what the other did, and maybe more.
fn holds(base: &[u8], side: &[u8], other: &[u8]) -> bool {
    let mut counts: BTreeMap<&[u8], [i64; 3]> = BTreeMap::new();
    for (n, text) in [base, side, other].into_iter().enumerate() {
        for line in text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            counts.entry(line).or_default()[n] += 1;
        }
    }
    counts.values().all(|[base, side, other]| match other - base {
        added @ 1.. => side - base >= added,
        0 => true,
        deleted => side - base <= deleted,
    })
}

fn line(counts: &[usize; 3]) -> String {
    let all = counts.iter().sum();
    let [kept, doubtful, refused] = counts.map(|n| share(n, all));
    format!("{all:>8}{kept:>16}{doubtful:>16}{refused:>16}")
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
