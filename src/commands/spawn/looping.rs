//! What a spawn is asked for about a loop, checked before anything is made.

use std::path::{Component, Path};

use serde_json::Value;

use super::Args;
use crate::commands::context::Context;
use crate::error::{CommandError, During as _};
use crate::model::task::Looping;
use crate::model::text::one_line;
use crate::supervise::prd;
use crate::ui::message;

/// The most iterations that can be asked for, as in the configuration.
const MOST: u32 = 10_000;

/// What stands for the value of a lone `--loop`.
pub(super) const CONFIGURED: &str = "max";

/// The options of this and of other loop tools, which people write behind the prompt and inside its quotes.
const OPTIONS: [&str; 6] =
    ["--loop", "--max-iterations", "--until", "--completion-promise", "--prd", "--max-loops"];

/// How many iterations are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Iterations {
    /// As many as the configuration says.
    Configured,
    /// So many.
    AtMost(u32),
}

/// Reads the value of `--loop`; without one, clap says [`CONFIGURED`].
pub(super) fn iterations(text: &str) -> Result<Iterations, String> {
    match text.parse() {
        _ if text == CONFIGURED => Ok(Iterations::Configured),
        Ok(n @ 1..=MOST) => Ok(Iterations::AtMost(n)),
        _ => Err(format!(
            "a loop has 1 to {MOST} iterations; without a number, write `--loop` as the last option"
        )),
    }
}

/// Reads the key `loop` of a line of JSON: `true`, or a number of iterations.
pub(super) fn of_line(value: Option<&Value>) -> Result<Option<Iterations>, String> {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(Iterations::Configured)),
        Some(Value::Number(n)) => {
            let n = n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=MOST).contains(n));
            n.map(|n| Some(Iterations::AtMost(n))).ok_or_else(|| format!("1 to {MOST} iterations"))
        }
        Some(_) => Err("a number of iterations, or true".to_owned()),
    }
}

/// Returns the loop that `args` ask for.
pub(super) fn wish(context: &Context, args: &Args, target: &str) -> Result<Option<Looping>, CommandError> {
    let Some(asked) = args.looping else { return Ok(None) };
    let settings = &context.settings().looping;
    let max = match asked {
        Iterations::Configured => settings.max,
        Iterations::AtMost(n) => n,
    };
    let until = args.until.as_deref().unwrap_or(&settings.until);
    let until = until.split_whitespace().collect::<Vec<_>>().join(" ");
    let own = until == "NOTHING" || until == "BLOCKED" || until.starts_with("BLOCKED:");
    if until.is_empty() || until.contains("<promise>") || until.contains("</promise>") || own {
        return Err(CommandError::usage(format!(
            "`{}` cannot end a loop: NOTHING and BLOCKED have a meaning of their own, and a tag or nothing at all is no text; nothing was made",
            one_line(&until, 60)
        )));
    }
    if let Some(path) = &args.prd {
        check_prd(context, path, args.base.as_deref(), target)?;
    }
    Ok(Some(Looping { max, until, no_progress: settings.no_progress, prd: args.prd.clone() }))
}

/// Refuses a file of requirements that could never be used. One that is not committed may come later.
fn check_prd(context: &Context, path: &str, base: Option<&str>, target: &str) -> Result<(), CommandError> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !inside {
        return Err(CommandError::usage(format!(
            "`{}` is not a path inside the worktree; nothing was made",
            one_line(path, 80)
        )));
    }
    let repo = context.repo();
    let what = || format!("`{path}` cannot be read; nothing was made");
    let commit = repo.commit(base.unwrap_or(target)).during(what)?;
    match repo.blob_at(&commit, path).during(what)? {
        Some(bytes) => {
            prd::parse(&bytes).during(|| format!("`{path}` is not usable; nothing was made"))?;
        }
        None => message::warning(&format!(
            "`{path}` is not committed: the loop cannot end before there is one in its worktree"
        )),
    }
    Ok(())
}

/// Tells a person whose options became part of the prompt; a loop without a bound was started that way.
pub(super) fn warn_of_swallowed_options(args: &Args) {
    let Some(prompt) = args.prompt.as_deref() else { return };
    let words: Vec<&str> = prompt.split_whitespace().collect();
    let last = words.iter().rev().take(3);
    if let Some(option) = last.into_iter().find(|word| OPTIONS.contains(word)) {
        message::warning(&format!("`{option}` stands inside the prompt: it is part of it, and no option"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_a_number_in_range() {
        assert_eq!(iterations("20"), Ok(Iterations::AtMost(20)));
        assert_eq!(iterations(CONFIGURED), Ok(Iterations::Configured));
        for bad in ["0", "-1", "10001", "Add login", "", "1.5", "2 "] {
            assert!(iterations(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_says_true_or_a_number() {
        let of = |text: &str| of_line(Some(&serde_json::from_str(text).unwrap()));
        assert_eq!(of("true"), Ok(Some(Iterations::Configured)));
        assert_eq!(of("3"), Ok(Some(Iterations::AtMost(3))));
        assert_eq!((of("false"), of("null"), of_line(None)), (Ok(None), Ok(None), Ok(None)));
        for bad in ["0", "-1", "\"3\"", "1.5", "[3]", "99999999999"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
