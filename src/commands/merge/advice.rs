//! What `wt merge` says where something did not land: the exit code, the reasons, and commands that help.

use crate::error::{self, CommandError};
use crate::git::GitError;
use crate::land::{Fate, LandError, Landed, LeftOut, Mode, Refusal, Report};
use crate::model::TaskName;
use crate::model::event::ConflictKind;
use crate::model::text::count;
use crate::process::halt::Cause;
use crate::ui::message;

/// How many reasons are told in full.
const TOLD: usize = 8;

/// Turns a landing that did not begin, or did not go on, into a refusal with a way out.
pub(super) fn refusal(error: &LandError) -> CommandError {
    hinted(CommandError::caused("nothing was landed", error), error)
}

/// Adds the way out of what keeps a target from being moved.
pub(in crate::commands) fn hinted(refusal: CommandError, error: &LandError) -> CommandError {
    match error {
        LandError::Refused(Refusal::State { name, state }) => match *state {
            "open" => refusal.hint(format!("say that it is finished with `wt done {name}`")),
            "removed" => refusal.hint(format!("bring it back with `wt restore {name}`")),
            "lost" => refusal.hint(format!("run it again with `wt retry {name}`")),
            "queued" | "waiting" | "running" => refusal.hint(format!("wait for it with `wt wait {name}`")),
            _ => refusal,
        },
        LandError::Refused(Refusal::Unknown { .. }) => refusal.hint("see all tasks with `wt status --all`"),
        LandError::NoTarget { .. } => {
            refusal.hint("see the branches with `git branch`, and name one with `--into BRANCH`")
        }
        LandError::HeldTwice { .. } => refusal.hint("see where with `git worktree list`"),
        LandError::Unfinished { checkout, .. } => {
            refusal.hint(format!("see how to end it with `git -C {} status`", checkout.display()))
        }
        LandError::Message(_) => refusal.hint("see the values of the template with `wt schema config`"),
        LandError::Git(GitError::NotSigned { .. }) => {
            refusal.hint("try the key with `git commit-tree -S -m test 'HEAD^{tree}'`")
        }
        LandError::Git(GitError::NoIdentity) => {
            refusal.hint("set it with `git config user.name NAME` and `git config user.email MAIL`")
        }
        _ => refusal,
    }
}

/// Joins what landings came to with those that did not begin. Of the latter no answer was printed.
pub(super) fn joined(
    landed: Result<u8, CommandError>,
    any_landed: bool,
    refused: Vec<CommandError>,
) -> Result<u8, CommandError> {
    let mut all = landed.err().into_iter().chain(refused.into_iter().map(|mut refusal| {
        if any_landed && refusal.code == error::REFUSED {
            refusal.code = error::SOME_FAILED;
        }
        refusal
    }));
    let Some(mut said) = all.next() else { return Ok(error::DONE) };
    for more in all {
        said.answered &= more.answered;
        said.causes.push(format!("{}: {}", more.message, more.causes.join(": ")));
        said.hints.extend(more.hints);
        said.holder = said.holder.or(more.holder);
    }
    Err(said)
}

/// Returns the exit code, and what is to be said, of landings that went through: 4 before 5 before 3.
pub(super) fn verdict(reports: Vec<Report>) -> Result<u8, CommandError> {
    let mut failed: Vec<(Landed, String)> = Vec::new();
    let (mut landed, mut stopped, mut waiting) = (0, None, Vec::new());
    let mode = reports.first().map_or(Mode::Real, |report| report.mode);
    for mut report in reports {
        stopped = report.stopped.take().or(stopped);
        waiting.append(&mut report.unchanged);
        for task in report.tasks {
            if task.fate.is_landed() {
                landed += 1;
            } else {
                failed.push((task, report.target.clone()));
            }
        }
    }
    let fates = || failed.iter().map(|(task, _)| &task.fate);
    let code = if fates().any(|fate| matches!(fate, Fate::Conflict { .. } | Fate::Review { .. })) {
        Some(error::DECISION)
    } else if fates().any(|fate| matches!(fate, Fate::Rejected(_))) {
        Some(error::VERIFICATION)
    } else if landed > 0 && (stopped.is_some() || !failed.is_empty()) {
        Some(error::SOME_FAILED)
    } else {
        None
    };
    let each = || failed.iter().take(TOLD).map(|(task, _)| format!("`{}`: {}", task.id.name, why(task)));
    let signal = match &stopped {
        Some(LandError::Halted(Cause::Signal(signal))) => Some(128 + signal),
        _ => None,
    };
    let mut said = match (stopped, failed.as_slice()) {
        (None, []) => {
            note_unchanged(&waiting);
            return Ok(error::DONE);
        }
        (Some(stopped), _) => {
            let mut said = refusal(&stopped);
            if landed > 0 {
                said.message = format!("the landing stopped after {}", count(landed, "task"));
            }
            said.causes.extend(each());
            said
        }
        (None, [(task, _)]) => {
            let not = if mode == Mode::DryRun { "would not be landed" } else { "was not landed" };
            let mut said = CommandError::refused(format!("`{}` {not}", task.id.name));
            said.causes.push(why(task));
            said
        }
        (None, several) => {
            let all = count(several.len() + landed, "task");
            let not = if mode == Mode::DryRun { "would not be landed" } else { "were not landed" };
            let mut said = CommandError::refused(format!("{} of {all} {not}", several.len()));
            said.causes.extend(each());
            said
        }
    };
    let advice = |(task, target): &(Landed, String)| match mode {
        Mode::Real => advice(task, target),
        Mode::DryRun => foretold(task).or_else(|| advice(task, target)),
    };
    for hint in failed.iter().take(TOLD).filter_map(advice) {
        said = said.hint(hint);
    }
    Err(match signal.or(code) {
        Some(code) => said.code(code),
        None => said,
    })
}

fn note_unchanged(waiting: &[TaskName]) {
    if !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(|name| format!("`{name}`")).collect();
        message::note(&format!("not tried again, since nothing has changed: {}", names.join(", ")));
    }
}

fn why(task: &Landed) -> String {
    match &task.fate {
        Fate::Landed { .. } | Fate::Nothing => String::new(),
        Fate::Conflict { paths, reason, .. } => {
            let why = reason.as_ref().map_or_else(String::new, |reason| format!("; {reason}"));
            format!("conflict in {}; its branch is as it was{why}", count(paths.len(), "file"))
        }
        // The answer has the reason.
        Fate::Review { .. } => "a person must decide; its branch is as it was".to_owned(),
        Fate::Rejected(failure) => format!("{failure}; its branch is as it was"),
        Fate::LeftOut(why) => why.to_string(),
    }
}

/// Returns what helps where nothing was decided yet: nothing is there to be approved or resolved.
fn foretold(task: &Landed) -> Option<String> {
    let name = &task.id.name;
    match &task.fate {
        Fate::Conflict { paths, .. } if paths.iter().all(|path| path.kind.is_text()) => Some(format!(
            "land it with `wt merge {name}`: what nobody merges is then for `wt resolve {name}`"
        )),
        Fate::Review { .. } => {
            Some(format!("put it into review with `wt merge {name}`; then see it with `wt diff {name}`"))
        }
        _ => None,
    }
}

fn advice(task: &Landed, target: &str) -> Option<String> {
    let name = &task.id.name;
    match &task.fate {
        Fate::Landed { .. } | Fate::Nothing => None,
        Fate::Conflict { paths, .. } if paths.iter().all(|path| path.kind.is_text()) => {
            Some(format!("resolve it with `wt resolve {name}`, then land it with `wt merge {name}`"))
        }
        // What cannot be replayed without its merges can still be merged.
        Fate::Conflict { commit: None, paths, .. }
            if paths.iter().all(|path| path.kind == ConflictKind::Other) =>
        {
            Some(format!("land it with a merge commit: `wt merge {name} --merge-commit`"))
        }
        Fate::Conflict { .. } => Some(format!(
            "resolve it with `wt exec {name} -- git rebase {target}`, then `wt done {name}` and `wt merge {name}`"
        )),
        Fate::Review { paths, .. } if paths.is_empty() => {
            Some(format!("see it with `wt diff {name}`; then `wt approve {name}`, and `wt merge {name}`"))
        }
        Fate::Review { .. } => Some(format!(
            "see it with `wt diff {name}`; then `wt approve {name}` or `wt resolve {name}`, and `wt merge {name}`"
        )),
        Fate::Rejected(failure) => {
            Some(format!("see the whole output with `less {}`", failure.log.display()))
        }
        Fate::LeftOut(why) => left_out(name, target, why),
    }
}

fn left_out(name: &TaskName, target: &str, why: &LeftOut) -> Option<String> {
    match why {
        LeftOut::Parent { parent, .. } => Some(format!("see what it waits for with `wt status {parent}`")),
        LeftOut::Dirty { .. } => Some(format!(
            "see them with `wt exec {name} -- git status`; commit or remove them, then `wt merge {name}`"
        )),
        LeftOut::Generated { path } => Some(format!(
            "take it out with `wt exec {name} -- git rm --cached {path}`, commit that, then `wt merge {name}`"
        )),
        LeftOut::Unfinished { .. } => Some(format!("see how to end it with `wt exec {name} -- git status`")),
        LeftOut::Strayed { .. } => {
            Some(format!("see where it is with `wt exec {name} -- git log --oneline -5`"))
        }
        LeftOut::Overlap { checkout, .. } => Some(format!(
            "commit or move them, see `git -C {} status`; then `wt merge {name}`",
            checkout.display()
        )),
        LeftOut::Outrun { .. } | LeftOut::Changed { .. } => Some(format!("try again with `wt merge {name}`")),
        LeftOut::Empty => Some(format!("let its agent go on with `wt retry {name}`")),
        LeftOut::Merges { .. } => Some(format!(
            "land it with a merge commit: `wt merge {name} --merge-commit`; or make it straight with `wt exec {name} -- git rebase {target}`"
        )),
        LeftOut::Message { .. } => Some("see the values of the template with `wt schema config`".to_owned()),
        LeftOut::Unreadable { .. } => Some("look for damage with `wt doctor`".to_owned()),
        LeftOut::Configuration { .. } => {
            Some(format!("see what it changes there with `wt exec {name} -- git log -p -- .wt.toml`"))
        }
        LeftOut::Itself => Some(format!("name another one with `wt merge {name} --into BRANCH`")),
        LeftOut::NoBranch | LeftOut::Unrelated { .. } => None,
    }
}
