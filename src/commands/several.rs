//! Doing one thing to several tasks: each outcome told, one exit code for all.

use super::context::Context;
use crate::error::{self, CommandError};
use crate::model::view::SCHEMA;
use crate::model::view::verbs::{OneView, SeveralView};
use crate::ui::{self, message};

/// The outcomes so far.
#[derive(Debug, Default)]
struct Several {
    tasks: Vec<OneView>,
    failures: Vec<CommandError>,
}

/// Does `act` to each of `names`, serves the queue, tells what came of it, and returns the exit code.
pub fn each<N: AsRef<str>>(
    context: &mut Context,
    names: impl IntoIterator<Item = N>,
    json: bool,
    mut act: impl FnMut(&mut Context, &str) -> Result<(String, String), CommandError>,
) -> Result<u8, CommandError> {
    let outcomes = names.into_iter().map(|name| (name.as_ref().to_owned(), act(context, name.as_ref())));
    let outcomes = outcomes.collect();
    all(context, outcomes, json)
}

/// What came of one task: the word of its state and what else people should know.
pub type Outcome = (String, Result<(String, String), CommandError>);

/// The same where it is done already, and this came of it.
pub fn all(context: &mut Context, outcomes: Vec<Outcome>, json: bool) -> Result<u8, CommandError> {
    let mut several = Several::default();
    for (name, outcome) in outcomes {
        several.take(&name, outcome);
    }
    context.pass();
    several.finish(json)
}

impl Several {
    /// Takes the outcome for one task: the word of its state and what else people should know.
    fn take(&mut self, name: &str, outcome: Result<(String, String), CommandError>) {
        let name = name.to_owned();
        match outcome {
            Ok((state, detail)) => self.tasks.push(OneView { name, state: Some(state), error: None, detail }),
            Err(refusal) => {
                let error = Some(refusal.message.clone());
                self.tasks.push(OneView { name, state: None, error, detail: String::new() });
                self.failures.push(refusal);
            }
        }
    }

    /// Tells all outcomes and returns the exit code: that of the failure if all failed, 3 if some did.
    fn finish(mut self, json: bool) -> Result<u8, CommandError> {
        let (all, failed) = (self.tasks.len(), self.failures.len());
        if json {
            ui::json(&SeveralView { schema: SCHEMA, tasks: self.tasks });
        } else {
            for task in self.tasks.iter().filter(|task| task.error.is_none()) {
                ui::answer(&format!(
                    "{} {}{}",
                    task.name,
                    task.state.as_deref().unwrap_or_default(),
                    task.detail
                ));
            }
        }
        match (failed, all) {
            (0, _) => Ok(error::DONE),
            (1, 1) if json => Err(self.failures.remove(0).answered()),
            (1, 1) => Err(self.failures.remove(0)),
            _ => {
                for refusal in &self.failures {
                    message::error(&refusal.message, &refusal.causes, &refusal.hints);
                }
                Ok(if failed == all { error::REFUSED } else { error::SOME_FAILED })
            }
        }
    }
}
