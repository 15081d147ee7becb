//! The walk on a real history, by hand: `WT_HISTORY=/path cargo test --test it -- --ignored walk_on_history --nocapture`.
//!
//! Cases are drawn with a fixed seed: real commits put onto older and newer commits of the main line, taken back on newer
//! ones, and first commits of merged branches, and whole branches, put onto the main line just before their merge. git's answer
//! is one `git merge-tree --stdin`. Nothing is written to the history itself: it is cloned with shared objects.
//! `WT_HISTORY_CASES`: how many of each class, 2,000 unless told; `all`: every commit and every merge that there is.

#![expect(clippy::print_stdout, reason = "its figures are for whoever runs it by hand")]

use std::collections::{BTreeMap, HashMap};

use wt::git::Repo;
use wt::git::walk::{Refusal, Walked, Walker};
use wt::model::Oid;

use crate::env::Env;
use crate::git_repo::oid;
use crate::git_walk::{Verdict, git_merges, walked};

/// Numbers that are the same in every run (`SplitMix64`).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for n in (1..items.len()).rev() {
            items.swap(n, self.below(n + 1));
        }
        items
    }
}

/// A history as `git log` tells it, newest first.
struct History {
    commits: Vec<(String, i64, Vec<String>)>,
    parents: HashMap<String, Vec<String>>,
    /// The main line by first parents, oldest first, with dates that never go back.
    line: Vec<(i64, String)>,
}

impl History {
    fn read(log: &str) -> Self {
        let commits: Vec<(String, i64, Vec<String>)> = log
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace().map(str::to_owned);
                let (id, date) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
                (id, date, words.collect())
            })
            .collect();
        let parents: HashMap<_, _> =
            commits.iter().map(|(id, _, parents)| (id.clone(), parents.clone())).collect();
        let dates: HashMap<_, _> = commits.iter().map(|(id, date, _)| (id.clone(), *date)).collect();
        let mut line = vec![commits[0].0.clone()];
        while let Some(parent) = parents.get(line.last().unwrap()).and_then(|parents| parents.first()) {
            line.push(parent.clone());
        }
        line.reverse();
        let mut latest = 0;
        let line = line.into_iter().map(|id| {
            latest = latest.max(dates.get(&id).copied().unwrap_or_default());
            (latest, id)
        });
        Self { line: line.collect(), commits, parents }
    }

    /// Returns the commit of the main line that stands some steps away from a date.
    fn beside(&self, date: i64, steps: isize) -> Option<&String> {
        let at = self.line.partition_point(|(there, _)| *there < date);
        self.line.get(at.checked_add_signed(steps)?).map(|(_, id)| id)
    }
}

/// How many merges one git process is asked for.
const PART: usize = 1_000;

type Case = (&'static str, Oid, Oid, Oid);

fn cases(repo: &crate::env::TestRepo, history: &History, most: usize) -> Vec<Case> {
    let mut seeded = Seeded(11);
    let mut found = Vec::new();
    let plain: Vec<_> = history.commits.iter().filter(|(_, _, parents)| parents.len() == 1).collect();
    for class in ["older", "newer", "revert"] {
        let drawn = seeded.shuffled(plain.clone());
        let cases = drawn.into_iter().filter_map(|(commit, date, parents)| {
            let steps = isize::try_from(1 + seeded.below(200)).unwrap();
            let onto = history.beside(*date, if class == "older" { -steps } else { steps })?;
            let (commit, parent, onto) = (oid(commit), oid(&parents[0]), oid(onto));
            Some(if class == "revert" {
                (class, commit, onto, parent)
            } else {
                (class, parent, onto, commit)
            })
        });
        found.extend(cases.take(most));
    }
    let merges: Vec<_> = history.commits.iter().filter(|(_, _, parents)| parents.len() == 2).collect();
    let mut branches = 0;
    for (_, _, sides) in seeded.shuffled(merges) {
        // None where histories that have nothing in common were joined.
        let bases = repo.try_git(&["merge-base", "--all", &sides[0], &sides[1]]).stdout;
        let bases = String::from_utf8_lossy(&bases).trim().to_owned();
        if branches == most {
            break;
        }
        if bases.lines().count() != 1 || sides.contains(&bases) {
            continue;
        }
        branches += 1;
        let (main, branch) = (oid(&sides[0]), oid(&sides[1]));
        let own = ["rev-list", "--topo-order", "--reverse", &sides[1], &format!("^{}", sides[0])];
        if let Some(first) = repo.git(&own).lines().next()
            && let [parent] = history.parents[first].as_slice()
        {
            found.push(("topic", oid(parent), main.clone(), oid(first)));
        }
        found.push(("squash", oid(&bases), main, branch));
    }
    found
}

#[derive(Default)]
struct Sum {
    cases: usize,
    clean: usize,
    taken: usize,
    differ: usize,
    /// Taken where git had no answer.
    died: usize,
}

#[test]
#[ignore = "by hand, on a history given by WT_HISTORY"]
fn walk_on_history() {
    let history = std::env::var("WT_HISTORY").expect("WT_HISTORY names a repository");
    let most = match std::env::var("WT_HISTORY_CASES").as_deref() {
        Ok("all") => usize::MAX,
        Ok(most) => most.parse().expect("WT_HISTORY_CASES is a number, or `all`"),
        Err(_) => 2_000,
    };
    let env = Env::new();
    env.git_in(env.root(), &["clone", "-q", "--shared", "--bare", &history, "history.git"]);
    let repo = env.at(&env.root().join("history.git"));
    let log = repo.git(&["log", "--format=%H %ct %P"]);
    let cases = cases(&repo, &History::read(&log), most);
    let asked: Vec<_> =
        cases.iter().map(|(_, base, ours, theirs)| (base.clone(), ours.clone(), theirs.clone())).collect();
    let found = Repo::discover(repo.path()).unwrap();
    let mut walker = Walker::new(&found);
    let mut refusals: BTreeMap<Refusal, usize> = BTreeMap::new();
    let said: Vec<Walked> = asked.iter().map(|asked| walked(&found, &mut walker, asked)).collect();
    // In parts: where git dies of a case, only its part is asked again.
    let verdicts: Vec<Verdict> =
        asked.chunks(PART).flat_map(|asked| git_merges(repo.path(), asked)).collect();
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for ((case, said), verdict) in cases.iter().zip(said).zip(verdicts) {
        let sum = sums.entry(case.0).or_default();
        sum.cases += 1;
        sum.clean += usize::from(matches!(verdict, Verdict::Clean(_)));
        match said {
            Walked::Refused(why) => *refusals.entry(why).or_default() += 1,
            Walked::Tree(tree) => {
                sum.taken += 1;
                if verdict == Verdict::Died {
                    sum.died += 1;
                } else if verdict != Verdict::Clean(tree.clone()) {
                    sum.differ += 1;
                    println!("DIFFERENT: {case:?}: the walk has {tree}, git says {verdict:?}");
                }
            }
        }
    }
    println!("class     cases  clean  taken  of clean  different  git died");
    let (mut differ, mut taken) = (0, 0);
    for (class, sum) in &sums {
        let share = 100 * sum.taken / sum.clean.max(1);
        let Sum { cases, clean, taken, differ, died } = sum;
        println!("{class:<8} {cases:>6} {clean:>6} {taken:>6} {share:>8}% {differ:>10} {died:>9}");
    }
    for sum in sums.values() {
        differ += sum.differ;
        taken += sum.taken;
    }
    println!("all: {} cases, {taken} taken, {differ} different; refused: {refusals:?}", cases.len());
    assert!(taken > 0 && differ == 0);
}
