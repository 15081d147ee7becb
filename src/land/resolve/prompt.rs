//! The prompt of a resolver, from its template.
//!
//! Invariant: what is told of tasks and files is a value of the template, never a part of it.

use minijinja::{Environment, UndefinedBehavior, context};

use super::material::Material;
use crate::model::text::one_line;

/// The built-in template.
const TEMPLATE: &str = include_str!("../../../templates/resolve.md");
/// The name under which `.wt/templates/` may replace it.
pub const TEMPLATE_NAME: &str = "resolve.md";

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
#[error("the template `{TEMPLATE_NAME}` fails in line {line}: {message}")]
pub struct TemplateError {
    line: usize,
    message: String,
}

/// What was wrong with the result before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// What speaks against it, a sentence each.
    pub(super) sentences: Vec<String>,
    /// The end of a failed check's output; may be empty.
    pub(super) output: String,
}

/// Whether the resolver has heard the rest before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// It knows nothing.
    Fresh,
    /// It goes on.
    Resumed,
}

/// Returns the prompt; `template`: the one of `.wt/templates/` as committed on the target and approved.
pub(super) fn render(
    template: Option<&[u8]>,
    material: &Material,
    worktree: &str,
    kept: &str,
    refused: &Refused,
    session: Session,
) -> Result<String, TemplateError> {
    let broken = |error: &minijinja::Error| TemplateError {
        line: error.line().unwrap_or(1),
        message: one_line(&error.detail().map_or_else(|| error.kind().to_string(), str::to_owned), 200),
    };
    let source = match template {
        Some(bytes) => std::str::from_utf8(bytes)
            .map_err(|_| TemplateError { line: 1, message: "it is not UTF-8".to_owned() })?,
        None => TEMPLATE,
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template(TEMPLATE_NAME, source).map_err(|error| broken(&error))?;
    let template = environment.get_template(TEMPLATE_NAME).map_err(|error| broken(&error))?;
    let values = context! {
        worktree,
        kept,
        refused => &refused.sentences,
        again => &refused.output,
        resumed => session == Session::Resumed,
        ..minijinja::Value::from(minijinja::value::Serde(material)),
    };
    template.render(values).map_err(|error| broken(&error))
}
