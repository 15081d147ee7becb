//! Answers compared with the person's, counted by way and by language, and whole merges.

use std::collections::{BTreeMap, HashMap};

use crate::case::{Case, Corpus};
use crate::ways::{Answer, Way};

/// How many languages get a line of their own.
const LANGUAGES: usize = 10;

/// What an answer is beside the person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Score {
    /// The same bytes.
    Identical,
    /// The same but for white space.
    Spaced,
    /// Clean, and different.
    Other,
    /// No answer: it goes to an agent or a person.
    HandedOn,
}

/// Compares an answer with the person's.
pub fn score(answer: Option<&[u8]>, human: &[u8]) -> Score {
    let dense = |text: &[u8]| text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<u8>>();
    match answer {
        None => Score::HandedOn,
        Some(text) if text == human => Score::Identical,
        Some(text) if dense(text) == dense(human) => Score::Spaced,
        Some(_) => Score::Other,
    }
}

/// `12 (3.4 %)`.
pub fn share(n: usize, of: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    let percent = 100.0 * n as f64 / of.max(1) as f64;
    format!("{n} ({percent:.1} %)")
}

/// Median and 95th part of a hundred, in milliseconds.
pub fn tail(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    match times.len() {
        0 => "-".to_owned(),
        n => format!("{:.1} / {:.1}", times[n / 2], times[n * 95 / 100]),
    }
}

/// The counts of one way.
#[derive(Default)]
struct Count {
    scores: BTreeMap<Score, usize>,
    times: Vec<f64>,
}

impl Count {
    fn of(&self, score: Score) -> usize {
        self.scores.get(&score).copied().unwrap_or_default()
    }

    fn line(&self) -> String {
        let all: usize = self.scores.values().sum();
        let [same, spaced, other, on] = [Score::Identical, Score::Spaced, Score::Other, Score::HandedOn]
            .map(|score| share(self.of(score), all));
        let right = share(self.of(Score::Identical) + self.of(Score::Spaced), all - self.of(Score::HandedOn));
        format!("{same:>14}{spaced:>13}{other:>14}{on:>15}{right:>15}")
    }
}

/// All counts of a corpus.
pub struct Scores {
    ways: Vec<Way>,
    by_way: HashMap<Way, Count>,
    by_language: BTreeMap<String, HashMap<Way, Count>>,
    /// For each case, the ways whose answer is the person's.
    identical: Vec<Vec<Way>>,
}

impl Scores {
    /// Of these ways.
    pub fn new(ways: Vec<Way>) -> Self {
        Self { ways, by_way: HashMap::new(), by_language: BTreeMap::new(), identical: Vec::new() }
    }

    /// Counts the answers to a case.
    pub fn add(&mut self, case: &Case, answers: &[Answer]) {
        let mut identical = Vec::new();
        for answer in answers {
            let score = score(answer.text.as_deref(), &case.human);
            if score == Score::Identical {
                identical.push(answer.way);
            }
            let languages = self.by_language.entry(case.language().to_owned()).or_default();
            for count in
                [self.by_way.entry(answer.way).or_default(), languages.entry(answer.way).or_default()]
            {
                *count.scores.entry(score).or_default() += 1;
                count.times.push(answer.took.as_secs_f64() * 1e3);
            }
        }
        self.identical.push(identical);
    }

    /// Prints the tables.
    pub fn print(&self, corpus: &Corpus) {
        let head = "     identical   but spaces   other, clean      handed on  right of clean";
        println!("\n{:<20}{head}  ms median / p95", "files");
        for way in &self.ways {
            let count = &self.by_way[way];
            println!("  {:<18}{}  {}", way.name(), count.line(), tail(count.times.clone()));
        }
        self.print_merges(corpus);
        let Some(structural) = self.ways.last().filter(|way| **way == Way::Landing) else { return };
        let mut languages: Vec<_> = self.by_language.iter().collect();
        languages.sort_by_key(|(_, counts)| std::cmp::Reverse(counts[structural].times.len()));
        println!("\n{:<26}{head}", "by language (mergiraf / wt without agent)");
        for (language, counts) in languages.iter().take(LANGUAGES) {
            for way in [Way::Mergiraf, Way::Landing] {
                let name = if way == Way::Mergiraf { language.as_str() } else { "" };
                println!("  {name:<18}{}", counts[&way].line());
            }
        }
    }

    fn print_merges(&self, corpus: &Corpus) {
        let all = corpus.merges.len();
        let whole: Vec<_> = corpus.merges.iter().filter(|merge| merge.whole).collect();
        println!(
            "\nmerges of which every conflict is a case: {}; every file identical",
            share(whole.len(), all)
        );
        for way in &self.ways {
            let same = |merge: &&&crate::case::Merge| {
                self.identical[merge.cases.clone()].iter().all(|identical| identical.contains(way))
            };
            let files = whole.iter().filter(same).count();
            let trees = whole.iter().filter(same).filter(|merge| !merge.more).count();
            println!("  {:<18}{:>14}, the whole tree {}", way.name(), share(files, whole.len()), trees);
        }
    }
}
