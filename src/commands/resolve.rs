//! `wt resolve`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use fs_err as fs;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use crate::error::{self, CommandError, During as _};
use crate::git::mergetool::{self, Tool};
use crate::land::review::{self, ByHand, ReviewError, Unresolved};
use crate::model::text::count;
use crate::model::view::SCHEMA;
use crate::model::view::verbs::ResolveView;
use crate::model::{State, Task};
use crate::store::layout::private_folder;
use crate::ui;

/// Resolve by hand what does not merge, in your merge tool or editor.
///
/// Each conflicted file opens with markers that show both sides and what they started from. The result is remembered, and
/// the next `wt merge` lands it if the checks agree. An unfinished resolution is kept: run the command again to go on.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The task, in conflict or in review.
    #[arg(add = ArgValueCandidates::new(task_names))]
    name: String,
    /// The merge tool; default: `merge.tool` of git's configuration, else the editor.
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::NotNeeded)?;
    let name = args.name.as_str();
    let task = context.task(name)?;
    if !matches!(task.state, State::Conflict | State::Review) {
        return Err(CommandError::refused(format!(
            "`{name}` is {}: there is nothing to resolve",
            task.state.word()
        ))
        .hint(format!("wt status {name}")));
    }
    let merged = task.landing.as_ref().is_some_and(|landing| landing.conflicts.is_empty());
    if task.state == State::Review && merged {
        return Err(CommandError::refused(format!("`{name}` merges: what is in review is no conflict"))
            .hint(format!("see it with `wt diff {name}`, then `wt approve {name}`")));
    }
    let tool = match &args.tool {
        Some(tool) => Tool::Named(tool.clone()),
        None => {
            mergetool::preferred(context.repo()).during(|| "git's configuration cannot be read".to_owned())?
        }
    };
    let mut resolved = Vec::new();
    while let Some(unresolved) = next(&context, &task)? {
        let desk = Desk::at(&context, &task, &unresolved)?;
        context.note(&format!(
            "commit {} does not merge: {}",
            unresolved.commit.short(),
            count(unresolved.files.len(), "file")
        ));
        desk.work(&context, name, &unresolved, &tool)?;
        let results = desk.results(name, &unresolved)?;
        review::settle_by_hand(&context.site(), &unresolved, &results)
            .map_err(|error| refusal(name, &error))?;
        resolved.extend(unresolved.files.into_iter().map(|file| file.path));
        desk.clear();
    }
    let (site, journal) = context.parts();
    review::finish_by_hand(&site, journal, &task).map_err(|error| refusal(name, &error))?;
    context.pass();
    super::auto::begin(&mut context);
    if args.json {
        ui::json(&ResolveView { schema: SCHEMA, name, state: "done", resolved });
    } else {
        let files = count(resolved.len(), "file");
        ui::answer(&format!("{name} done; {files} resolved; {}", context.how_it_lands(name)));
    }
    Ok(error::DONE)
}

fn next(context: &Context, task: &Task) -> Result<Option<Unresolved>, CommandError> {
    review::next_by_hand(&context.site(), task).map_err(|error| {
        let name = task.name();
        match error {
            ReviewError::NoText(_) => refusal(name.as_str(), &error).hint(format!(
                "wt exec {name} -- git rebase {}, then `wt done {name}` and `wt merge {name}`",
                task.spec.target
            )),
            _ => refusal(name.as_str(), &error),
        }
    })
}

fn refusal(name: &str, error: &ReviewError) -> CommandError {
    CommandError::caused(format!("`{name}` is not resolved; its branch is as it was"), error)
}

/// The folder in which a person resolves one commit: it stays until that is done.
struct Desk {
    folder: PathBuf,
}

impl Desk {
    fn at(context: &Context, task: &Task, unresolved: &Unresolved) -> Result<Self, CommandError> {
        let of = format!("{}-{}", unresolved.commit.short(), unresolved.onto.short());
        let desk = Self { folder: context.layout().task(&task.id).root().join("resolve").join(of) };
        let failed = || format!("no files can be laid out for `{}`", task.name());
        private_folder(&desk.folder).during(failed)?;
        for file in &unresolved.files {
            let path = desk.file(file);
            if path.exists() {
                continue; // Begun before.
            }
            fs::create_dir_all(path.parent().unwrap_or(&desk.folder)).during(failed)?;
            fs::write(&path, &file.marked).during(failed)?;
        }
        Ok(desk)
    }

    fn file(&self, file: &ByHand) -> PathBuf {
        self.folder.join(&file.path)
    }

    /// Opens the files that still have markers.
    fn work(
        &self,
        context: &Context,
        name: &str,
        unresolved: &Unresolved,
        tool: &Tool,
    ) -> Result<(), CommandError> {
        let open = |file: &&ByHand| !fs::read(self.file(file)).is_ok_and(|text| file.is_resolved(&text));
        let staged: Vec<_> = unresolved.files.iter().filter(open).map(ByHand::staged).collect();
        if staged.is_empty() {
            return Ok(());
        }
        let ended = mergetool::open(context.repo(), &self.folder, &staged, tool)
            .during(|| format!("the files of `{name}` cannot be opened"))?;
        if ended {
            return Ok(());
        }
        let what = match tool {
            Tool::Editor => "the editor failed".to_owned(),
            Tool::Named(tool) => format!("the merge tool `{tool}` failed, or git does not know it"),
        };
        Err(CommandError::refused(format!("{what}; `{name}` is as it was")).hint(self.again(name)))
    }

    fn results(&self, name: &str, unresolved: &Unresolved) -> Result<Vec<Vec<u8>>, CommandError> {
        let mut results = Vec::new();
        for file in &unresolved.files {
            let text = fs::read(self.file(file))
                .during(|| format!("the result for `{}` cannot be read", file.path))?;
            if !file.is_resolved(&text) {
                return Err(CommandError::refused(format!(
                    "`{}` still has conflict markers; `{name}` is as it was, your edits are kept",
                    file.path
                ))
                .hint(self.again(name)));
            }
            results.push(text);
        }
        Ok(results)
    }

    fn again(&self, name: &str) -> String {
        format!("go on with `wt resolve {name}`; the files are in {}", self.folder.display())
    }

    /// What was decided is remembered; a folder that stays is no harm.
    fn clear(&self) {
        drop(fs::remove_dir_all(&self.folder));
        drop(self.folder.parent().map(fs::remove_dir)); // Only if it was the last one.
    }
}
