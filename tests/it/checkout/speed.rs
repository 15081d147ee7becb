//! How long it takes, side by side with git. Not part of any gate: `cargo test --test it checkout::speed -- --ignored
//! --nocapture`, with `WT_SPEED_REPO` naming a repository whose main checkout is clean.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wt::git::Repo;
use wt::git::worktree::{self, Start};

use crate::env::Env;

const ROUNDS: usize = 7;

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

#[test]
#[ignore = "a measurement"]
fn filling_beside_git() {
    let Some(path) = std::env::var_os("WT_SPEED_REPO").map(PathBuf::from) else { return };
    let env = Env::new();
    let repo = env.at(&path);
    let found = Repo::discover(&path).unwrap();
    let head = crate::git_repo::oid(&repo.head());
    let place = tempfile::Builder::new().prefix("wt-speed-").tempdir_in(path.parent().unwrap()).unwrap();
    let mut times: [Vec<Duration>; 6] = Default::default();
    let measure = |into: &mut Vec<Duration>, act: &mut dyn FnMut()| {
        rustix::fs::sync();
        let begun = Instant::now();
        act();
        into.push(begun.elapsed());
    };
    for round in 0..ROUNDS {
        let at = |kind: &str| place.path().join(format!("{kind}{round}"));
        let (ours, theirs, workers) = (at("ours"), at("git"), at("workers"));
        let mut orders = [0, 1, 2];
        orders.rotate_left(round % 3);
        for order in orders {
            match order {
                0 => measure(&mut times[0], &mut || {
                    repo.git(&["worktree", "add", "-q", "--detach", &theirs.to_string_lossy(), "main"]);
                }),
                1 => measure(&mut times[1], &mut || {
                    let made = worktree::begin(&found, &ours, Start::Commit(&head)).unwrap();
                    worktree::complete(&found, &made, |_| {}).unwrap();
                }),
                _ => measure(&mut times[2], &mut || {
                    let all = ["-c", "checkout.workers=0", "worktree", "add", "-q", "--detach"];
                    let workers = workers.to_string_lossy();
                    repo.git(&[&all[..], &[&workers, "main"]].concat());
                }),
            }
        }
        for (n, tree) in [theirs, ours, workers].iter().enumerate() {
            let tree = env.at(tree);
            measure(&mut times[3 + n], &mut || assert_eq!(tree.git(&["status", "--porcelain"]), ""));
        }
    }
    let names = ["git", "ours", "git with workers", "status: git", "status: ours", "status: workers"];
    for (name, times) in names.iter().zip(&mut times) {
        let (least, most) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        let line = format!("{name:18} {:7.1} ms [{least:.0?}-{most:.0?}]", median(times));
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
}
