//! Many worktrees asked at once: all cores share one queue of small looks, and answers come as soon as they are known.
//!
//! The first worktrees are looked at first. A look that hangs (a network file system) keeps one thread busy and no other
//! worktree waiting: when nothing at all was heard of for a while another thread helps, and after the asker's patience the
//! rest counts as not to be asked.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::memory::{Memory, Stamp};
use super::plan::{Plan, Wanted};
use super::rules::Rules;
use super::{Checkout, Repo, Verdict};
use crate::git::status;

/// How many names one look is about.
const PART: usize = 1500;

/// How long nothing may be heard of until another thread helps, and how much longer than git the asker waits.
const HELP: Duration = Duration::from_secs(1);

/// The most threads that help.
const HELPERS: usize = 16;

/// A worktree's number and whether it is dirty; `None`: it cannot be asked.
pub type Answer = (usize, Option<bool>);

/// Answers about worktrees, as they become known.
#[derive(Debug)]
pub struct Answers {
    fleet: Arc<Fleet>,
    tell: Sender<Answer>,
    heard: Receiver<Answer>,
    left: usize,
    helpers: usize,
}

/// Asks each worktree whether it is dirty. The work goes on in the background; `patience` is how long nothing at all may be
/// heard of before the rest is given up.
pub fn ask(repo: &Repo, checkouts: Vec<Checkout>, patience: Duration) -> Answers {
    asked(repo, checkouts, patience, None, Wanted::Verdict)
}

/// Does what [`ask`] does without reading the names of folders again that are as `memory` has them; it learns the others.
pub fn ask_remembering(
    repo: &Repo,
    checkouts: Vec<Checkout>,
    patience: Duration,
    memory: &Arc<Memory>,
) -> Answers {
    asked(repo, checkouts, patience, Some(memory.clone()), Wanted::Verdict)
}

/// Does what [`ask_remembering`] does and goes through a dirty worktree to its end, for its [`Answers::proof`]; git is asked
/// only where there can be none, so a worktree that is not proved clean counts as dirty.
pub fn survey(repo: &Repo, checkouts: Vec<Checkout>, patience: Duration, memory: &Arc<Memory>) -> Answers {
    asked(repo, checkouts, patience, Some(memory.clone()), Wanted::Proof)
}

fn asked(
    repo: &Repo,
    checkouts: Vec<Checkout>,
    patience: Duration,
    memory: Option<Arc<Memory>>,
    wanted: Wanted,
) -> Answers {
    let (tell, heard) = channel();
    let left = checkouts.len();
    let queue = Queue { jobs: (0..left).map(Job::Begin).collect(), left, heard: 0 };
    let (repo, queue) = (repo.clone(), Mutex::new(queue));
    let (rules, more, proofs) = (OnceLock::new(), Condvar::new(), Mutex::default());
    let fleet = Arc::new(Fleet { repo, rules, checkouts, memory, wanted, proofs, patience, queue, more });
    let asked = Answers { fleet, tell, heard, left, helpers: 0 };
    let workers = if left == 0 { 0 } else { thread::available_parallelism().map_or(2, usize::from) };
    (0..workers).for_each(|_| asked.help());
    asked
}

impl Iterator for Answers {
    type Item = Answer;

    /// Waits for the next answer: the number of the worktree as it was asked for, and whether it is dirty.
    fn next(&mut self) -> Option<Answer> {
        let mut heard = self.fleet.queue().heard;
        let mut since = Instant::now();
        while self.left > 0 {
            match self.heard.recv_timeout(HELP) {
                Ok(answer) => {
                    self.left -= 1;
                    return Some(answer);
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.fleet.queue().heard;
            if now != heard {
                (heard, since) = (now, Instant::now());
            } else if since.elapsed() >= self.fleet.patience + 2 * HELP {
                self.left = 0;
            } else if self.helpers < HELPERS {
                self.helpers += 1;
                self.help();
            }
        }
        None
    }
}

impl Answers {
    /// Returns what tells this state of a worktree from every other, by its number, once it was answered to be dirty: where
    /// git's settings and attributes are the same as well, so is the tree of everything in it. `None`: nothing does.
    pub fn proof(&self, number: usize) -> Option<String> {
        self.fleet.proofs.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn help(&self) {
        let (fleet, tell) = (self.fleet.clone(), self.tell.clone());
        thread::spawn(move || fleet.work(&tell));
    }
}

#[derive(Debug)]
struct Fleet {
    repo: Repo,
    rules: OnceLock<Option<Arc<Rules>>>,
    checkouts: Vec<Checkout>,
    memory: Option<Arc<Memory>>,
    wanted: Wanted,
    proofs: Mutex<BTreeMap<usize, String>>,
    patience: Duration,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Debug)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Worktrees without an answer.
    left: usize,
    /// Counts looks that ended.
    heard: u64,
}

/// One look.
#[derive(Debug)]
enum Job {
    Begin(usize),
    Part(Arc<Looked>, Range<usize>),
    Git(usize),
}

/// A worktree that is being looked at.
#[derive(Debug)]
struct Looked {
    number: usize,
    plan: Plan,
    /// Looks that have not ended, and what the others came to.
    state: Mutex<(usize, Verdict)>,
}

impl Fleet {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, tell: &Sender<Answer>) {
        let mut queue = self.queue();
        while queue.left > 0 {
            let Some(job) = queue.jobs.pop_front() else {
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            let (number, answer) = match job {
                Job::Begin(number) => (number, self.begin(number)),
                Job::Part(looked, part) => (looked.number, self.part(&looked, &part)),
                Job::Git(number) => {
                    let checkout = &self.checkouts[number];
                    let index = Stamp::of_index(checkout.git_dir());
                    let dirty = status::is_dirty(checkout, self.patience).ok();
                    if let (Some(memory), Some(index), Some(false)) = (&self.memory, index, dirty) {
                        memory.hear(checkout.git_dir(), index);
                    }
                    (number, Step::Known(dirty))
                }
            };
            queue = self.queue();
            queue.heard += 1;
            match answer {
                Step::Known(dirty) => {
                    queue.left -= 1;
                    // Nobody may listen any more.
                    let _ = tell.send((number, dirty));
                }
                Step::More(jobs) => jobs.into_iter().rev().for_each(|job| queue.jobs.push_front(job)),
            }
            self.more.notify_all();
        }
    }

    fn begin(&self, number: usize) -> Step {
        let rules = self.rules.get_or_init(|| Rules::read(&self.repo).map(Arc::new));
        let checkout = &self.checkouts[number];
        // Its index is an agent's: whatever its reader makes of it, the others get their answers.
        let plan = catch_unwind(AssertUnwindSafe(|| match rules {
            Some(rules) => Plan::of(&self.repo, checkout, rules, self.memory.as_ref(), self.wanted),
            None => Err(Verdict::AskGit),
        }));
        let plan = match plan.unwrap_or(Err(Verdict::AskGit)) {
            Ok(plan) => plan,
            Err(verdict) => return Step::after(number, verdict),
        };
        let parts: Vec<Range<usize>> = plan.parts(PART).collect();
        let looked = Arc::new(Looked { number, plan, state: Mutex::new((parts.len(), Verdict::Clean)) });
        Step::More(parts.into_iter().map(|part| Job::Part(looked.clone(), part)).collect())
    }

    fn part(&self, looked: &Arc<Looked>, part: &Range<usize>) -> Step {
        let verdict = catch_unwind(AssertUnwindSafe(|| looked.plan.look(part))).unwrap_or(Verdict::AskGit);
        let mut state = looked.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        state.1 = state.1.max(verdict);
        if state.0 > 0 {
            return Step::More(Vec::new());
        }
        if let Some(recall) = &looked.plan.recall {
            recall.end();
        }
        let survey = looked.plan.survey.as_ref().filter(|_| state.1 == Verdict::Clean);
        let Some(survey) = survey.filter(|survey| survey.differs()) else {
            return Step::after(looked.number, state.1);
        };
        let git_dir = self.checkouts[looked.number].git_dir().as_os_str().as_bytes();
        let proof = self.memory.as_ref().and_then(|memory| survey.proof(git_dir, memory.began()));
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.extend(proof.map(|proof| (looked.number, proof)));
        Step::Known(Some(true))
    }
}

/// What comes of a look.
enum Step {
    /// The answer.
    Known(Option<bool>),
    /// Other looks, if any.
    More(Vec<Job>),
}

impl Step {
    fn after(number: usize, verdict: Verdict) -> Self {
        match verdict {
            Verdict::Clean => Self::Known(Some(false)),
            Verdict::Dirty => Self::Known(Some(true)),
            Verdict::AskGit => Self::More(vec![Job::Git(number)]),
        }
    }
}
