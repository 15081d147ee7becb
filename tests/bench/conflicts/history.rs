//! The conflicts of a repository's merges, as git sees them today, with what the merge commits made of them.
//!
//! Merges come in an order drawn by the seed, each with all its conflicted texts; the same conflict (some integration branches
//! meet one every day) counts once.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::Options;
use crate::case::{Case, Corpus, Merge};
use crate::git::{Git, Objects};

/// A merge with more conflicts than this is one decision about a whole, not many about files.
const FILES: usize = 30;

/// The largest text of a case, in bytes, as in a landing.
const LARGEST: usize = 1 << 20;

/// What git says of a merge.
struct Answer {
    clean: bool,
    tree: String,
    /// Mode, object and path of each stage, by path and number.
    stages: BTreeMap<String, BTreeMap<u8, (String, String)>>,
    /// Kind and paths of each message.
    messages: Vec<(String, Vec<String>)>,
}

/// Takes cases until there are enough of them, or the time is up.
pub fn corpus(git: &Git, repo: &Path, options: &Options, until: Instant) -> Corpus {
    let from = git.dir(repo);
    let name = from
        .file_name()
        .filter(|name| *name != ".git" && *name != "repo")
        .unwrap_or_else(|| from.parent().and_then(Path::file_name).unwrap_or_default());
    let mut corpus = Corpus { name: name.to_string_lossy().into_owned(), ..Corpus::default() };
    let dir = git.borrowing(&from);
    let listed = ["rev-list", "--all", "HEAD", "--min-parents=2", "--max-parents=2", "--parents"];
    let merges = git.read(&from, &listed);
    let mut merges: Vec<&str> = merges.lines().collect();
    merges.sort_by_cached_key(|merge| Sha256::digest(format!("{} {merge}", options.seed)));
    let asked = ["merge-tree", "--write-tree", "--stdin", "--messages", "--allow-unrelated-histories"];
    let mut command = git.command(Some(&dir), &asked);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let sides: String =
        merges.iter().map(|merge| merge.split_once(' ').unwrap().1.to_owned() + "\n").collect();
    // It fails where git is ended before it has read all.
    let feeding = std::thread::spawn(move || drop(input.write_all(sides.as_bytes())));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut objects = Objects::new(git, &dir);
    let mut known = HashSet::new();
    for merge in merges {
        if corpus.cases.len() >= options.most || Instant::now() > until {
            break;
        }
        let Some(answer) = read(&mut output) else { break };
        let merge = merge.split(' ').next().unwrap();
        corpus.seen.0 += 1;
        if !answer.clean {
            corpus.seen.1 += 1;
            take(git, &dir, &mut corpus, &mut objects, &mut known, options, merge, &answer);
        }
    }
    drop(child.kill());
    drop(child.wait());
    feeding.join().unwrap();
    corpus
}

fn field(output: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut bytes = Vec::new();
    output.read_until(0, &mut bytes).unwrap();
    // A torn answer is that of a git that died.
    (bytes.pop()? == 0).then(|| String::from_utf8_lossy(&bytes).trim_start_matches('\n').to_owned())
}

fn read(output: &mut BufReader<ChildStdout>) -> Option<Answer> {
    let clean = field(output)? == "1";
    let tree = field(output)?;
    let mut answer = Answer { clean, tree, stages: BTreeMap::new(), messages: Vec::new() };
    loop {
        let stage = field(output)?;
        let Some((about, path)) = stage.split_once('\t') else { break };
        let mut words = about.split(' ').map(str::to_owned);
        let (mode, object) = (words.next()?, words.next()?);
        let number = words.next()?.parse().ok()?;
        answer.stages.entry(path.to_owned()).or_default().insert(number, (mode, object));
    }
    while let Ok(count) = field(output)?.parse::<usize>() {
        let paths = (0..count).map(|_| field(output)).collect::<Option<Vec<_>>>()?;
        let kind = field(output)?;
        field(output)?;
        answer.messages.push((kind, paths));
    }
    Some(answer)
}

#[expect(clippy::too_many_arguments, reason = "one call; a struct for it would say no more")]
fn take(
    git: &Git,
    dir: &Path,
    corpus: &mut Corpus,
    objects: &mut Objects,
    known: &mut HashSet<[Option<String>; 3]>,
    options: &Options,
    merge: &str,
    answer: &Answer,
) {
    if answer.stages.len() > FILES {
        *corpus.left_out.entry("in merges of many").or_default() += answer.stages.len();
        return;
    }
    let begin = corpus.cases.len();
    for (path, stages) in &answer.stages {
        match case(objects, known, options, merge, path, stages, &answer.messages) {
            Ok(case) => corpus.cases.push(case),
            Err(why) => *corpus.left_out.entry(why).or_default() += 1,
        }
    }
    let cases = begin..corpus.cases.len();
    if cases.is_empty() {
        return;
    }
    let diff = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", &answer.tree, merge];
    let other = git.read(dir, &diff);
    let more = other.split_terminator('\0').any(|path| !answer.stages.contains_key(path));
    corpus.merges.push(Merge { whole: cases.len() == answer.stages.len(), cases, more });
}

/// One conflicted path as a case, or why it is none.
fn case(
    objects: &mut Objects,
    known: &mut HashSet<[Option<String>; 3]>,
    options: &Options,
    merge: &str,
    path: &str,
    stages: &BTreeMap<u8, (String, String)>,
    messages: &[(String, Vec<String>)],
) -> Result<Case, &'static str> {
    if !options.language.is_empty() && !options.language.iter().any(|ending| path.ends_with(ending.as_str()))
    {
        return Err("another language");
    }
    let of_text = |kind: &str| matches!(kind, "CONFLICT (contents)" | "CONFLICT (add/add)" | "Auto-merging");
    let text =
        messages.iter().filter(|(_, paths)| paths.iter().any(|p| p == path)).all(|(kind, _)| of_text(kind));
    let regular = stages.values().all(|(mode, _)| mode == "100644" || mode == "100755");
    if !text || !regular || !stages.contains_key(&2) || !stages.contains_key(&3) {
        return Err("no two texts");
    }
    let sides = [1, 2, 3].map(|number| stages.get(&number).map(|(_, object)| object.clone()));
    if known.contains(&sides) {
        return Err("met before");
    }
    let [base, ours, theirs] = sides.each_ref().map(|side| side.as_ref().and_then(|id| objects.blob(id)));
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Err("not at hand") };
    let Some(human) = objects.blob(&format!("{merge}:{path}")) else {
        return Err("deleted or moved by the person");
    };
    let plain =
        |text: &[u8]| text.len() <= LARGEST && !text.contains(&0) && std::str::from_utf8(text).is_ok();
    if ![base.as_ref(), Some(&ours), Some(&theirs), Some(&human)]
        .into_iter()
        .flatten()
        .all(|text| plain(text))
    {
        return Err("not UTF-8, or large");
    }
    // Of several merge bases git makes one, conflicts and all.
    let marked = |text: &[u8]| String::from_utf8_lossy(text).lines().any(|line| line.starts_with("<<<<<<< "));
    if base.as_ref().is_some_and(|base| marked(base)) {
        return Err("with a conflict in the base");
    }
    known.insert(sides);
    Ok(Case { merge: merge[..12].to_owned(), path: path.to_owned(), base, ours, theirs, human })
}
