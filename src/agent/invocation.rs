//! From an adapter and a request to an argument vector and an environment.
//!
//! Invariant: no shell. A value fills a place in one argument and can never become a second argument or a flag's name.

use super::adapter::{Adapter, AdapterError};
use crate::model::adapter::PromptBy;

/// The longest single argument that Linux passes (`MAX_ARG_STRLEN` less the closing zero).
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;

/// What one attempt asks of an agent. `None` and empty: `wt` has no such value and its arguments are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The model.
    pub model: Option<&'a str>,
    /// The models to fall back to, in order.
    pub fallback: &'a [String],
    /// The id that a new session is to have.
    pub session: Option<&'a str>,
    /// The session to take up again; rules out `session`.
    pub resume: Option<&'a str>,
    /// The cap on turns.
    pub max_turns: Option<u32>,
    /// The cap on cost, in US dollars.
    pub max_cost: Option<f64>,
    /// The task's name.
    pub name: &'a str,
    /// The prompt.
    pub prompt: &'a str,
    /// The absolute path of a file that holds the prompt.
    pub prompt_file: &'a str,
    /// The absolute path of a file with settings for the agent.
    pub settings: Option<&'a str>,
    /// The absolute path of the attempt's folder.
    pub run_dir: &'a str,
    /// The absolute path of the worktree's own git folder.
    pub git_dir: &'a str,
    /// The absolute path of the repository's git folder.
    pub git_common_dir: &'a str,
}

/// What the agent's standard input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdinFrom {
    /// The file with the prompt.
    PromptFile,
    /// Nothing: an agent that has its prompt already may wait for more on an open input.
    Null,
}

/// A program to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables to add to its environment.
    pub env: Vec<(String, String)>,
    /// Its standard input.
    pub stdin: StdinFrom,
}

impl Adapter {
    /// Returns how the agent is started for `request`; asks the system whether `wt` runs as root.
    pub fn invocation(&self, request: &Request) -> Result<Invocation, AdapterError> {
        let user = if rustix::process::geteuid().is_root() { User::Root } else { User::Other };
        self.invocation_as(user, request)
    }

    /// Returns how the agent is started for a person at a terminal, taking `session` up again where it can.
    pub fn attach_invocation(&self, session: Option<&str>) -> Option<Vec<String>> {
        let spec = self.spec();
        let command = spec.attach_command.as_ref()?;
        let request = Request { resume: session, ..Request::default() };
        let values = Values(&request);
        let mut argv = values.fill_all(command);
        let named = command.iter().any(|argument| argument.contains("{session}"));
        if session.is_some() && !named {
            argv.extend(spec.args.get("resume").map(|group| values.fill_all(group)).unwrap_or_default());
        }
        Some(argv)
    }

    fn invocation_as(&self, user: User, request: &Request) -> Result<Invocation, AdapterError> {
        let spec = self.spec();
        let values = Values(request);
        let mut argv = match (&spec.resume_command, request.resume) {
            (Some(command), Some(_)) => values.fill_all(command),
            _ => values.fill_all(&spec.command),
        };
        for (group, arguments) in &spec.args {
            let wanted = match group.as_str() {
                "model" => request.model.is_some(),
                "fallback_model" => !request.fallback.is_empty(),
                "session" => request.session.is_some() && request.resume.is_none(),
                "resume" => request.resume.is_some() && spec.resume_command.is_none(),
                "max_turns" => request.max_turns.is_some(),
                "max_cost" => request.max_cost.is_some(),
                "name" => !request.name.is_empty(),
                "settings" => request.settings.is_some(),
                _ => false,
            };
            if wanted {
                argv.extend(values.fill_all(arguments));
            }
        }
        argv.extend(values.fill_all(&spec.prompt_args));
        if spec.prompt == PromptBy::Arg {
            if spec.prompt_args.is_empty() {
                argv.push(request.prompt.to_owned());
            }
            if let Some(long) = argv.iter().find(|argument| argument.len() > LONGEST_ARGUMENT) {
                return Err(AdapterError::PromptTooLong { bytes: long.len(), most: LONGEST_ARGUMENT });
            }
        }
        let mut env = Vec::new();
        let root = if user == User::Root { Some(&spec.env_if_root) } else { None };
        for (key, value) in spec.env.iter().chain(root.into_iter().flatten()) {
            if let Some(value) = values.fill(value) {
                env.push((key.clone(), value));
            }
        }
        let stdin = match spec.prompt {
            PromptBy::Stdin => StdinFrom::PromptFile,
            PromptBy::Arg | PromptBy::File => StdinFrom::Null,
        };
        Ok(Invocation { argv, env, stdin })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Root,
    Other,
}

/// The values of placeholders.
struct Values<'a>(&'a Request<'a>);

/// What stands between two braces.
enum Place {
    /// A placeholder with a value.
    Value(String),
    /// A placeholder whose value `wt` does not have.
    Absent,
    /// Text that only looks like one (an argument may be JSON).
    Text,
}

impl Values<'_> {
    fn place(&self, key: &str) -> Place {
        let request = self.0;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let value = match key {
            "model" => request.model.map(str::to_owned),
            "models_csv" => some(&request.fallback.join(",")),
            "session" => request.resume.or(request.session).map(str::to_owned),
            "n" => request.max_turns.map(|n| n.to_string()),
            "usd" => request.max_cost.map(|usd| usd.to_string()),
            "task" => some(request.name),
            "prompt" => Some(request.prompt.to_owned()),
            "prompt_file" => some(request.prompt_file),
            "settings" => request.settings.map(str::to_owned),
            "run_dir" => some(request.run_dir),
            "git_dir" => some(request.git_dir),
            "git_common_dir" => some(request.git_common_dir),
            _ => return Place::Text,
        };
        value.map_or(Place::Absent, Place::Value)
    }

    /// Returns `template` with its placeholders filled in one pass, so that a value with braces in it stays as it is;
    /// `None` if one has no value.
    fn fill(&self, template: &str) -> Option<String> {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            let close = from.find('}').unwrap_or(0);
            match if close > 0 { self.place(&from[1..close]) } else { Place::Text } {
                Place::Value(value) => {
                    filled.push_str(&value);
                    rest = &from[close + 1..];
                }
                Place::Absent => return None,
                Place::Text => {
                    filled.push('{');
                    rest = &from[1..];
                }
            }
        }
        filled.push_str(rest);
        Some(filled)
    }

    fn fill_all(&self, templates: &[String]) -> Vec<String> {
        templates.iter().filter_map(|template| self.fill(template)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::adapter::tests::{claude, read};
    use super::*;

    fn request() -> Request<'static> {
        Request {
            name: "auth",
            prompt: "do {session} it",
            prompt_file: "/s/prompt.md",
            run_dir: "/s/1",
            ..Request::default()
        }
    }

    #[test]
    fn claude_gets_only_the_arguments_that_have_a_value() {
        let fallback = ["sonnet".to_owned(), "haiku".to_owned()];
        let full = Request {
            model: Some("opus"),
            fallback: &fallback,
            session: Some("u-1"),
            max_cost: Some(2.5),
            ..request()
        };
        let invocation = claude().invocation_as(User::Other, &full).unwrap();
        let line = invocation.argv.join(" ");
        assert_eq!(
            line,
            "claude -p --output-format stream-json --verbose --dangerously-skip-permissions \
             --fallback-model sonnet,haiku --max-budget-usd 2.5 --model opus --name auth --session-id u-1"
        );
        assert_eq!(invocation.stdin, StdinFrom::PromptFile);
        assert!(invocation.env.iter().all(|(key, _)| key != "IS_SANDBOX"));
        let root = claude().invocation_as(User::Root, &full).unwrap();
        assert!(root.env.contains(&("IS_SANDBOX".to_owned(), "1".to_owned())));
    }

    #[test]
    fn a_resumed_session_is_never_also_a_new_one() {
        let both = Request { session: Some("new"), resume: Some("old"), ..request() };
        let line = claude().invocation_as(User::Other, &both).unwrap().argv.join(" ");
        assert!(line.ends_with("--name auth --resume old"), "{line}");
        assert_eq!(claude().attach_invocation(Some("old")).unwrap(), ["claude", "--resume", "old"]);
        assert_eq!(claude().attach_invocation(None).unwrap(), ["claude"]);
    }

    #[test]
    fn values_fill_places_once_and_never_split() {
        let adapter = read(
            "x",
            r#"[agents.x]
            command = ["x", "--json={\"a\":{\"b\":1}}", "--m={model}"]
            prompt = "arg"
            prompt_args = ["-p", "{prompt}"]"#,
        )
        .unwrap();
        let invocation =
            adapter.invocation_as(User::Other, &Request { prompt: "a b {model} $(id)", ..request() });
        let invocation = invocation.unwrap();
        assert_eq!(invocation.argv, ["x", "--json={\"a\":{\"b\":1}}", "-p", "a b {model} $(id)"]);
        assert_eq!(invocation.stdin, StdinFrom::Null);
    }

    #[test]
    fn a_prompt_beyond_the_limit_of_an_argument_is_refused() {
        let adapter = read("x", "[agents.x]\ncommand = [\"x\"]\nprompt = \"arg\"").unwrap();
        let long = "x".repeat(LONGEST_ARGUMENT + 1);
        let result = adapter.invocation_as(User::Other, &Request { prompt: &long, ..request() });
        assert!(matches!(result, Err(AdapterError::PromptTooLong { .. })));
    }

    #[test]
    fn a_resume_command_replaces_command_and_resume_arguments() {
        let adapter = read(
            "codex",
            r#"[agents.codex]
            command = ["codex", "exec", "--json"]
            prompt_args = ["-"]
            resume_command = ["codex", "exec", "resume", "{session}", "--json"]
            args.resume = ["never"]"#,
        )
        .unwrap();
        let argv =
            adapter.invocation_as(User::Other, &Request { resume: Some("t"), ..request() }).unwrap().argv;
        assert_eq!(argv, ["codex", "exec", "resume", "t", "--json", "-"]);
    }
}
