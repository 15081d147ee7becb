//! All path arithmetic of `wt`'s state: no other file joins these names.
//!
//! ```text
//! <git common dir>/wt/          0700
//!   format                      version of this layout
//!   journal.jsonl               the journal; journal-N.jsonl: rolled parts, oldest first
//!   journal.lock git.lock sched.lock land.lock tend.lock foresee.lock notify.lock auto.lock clashes.lock slots/N
//!   tend.wanted                 mark: spare workspaces are to be tended
//!   auto.wanted auto.begun      marks: what is done is to be landed by itself, or just is
//!   auto.log auto.failed        what that said, and why the last time failed
//!   notified/                   how far `on_event` was told, and what it said
//!   tasks/NAME@G/               task.toml prompt.md CLAUDE.local.md making.json making.log hook.log ports.json setup.log
//!                               setup.done lock control exit live.json
//!     attempts/N/               stream.jsonl stderr.log verify.log
//!   land.control                FIFO at which a landing listens whether it is to end
//!   landings/ID/                one log a check
//!   folders                     what the folders of worktrees were when they were last read
//!   ignored                     what git ignores in the main checkout
//!   weights                     what checkouts of recent trees take on the disk
//!   passed/KEY                  a check that has passed on a tree
//!   hooks.told                  the hooks that a person was told are not approved
//!   cache/status                what `wt status` last saw; may be deleted at any time
//!   cache/merged                what merges in memory came to, and the trees of workspaces; the same
//!   cache/foresee.wanted        a look at who does not merge with whom is wished for
//!   cache/foresee.begun         when the last one began, by its time
//!   clashes/known               what the last one found
//! ```

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{Mode, mkdir};

use crate::model::TaskId;

/// The version of the layout that this `wt` writes.
pub const FORMAT: &str = "1\n";

/// The folder of one repository's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be made or read.
    #[error("the state folder cannot be used")]
    Io(#[from] io::Error),
    /// Written by a newer `wt`.
    #[error("the state in `{path}` has format {found}, this `wt` knows {known}", known = FORMAT.trim())]
    Newer {
        /// The state folder.
        path: PathBuf,
        /// The format that it says it has.
        found: String,
    },
}

impl Layout {
    /// Returns the layout below a git common dir, without touching the disk.
    pub fn below(common_dir: &Path) -> Self {
        Self { root: common_dir.join("wt") }
    }

    /// Makes the folder if it is missing and checks its format.
    pub fn prepare(&self) -> Result<(), LayoutError> {
        match fs::read_to_string(self.format()) {
            Ok(found) if found == FORMAT => return Ok(()),
            Ok(found) if !found.trim().is_empty() => {
                let (path, found) = (self.root.clone(), found.trim().to_owned());
                return Err(LayoutError::Newer { path, found });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        private_folder(&self.root)?;
        private_folder(&self.root.join("tasks"))?;
        private_folder(&self.root.join("slots"))?;
        fs::write(self.format(), FORMAT)?;
        Ok(())
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    /// Returns the journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// Returns the record of the hooks that a person was told are not approved.
    pub fn hooks_told(&self) -> PathBuf {
        self.root.join("hooks.told")
    }

    /// Returns the `n`th rolled part of the journal.
    pub fn rolled(&self, n: u32) -> PathBuf {
        self.root.join(format!("journal-{n:04}.jsonl"))
    }

    /// Returns the lock of that name (`git`, `sched`, `land`, `journal`, `tend`, `foresee`, `notify`, `auto`, `clashes`).
    pub fn lock(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.lock"))
    }

    /// Returns the FIFO at which a landing listens whether it is to end.
    pub fn landing_control(&self) -> PathBuf {
        self.root.join("land.control")
    }

    /// Returns the mark that spare workspaces are to be tended once more.
    pub fn tend_wanted(&self) -> PathBuf {
        self.root.join("tend.wanted")
    }

    /// Returns the mark that what is done is to be landed by itself.
    pub fn auto_wanted(&self) -> PathBuf {
        self.root.join("auto.wanted")
    }

    /// Returns the mark that this was begun.
    pub fn auto_begun(&self) -> PathBuf {
        self.root.join("auto.begun")
    }

    /// Returns what landings said that began by themselves.
    pub fn auto_log(&self) -> PathBuf {
        self.root.join("auto.log")
    }

    /// Returns why the last of them did not go through.
    pub fn auto_failed(&self) -> PathBuf {
        self.root.join("auto.failed")
    }

    /// Returns the slots that were ever held, in no order.
    pub fn slots_made(&self) -> Vec<u32> {
        let entries = fs::read_dir(self.root.join("slots"));
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    }

    /// Returns the record of the last turn to start an agent that somebody took.
    pub fn turn(&self) -> PathBuf {
        self.root.join("turn")
    }

    /// Returns the lock file of slot `n`.
    pub fn slot(&self, n: u32) -> PathBuf {
        self.root.join("slots").join(n.to_string())
    }

    /// Returns what `wt status` last saw. It stands in a folder of its own, so that writing it wakes nobody who waits for the
    /// journal.
    pub fn remembered(&self) -> PathBuf {
        self.root.join("cache").join("status")
    }

    /// Returns the folder of what `on_event` was told.
    pub fn notified(&self) -> PathBuf {
        self.root.join("notified")
    }

    /// Returns which tasks are known not to merge with which. It stands in a folder of its own: whoever shows it waits for it,
    /// and writes the caches meanwhile.
    pub fn clashes(&self) -> PathBuf {
        self.root.join("clashes").join("known")
    }

    /// Returns the mark that a look at who does not merge with whom is wished for.
    pub fn foresee_wanted(&self) -> PathBuf {
        self.root.join("cache").join("foresee.wanted")
    }

    /// Returns the mark whose time says when the last such look began.
    pub fn foresee_begun(&self) -> PathBuf {
        self.root.join("cache").join("foresee.begun")
    }

    /// Returns what is remembered of merges in memory, by their trees.
    pub fn merged(&self) -> PathBuf {
        self.root.join("cache").join("merged")
    }

    /// Returns the folder of a task.
    pub fn task(&self, id: &TaskId) -> TaskFolder {
        TaskFolder { root: self.root.join("tasks").join(id.to_string()) }
    }

    /// Returns the folder that holds the task folders.
    pub fn tasks(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// Returns what is remembered of the folders of worktrees.
    pub fn folders(&self) -> PathBuf {
        self.root.join("folders")
    }

    /// Returns what is remembered of the ignored files of the main checkout.
    pub fn ignored(&self) -> PathBuf {
        self.root.join("ignored")
    }

    /// Returns what is remembered of the sizes of trees.
    pub fn weights(&self) -> PathBuf {
        self.root.join("weights")
    }

    /// Returns the folder of a landing's logs.
    pub fn landing(&self, id: &str) -> PathBuf {
        self.root.join("landings").join(id)
    }

    /// Returns the folder that remembers resolved conflicts in git's own form, where git itself keeps none.
    pub fn resolutions(&self) -> PathBuf {
        self.root.join("rr-cache")
    }

    /// Returns the folder that remembers which checks have passed.
    pub fn passed(&self) -> PathBuf {
        self.root.join("passed")
    }
}

/// The folder of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFolder {
    root: PathBuf,
}

impl TaskFolder {
    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder; an error of kind `AlreadyExists` says that the generation is taken.
    pub fn create(&self) -> io::Result<()> {
        Ok(mkdir(&self.root, Mode::RWXU)?)
    }

    /// Returns what was asked, for people.
    pub fn spec(&self) -> PathBuf {
        self.root.join("task.toml")
    }

    /// Returns the prompt.
    pub fn prompt(&self) -> PathBuf {
        self.root.join("prompt.md")
    }

    /// Returns the kept copy of the rendered memory file.
    pub fn instructions(&self) -> PathBuf {
        self.root.join("CLAUDE.local.md")
    }

    /// Returns the record of a workspace that is being made: what a kill may have left behind.
    pub fn making(&self) -> PathBuf {
        self.root.join("making.json")
    }

    /// Returns what is to be told of how the workspace was made.
    pub fn making_log(&self) -> PathBuf {
        self.root.join("making.log")
    }

    /// Returns the output of the hook that ran when the workspace was made.
    pub fn hook_log(&self) -> PathBuf {
        self.root.join("hook.log")
    }

    /// Returns the record of the TCP ports that the task holds, or held.
    pub fn ports(&self) -> PathBuf {
        self.root.join("ports.json")
    }

    /// Returns the lock that a runner (and its guard) holds.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Returns the FIFO that a runner reads.
    pub fn control(&self) -> PathBuf {
        self.root.join("control")
    }

    /// Returns the exit record, whose bytes are allocated before the agent starts.
    pub fn exit(&self) -> PathBuf {
        self.root.join("exit")
    }

    /// Returns the live facts of the running attempt.
    pub fn live(&self) -> PathBuf {
        self.root.join("live.json")
    }

    /// Returns the folder of an attempt's logs.
    pub fn attempt(&self, n: u32) -> PathBuf {
        self.root.join("attempts").join(n.to_string())
    }

    /// Returns the agent's standard output, as it came.
    pub fn stream(&self, n: u32) -> PathBuf {
        self.attempt(n).join("stream.jsonl")
    }

    /// Returns the agent's standard error, as it came.
    pub fn stderr(&self, n: u32) -> PathBuf {
        self.attempt(n).join("stderr.log")
    }

    /// Returns the output of the task's own checks.
    pub fn verify_log(&self, n: u32) -> PathBuf {
        self.attempt(n).join("verify.log")
    }

    /// Returns the logs of an attempt's checks that there are, in the order in which they ran.
    pub fn verify_logs(&self, n: u32) -> Vec<PathBuf> {
        let first = self.verify_log(n);
        (0..usize::MAX).map(|step| nth_log(&first, step)).take_while(|log| log.exists()).collect()
    }

    /// Returns the mark that the set-up commands have run.
    pub fn setup_done(&self) -> PathBuf {
        self.root.join("setup.done")
    }

    /// Returns the output of the first set-up command; [`nth_log`] has the others.
    pub fn setup_log(&self) -> PathBuf {
        self.root.join("setup.log")
    }

    /// Returns the logs of the set-up commands that there are, in the order in which they ran.
    pub fn setup_logs(&self) -> Vec<PathBuf> {
        let first = self.setup_log();
        (0..usize::MAX).map(|step| nth_log(&first, step)).take_while(|log| log.exists()).collect()
    }
}

/// Returns the log of the `n`th check, from 0, beside the first one's.
pub fn nth_log(first: &Path, n: usize) -> PathBuf {
    if n == 0 { first.to_owned() } else { first.with_extension(format!("{n}.log")) }
}

/// Makes a folder, and the ones above it, that only the user can enter.
pub fn private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match mkdir(path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
