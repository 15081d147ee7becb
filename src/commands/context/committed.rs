//! The repository's own configuration and templates, as committed on the target. A worktree's files are never read.

use super::INSTRUCTIONS;
use crate::agent::BUILT_IN;
use crate::config::{self, Executable, Layers};
use crate::error::{CommandError, During as _};
use crate::git::Repo;
use crate::land;
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

/// The repository's own configuration, as committed on the target.
pub(super) struct Committed {
    file: Option<Vec<u8>>,
    pub(super) template: Option<Vec<u8>>,
    pub(super) iteration: Option<Vec<u8>>,
    pub(super) resolver_template: Option<Vec<u8>>,
}

impl Committed {
    pub(super) fn read(repo: &Repo, target: Option<&str>) -> Result<Self, CommandError> {
        let tip = target.and_then(|target| repo.branch_tip(target).transpose()).transpose();
        let Some(tip) = tip.during(|| "the target cannot be read".to_owned())? else {
            return Ok(Self { file: None, template: None, iteration: None, resolver_template: None });
        };
        let blob =
            |path: &str| repo.blob_at(&tip, path).during(|| format!("`{path}` on the target cannot be read"));
        let template = |name: &str| blob(&format!(".wt/templates/{name}"));
        Ok(Self {
            file: blob(FILE)?,
            template: template(INSTRUCTIONS)?,
            iteration: template(ITERATION)?,
            resolver_template: template(land::resolve::TEMPLATE_NAME)?,
        })
    }

    pub(super) fn settings(&self) -> Result<Settings, CommandError> {
        let loaded = load(self.file.as_deref())
            .during(|| "the configuration is not usable; nothing was made".to_owned())?;
        for warning in loaded.warnings {
            let nearest = warning.nearest.map(|key| format!(", perhaps `{key}`")).unwrap_or_default();
            message::warning(&format!("{}: unknown key `{}`{nearest}", warning.file, warning.key));
        }
        Ok(loaded.settings)
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
