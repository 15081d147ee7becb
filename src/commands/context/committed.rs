//! The repository's own configuration and templates, as committed on the target. A worktree's files are never read.

use super::INSTRUCTIONS;
use crate::agent::BUILT_IN;
use crate::config::{self, Executable, Layers};
use crate::error::{CommandError, During as _};
use crate::git::{Repo, history};
use crate::land;
use crate::model::text::one_line;
use crate::model::{Oid, Settings};
use crate::supervise;
use crate::ui::message;

/// A template that a repository may override, beside [`INSTRUCTIONS`]: what an iteration of a loop is told.
const ITERATION: &str = supervise::ITERATION_TEMPLATE;

/// The repository's own configuration file.
const FILE: &str = ".wt.toml";

/// Joins the repository's own configuration with all others.
fn load(repository: Option<&[u8]>) -> Result<config::Loaded, config::ConfigError> {
    let user = config::user_folder().map(|folder| folder.join("config.toml"));
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config::load(&Layers {
        built_in: &BUILT_IN,
        user: user.as_deref(),
        repository,
        environment: &environment,
    })
}

/// Returns what is wrong with the configuration that `new` would bring where `old` was: with it no command would run any more.
pub fn config_fault(repo: &Repo, old: &Oid, new: &Oid) -> Option<String> {
    // What cannot be read here is refused where it is needed.
    let of = |commit: &Oid| repo.blob_at(commit, FILE).ok().flatten();
    let file = of(new);
    if file == of(old) {
        return None;
    }
    load(file.as_deref()).err().map(|error| error.to_string())
}

/// Why there are no settings, and what there is without the repository's own file.
pub(super) struct Fault {
    pub(super) refusal: CommandError,
    /// `None`: it is not that file's fault.
    pub(super) without: Option<Settings>,
}

/// The repository's own configuration, as committed on the target.
pub(super) struct Committed {
    tip: Option<Oid>,
    file: Option<Vec<u8>>,
    pub(super) template: Option<Vec<u8>>,
    pub(super) iteration: Option<Vec<u8>>,
    pub(super) resolver_template: Option<Vec<u8>>,
}

impl Committed {
    pub(super) fn read(repo: &Repo, target: Option<&str>) -> Result<Self, CommandError> {
        let tip = target.and_then(|target| repo.branch_tip(target).transpose()).transpose();
        let Some(tip) = tip.during(|| "the target cannot be read".to_owned())? else {
            return Ok(Self {
                tip: None,
                file: None,
                template: None,
                iteration: None,
                resolver_template: None,
            });
        };
        let [template, iteration, resolver] = [INSTRUCTIONS, ITERATION, land::resolve::TEMPLATE_NAME]
            .map(|name| format!(".wt/templates/{name}"));
        let [file, template, iteration, resolver_template] = repo
            .blobs_at(&tip, [FILE, &template, &iteration, &resolver])
            .during(|| "the configuration on the target cannot be read".to_owned())?;
        Ok(Self { tip: Some(tip), file, template, iteration, resolver_template })
    }

    /// Returns the settings of all layers; `target`: the branch that this was read from.
    pub(super) fn settings(&self, repo: &Repo, target: Option<&str>) -> Result<Settings, Box<Fault>> {
        let refused = |error: &config::ConfigError| {
            CommandError::caused("the configuration is not usable; nothing was made", error)
        };
        let loaded = load(self.file.as_deref()).map_err(|error| {
            let without = self.file.as_ref().and_then(|_| load(None).ok());
            let mut refusal = refused(&error);
            if without.is_some() {
                self.blame(repo, target, &mut refusal);
            }
            Box::new(Fault { refusal, without: without.map(told) })
        })?;
        Ok(told(loaded))
    }

    /// Adds which commit brought the file as it is, and how to see it.
    fn blame(&self, repo: &Repo, target: Option<&str>, refusal: &mut CommandError) {
        let (Some(tip), Some(target)) = (&self.tip, target) else { return };
        // Without it the file and the line are still named.
        if let Ok(Some(by)) = history::last_change(repo, tip, FILE) {
            let (author, subject) = (one_line(&by.author, 60), one_line(&by.message, 80));
            let short = by.oid.short();
            refusal.causes.push(format!("it is so on `{target}` since {short}, `{subject}`, by {author}"));
        }
        refusal.hints.push(format!("see what changed it with `git log -p -1 {target} -- {FILE}`"));
    }

    pub(super) fn executable(&self, repo: &Repo) -> Result<Option<Executable>, CommandError> {
        let named = [
            (INSTRUCTIONS, &self.template),
            (ITERATION, &self.iteration),
            (land::resolve::TEMPLATE_NAME, &self.resolver_template),
        ];
        let templates: Vec<(String, Vec<u8>)> =
            named.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), bytes.clone()?))).collect();
        config::executable(repo.common_dir(), self.file.as_deref(), &templates)
            .during(|| "the configuration is not usable".to_owned())
    }
}

/// Tells the keys that nobody reads, and returns the settings.
fn told(loaded: config::Loaded) -> Settings {
    for warning in loaded.warnings {
        let nearest = warning.nearest.map(|key| format!(", perhaps `{key}`")).unwrap_or_default();
        message::warning(&format!("{}: unknown key `{}`{nearest}", warning.file, warning.key));
    }
    loaded.settings
}
