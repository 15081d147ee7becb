//! A repository that is the same on every machine: files in folders of a usual depth, and a few dozen commits.
//!
//! Sizes follow what source trees have: most files are of one to four KiB, a few are large. No clock and no random source
//! of the machine goes in, so ids are the same too.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::process::Stdio;

use crate::place::Place;

/// Commits after the first one.
const COMMITS: u64 = 60;
/// Files in one folder, and folders in one.
const FILES: usize = 18;
const FOLDERS: usize = 12;

/// A source of numbers that look random (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0) % end
    }
}

const WORDS: [&str; 24] = [
    "let", "value", "return", "match", "self", "result", "for", "index", "struct", "where", "error", "path",
    "entry", "task", "while", "fn", "pub", "branch", "commit", "name", "count", "found", "into", "lines",
];

/// Makes the repository of a place, with `files` files in its last commit, checked out.
pub fn generate(place: &Place, files: usize) {
    std::fs::create_dir_all(place.repo()).unwrap();
    place.run("git", &["init", "-q", "-b", "main"]);
    let mut import = place.command("git", &["fast-import", "--quiet"]);
    let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
    let mut stream = BufWriter::with_capacity(1 << 20, import.stdin.take().unwrap());
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    // As many as such a repository changes in a commit: 2, 4, 9 for 5,000, 20,000 and 60,000.
    let changes = 1 + files / 7_000;
    for commit in 0..=COMMITS {
        let at = 1_700_000_000 + commit * 600;
        write!(stream, "commit refs/heads/main\ncommitter bench <bench@example.invalid> {at} +0000\n")
            .unwrap();
        let message = format!("change {commit}\n");
        write!(stream, "data {}\n{message}", message.len()).unwrap();
        if commit == 0 {
            for n in 0..files {
                file(&mut stream, &mut numbers, n);
            }
        } else {
            for _ in 0..changes {
                let n = numbers.below(files);
                file(&mut stream, &mut numbers, n);
            }
        }
    }
    stream.flush().unwrap();
    drop(stream);
    assert!(import.wait().unwrap().success(), "git fast-import");
    place.run("git", &["reset", "-q", "--hard"]);
    settle(place);
}

/// Waits until the files are older than the index, as those of a checkout that somebody works in are.
pub fn settle(place: &Place) {
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::remove_file(place.repo().join(".git/index")).unwrap();
    place.run("git", &["read-tree", "HEAD"]);
    place.run("git", &["update-index", "-q", "--refresh"]);
    assert_eq!(place.run("git", &["status", "--porcelain"]).out, "", "the main checkout is not clean");
}

fn file(stream: &mut impl std::io::Write, numbers: &mut Numbers, n: usize) {
    let text = content(numbers);
    write!(stream, "M 100644 inline {}\ndata {}\n{text}\n", path(n), text.len()).unwrap();
}

/// `crates/c3/src/d7/d1/f18.rs`: the number's digits to the base of the folders, so that all are about equally full.
fn path(n: usize) -> String {
    let mut folder = n / FILES;
    let mut path = format!("f{n}.rs");
    while folder > 0 {
        path = format!("d{}/{path}", folder % FOLDERS);
        folder /= FOLDERS;
    }
    format!("src/{path}")
}

fn content(numbers: &mut Numbers) -> String {
    // Three of four have up to 4 KiB, one of sixty-four has up to 64.
    let most = match numbers.below(64) {
        0 => 65_536,
        1..=15 => 12_288,
        _ => 4_096,
    };
    let size = 64 + numbers.below(most);
    let mut text = String::with_capacity(size + 80);
    while text.len() < size {
        for _ in 0..2 + numbers.below(7) {
            text.push_str(WORDS[numbers.below(WORDS.len())]);
            text.push(' ');
        }
        let _ = writeln!(text, "{}", numbers.below(100_000));
    }
    text
}
