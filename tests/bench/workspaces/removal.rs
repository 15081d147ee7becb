//! Removing: each beside one `git status` in the same worktree, since nothing can be put away unseen.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Subject;
use crate::creation::Made;
use crate::figures::Times;
use crate::place::{Place, wt};
use crate::table::{self, Aim};
use crate::{batch, pool};

/// How many edited and how many new files an unfinished workspace has.
const EDITED: usize = 5;
const NEW: usize = 10;

/// Rounds of what deletes the files itself, where there are many.
const SLOW: usize = 3;

/// What one way came to: the removal, and what of it is beyond a status.
struct Way {
    label: &'static str,
    times: Times,
    beyond: Times,
    status: Times,
    fault: Option<String>,
}

impl Way {
    fn new(label: &'static str) -> Self {
        let (times, beyond, status) = (Times::default(), Times::default(), Times::default());
        Self { label, times, beyond, status, fault: None }
    }

    /// Removes one, after a look into it.
    fn round(&mut self, place: &Place, folder: &Path, remove: impl FnOnce() -> Result<Duration, String>) {
        if self.fault.is_some() {
            return;
        }
        rustix::fs::sync();
        place.git_in(folder, &["status", "--porcelain=v2"]);
        let status = place.git_in(folder, &["status", "--porcelain=v2"]).took;
        match remove() {
            Ok(_) if folder.exists() => self.fault = Some("WRONG: the folder is still there".to_owned()),
            Ok(took) => {
                self.times.add(took);
                self.beyond.all.push((took.as_secs_f64() - status.as_secs_f64()) * 1e3);
                self.status.add(status);
            }
            Err(why) => self.fault = Some(why),
        }
    }
}

/// Removes what [`crate::creation`] made, and as many unfinished workspaces, which are made for it.
pub fn measure(subject: &Subject, made: &Made) {
    let place = &subject.plain;
    let rounds = made.git.len().min(made.tasks.len());
    let unfinished: Vec<String> = (0..rounds).map(|n| format!("unfinished-{n}")).collect();
    if let (_, Some(why)) = batch::from(place, &unfinished, "unfinished.jsonl") {
        table::missing("unfinished workspaces", &why);
        return;
    }
    for name in &unfinished {
        leave_work(place, &place.worktrees().join(name));
    }
    // What was just made is old enough by now for git to trust its times.
    std::thread::sleep(Duration::from_millis(1100));

    let mut git = Way::new("git worktree remove --force");
    let mut rm = Way::new("rm -rf, and the entry stays");
    let mut clean = Way::new("wt gc NAME, clean");
    let mut dirty = Way::new("wt gc NAME --force, 5 edited and 10 new files");
    let slow = if subject.files > 10_000 { SLOW } else { rounds };
    for (n, unfinished) in unfinished.iter().enumerate() {
        for k in 0..4 {
            match (n + k) % 4 {
                0 if n < slow => git.round(place, &made.git[n], || {
                    let folder = made.git[n].display().to_string();
                    Ok(place.attempt("git", &["worktree", "remove", "--force", &folder])?.took)
                }),
                1 if n < slow.min(made.others.len()) => rm.round(place, &made.others[n], || {
                    let begun = Instant::now();
                    std::fs::remove_dir_all(&made.others[n]).map_err(|error| error.to_string())?;
                    Ok(begun.elapsed())
                }),
                2 => discarded(&mut clean, place, &made.tasks[n]),
                3 => discarded(&mut dirty, place, unfinished),
                _ => {}
            }
        }
    }
    let base = git.times.median();
    table::head(&format!("removing one, {} files", subject.files));
    for way in [&git, &rm, &clean, &dirty] {
        if let Some(why) = &way.fault {
            table::missing(way.label, why);
            continue;
        }
        table::line(way.label, &way.times, base, Aim::None);
        if way.label.starts_with("wt") {
            table::line("  one git status in it", &way.status, None, Aim::None);
            table::line("  the removal beyond that", &way.beyond, None, Aim::Millis(5.0));
        }
    }
}

fn discarded(way: &mut Way, place: &Place, name: &str) {
    way.round(place, &place.worktrees().join(name), || {
        Ok(place.attempt(&wt(), &["gc", name, "--force"])?.took)
    });
    // What is deleted in the background must not disturb the next one.
    pool::rest(place);
}

/// Edits some files and adds some.
fn leave_work(place: &Place, folder: &Path) {
    let files = place.git_in(folder, &["ls-files", "-z"]).out;
    let files: Vec<&str> = files.split('\0').filter(|file| !file.is_empty()).collect();
    for n in 0..EDITED {
        let path = folder.join(files[n * files.len() / EDITED]);
        std::fs::write(path, format!("edited {n}\n")).unwrap();
    }
    std::fs::create_dir(folder.join("new")).unwrap();
    for n in 0..NEW {
        std::fs::write(folder.join(format!("new/f{n}")), format!("new {n}\n")).unwrap();
    }
}
