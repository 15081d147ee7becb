//! Conflicts that people have resolved, resolved again without an agent, and the conservation check on what people made.
//!
//! For each repository given: its merges of two parents, in an order drawn by a seed, merged by git anew; the texts that
//! conflict go through git alone, both trivial answers, a structural merger where there is one, and the steps of a landing
//! that need no agent. Answers are compared with the merge commit. Without a repository: the made conflicts of the tests.
//! Usage: `just bench conflicts -- REPO… [-- --help]`. Nothing is written to a repository, and nothing here fails a build.
//!
//! What differs from the person's answer is not wrong by that alone, and what a person chose may have lost something: the
//! figures bound the truth, they are not it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and one that cannot go on panics"
)]

#[path = "conflicts/case.rs"]
mod case;
#[path = "conflicts/checked.rs"]
mod checked;
#[path = "conflicts/git.rs"]
mod git;
#[path = "conflicts/history.rs"]
mod history;
#[path = "conflicts/made.rs"]
mod made;
#[path = "conflicts/score.rs"]
mod score;
#[path = "conflicts/ways.rs"]
mod ways;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use case::Corpus;
use checked::Checked;
use git::Git;
use score::Scores;
use ways::Ways;

/// Resolve historical conflicts without an agent, and compare with what people did.
#[derive(Parser)]
struct Options {
    /// Repositories to take merges from; none: the conflicts of `fixtures/merge`.
    repos: Vec<PathBuf>,
    /// Files of each repository.
    #[arg(long, default_value_t = 300)]
    most: usize,
    /// Draws the merges.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only files whose path ends so; repeatable.
    #[arg(long, value_name = "ENDING")]
    language: Vec<String>,
    /// The structural merger; else the one on the path.
    #[arg(long, value_name = "PATH")]
    mergiraf: Option<PathBuf>,
    /// No more merges are looked at after this time, in each repository.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Tell so many examples of each thing that deserves a look.
    #[arg(long, default_value_t = 0)]
    show: usize,
    /// Write the versions of the examples below this folder.
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // The guard of a structural merge is this program started again.
    if std::env::args().nth(1).as_deref() == Some(wt::process::guard::ROLE) {
        return wt::run();
    }
    let options = Options::parse();
    let root = tempfile::Builder::new().prefix("wt-conflicts-").tempdir().unwrap();
    let git = Git::new(root.path());
    let mergiraf = options.mergiraf.clone().or_else(|| which::which("mergiraf").ok());
    let ways = Ways::new(&git, root.path(), mergiraf);
    println!("{}; seed {}", ways.versions(), options.seed);
    if options.repos.is_empty() {
        run(&options, &ways, &made::corpus());
    }
    for repo in &options.repos {
        let until = Instant::now() + Duration::from_secs(options.seconds);
        run(&options, &ways, &history::corpus(&git, repo, &options, until));
    }
    ExitCode::SUCCESS
}

/// Measures one corpus and prints what came of it.
fn run(options: &Options, ways: &Ways<'_>, corpus: &Corpus) {
    println!("\n== {} ==\n{}", corpus.name, corpus.told());
    if corpus.cases.is_empty() {
        return;
    }
    let mut scores = Scores::new(ways.names());
    let mut checked = Checked::default();
    for case in &corpus.cases {
        let answers = ways.answers(case);
        checked.add(case, &answers);
        scores.add(case, &answers);
    }
    scores.print(corpus);
    checked.print();
    checked.show(options.show, options.save.as_deref());
}
