//! The message of the one commit that a task becomes, from its template.
//!
//! Invariant: what is told of a task is a value of the template, never a part of it; a template that cannot be right is
//! refused before anything is begun ([`Message::new`]).

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::git::history::Account;
use crate::model::text::one_line;

/// One commit for all of a task: what it does, and what it was made of.
const SQUASH: &str = "{{ title }}\n\n{% for commit in commits %}* {{ commit.subject }}\n{% endfor %}\n\
    {% for trailer in trailers %}{{ trailer }}\n{% endfor %}";
/// As git words it, and what the branch does.
const MERGE: &str = "Merge branch '{{ branch }}'{% if target not in ['main', 'master'] %} into {{ target }}{% endif %}\
    \n\n{{ title }}\n";
/// What a template may use up: a step of it is one, and no message of a thousand commits needs a tenth of this. One that
/// goes round for ever would end no landing.
const FUEL: u64 = 2_000_000;
/// The longest first line that is made of a prompt, in characters.
const TITLE: usize = 72;

/// Why there is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The template is wrong, or does not fit this task.
    #[error("the template `[merge] message` fails in line {line}: {reason}")]
    Template {
        /// The line in it, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Nothing came of it.
    #[error("the template `[merge] message` gives an empty message")]
    Empty,
}

/// What a commit is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Squash,
    MergeCommit,
}

/// What is told of a task.
#[derive(Debug, Clone, Serialize)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) branch: String,
    pub(super) target: String,
    pub(super) style: Kind,
    pub(super) title: String,
    pub(super) prompt: String,
    pub(super) commits: Vec<Told>,
    pub(super) trailers: Vec<String>,
}

/// What is told of a commit.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    oid: String,
    short: String,
    subject: String,
    body: String,
    author: String,
}

impl From<&Account> for Told {
    fn from(account: &Account) -> Self {
        Self {
            oid: account.oid.to_string(),
            short: account.oid.short().to_owned(),
            subject: account.subject.clone(),
            body: account.body.clone(),
            author: format!("{} <{}>", account.author.name, account.author.mail),
        }
    }
}

/// The template.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// The user's own one.
    own: Option<String>,
}

impl Message {
    /// Takes the template of the settings, empty for the built-in ones, once it was tried on made-up values.
    pub(super) fn new(template: &str) -> Result<Self, MessageError> {
        let own = (!template.trim().is_empty()).then(|| template.to_owned());
        let message = Self { own };
        for style in [Kind::Squash, Kind::MergeCommit] {
            message.of(&sample(style))?;
        }
        Ok(message)
    }

    /// Tells whether the user has one of their own.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Returns the message.
    pub(super) fn of(&self, about: &About) -> Result<String, MessageError> {
        let built_in = match about.style {
            Kind::Squash => SQUASH,
            Kind::MergeCommit => MERGE,
        };
        let broken = |error: &minijinja::Error| MessageError::Template {
            line: error.line().unwrap_or(1),
            reason: one_line(&error.detail().map_or_else(|| error.kind().to_string(), str::to_owned), 200),
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let source = self.own.as_deref().unwrap_or(built_in);
        environment.add_template("message", source).map_err(|error| broken(&error))?;
        let template = environment.get_template("message").map_err(|error| broken(&error))?;
        let values = minijinja::Value::from(minijinja::value::Serde(about));
        let text = tidied(&template.render(values).map_err(|error| broken(&error))?);
        if text.is_empty() { Err(MessageError::Empty) } else { Ok(text) }
    }
}

/// Returns the first line of a prompt that says something, else the subject of the first commit.
pub(super) fn title(prompt: &str, commits: &[Account], name: &str) -> String {
    let of_prompt = prompt.lines().map(|line| line.trim().trim_start_matches('#').trim());
    let of_commits = commits.iter().map(|commit| commit.subject.as_str());
    let found = of_prompt.chain(of_commits).find(|line| !line.is_empty());
    one_line(found.unwrap_or(name), TITLE)
}

/// Returns the trailers of all commits, each once, with those authors who are not the author of the whole.
pub(super) fn trailers(commits: &[Account], author: Option<&Account>) -> Vec<String> {
    const CO_AUTHOR: &str = "co-authored-by:";
    let mut found: Vec<String> = Vec::new();
    for trailer in commits.iter().flat_map(|commit| &commit.trailers) {
        if !found.iter().any(|there| there.eq_ignore_ascii_case(trailer)) {
            found.push(trailer.clone());
        }
    }
    let mail_of = |trailer: &String| {
        let lower = trailer.to_lowercase();
        let (_, mail) = lower.strip_prefix(CO_AUTHOR)?.rsplit_once('<')?;
        Some(mail.trim_end_matches('>').to_owned())
    };
    let mut named: Vec<String> = found.iter().filter_map(mail_of).collect();
    named.extend(author.map(|account| account.author.mail.to_lowercase()));
    for commit in commits {
        let mail = commit.author.mail.to_lowercase();
        if !named.contains(&mail) {
            found.push(format!("Co-authored-by: {} <{}>", commit.author.name, commit.author.mail));
            named.push(mail);
        }
    }
    found
}

/// Takes off what no message has: blank lines around it or several in a row, blanks at the end of lines.
fn tidied(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    while lines.last() == Some(&"") {
        lines.pop();
    }
    lines.iter().fold(String::new(), |text, line| text + line + "\n").replace('\0', "")
}

/// Made-up values, for trying a template.
fn sample(style: Kind) -> About {
    let commit = |n: char| Told {
        oid: n.to_string().repeat(40),
        short: n.to_string().repeat(10),
        subject: "Add a file".to_owned(),
        body: String::new(),
        author: "A <a@example.org>".to_owned(),
    };
    About {
        name: "task".to_owned(),
        branch: "wt/task".to_owned(),
        target: "main".to_owned(),
        style,
        title: "Add a file".to_owned(),
        prompt: "Add a file".to_owned(),
        commits: vec![commit('a'), commit('b')],
        trailers: vec!["Signed-off-by: A <a@example.org>".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::made::Author;
    use crate::model::Oid;

    fn account(n: char, name: &str, trailers: &[&str]) -> Account {
        Account {
            oid: Oid::parse(&n.to_string().repeat(40)).unwrap(),
            author: Author {
                name: name.to_owned(),
                mail: format!("{name}@example.org"),
                date: "1700000000 +0000".to_owned(),
            },
            subject: format!("change {n}"),
            body: String::new(),
            trailers: trailers.iter().map(|trailer| (*trailer).to_owned()).collect(),
        }
    }

    #[test]
    fn the_built_in_messages_read_like_those_of_git() {
        let message = Message::new("").unwrap();
        let about = |style, trailers: &[&str]| About {
            trailers: trailers.iter().map(|trailer| (*trailer).to_owned()).collect(),
            target: "release".to_owned(),
            ..sample(style)
        };
        assert_eq!(
            message.of(&about(Kind::Squash, &["X: y"])).unwrap(),
            "Add a file\n\n* Add a file\n* Add a file\n\nX: y\n"
        );
        assert_eq!(
            message.of(&about(Kind::Squash, &[])).unwrap(),
            "Add a file\n\n* Add a file\n* Add a file\n"
        );
        assert_eq!(
            message.of(&about(Kind::MergeCommit, &[])).unwrap(),
            "Merge branch 'wt/task' into release\n\nAdd a file\n"
        );
        let main = sample(Kind::MergeCommit);
        assert_eq!(message.of(&main).unwrap(), "Merge branch 'wt/task'\n\nAdd a file\n");
    }

    #[test]
    fn what_a_template_cannot_mean_is_refused_with_its_line() {
        let refused = |template: &str| Message::new(template).unwrap_err().to_string();
        assert_eq!(
            refused("{{ nmae }}"),
            "the template `[merge] message` fails in line 1: `nmae` is undefined"
        );
        assert!(
            refused("{{ name }}\n{% for %}").starts_with("the template `[merge] message` fails in line 2: ")
        );
        let endless = "{% for i in range(9999) %}{% for j in range(9999) %}{{ i }}{% endfor %}{% endfor %}";
        assert!(refused(endless).ends_with("engine ran out of fuel"), "{}", refused(endless));
        assert_eq!(refused("{# nothing #}"), "the template `[merge] message` gives an empty message");
        let own = Message::new("{{ name }}: {{ title }}  \n\n\n\n{{ commits[0].short }}\n\n").unwrap();
        assert_eq!(own.of(&sample(Kind::Squash)).unwrap(), "task: Add a file\n\naaaaaaaaaa\n");
    }

    #[test]
    fn the_title_is_what_was_asked_for() {
        let commits = [account('a', "ann", &[])];
        assert_eq!(title("\n## Add JWT  login\nwith tokens", &commits, "x"), "Add JWT login");
        assert_eq!(title(" \n", &commits, "x"), "change a");
        assert_eq!(title("", &[], "x"), "x");
        assert_eq!(title(&"long ".repeat(40), &[], "x").chars().count(), TITLE);
    }

    #[test]
    fn trailers_are_kept_once_and_nobody_is_forgotten() {
        let signed = "Signed-off-by: ann <ann@example.org>";
        let commits = [
            account('a', "ann", &[signed, "Co-authored-by: Cid <CID@example.org>"]),
            account('b', "bob", &["signed-off-by: ann <ann@example.org>", "Fixes: #1"]),
            account('c', "cid", &[]),
            account('d', "ann", &[]),
        ];
        let kept = [
            signed,
            "Co-authored-by: Cid <CID@example.org>",
            "Fixes: #1",
            "Co-authored-by: bob <bob@example.org>",
        ];
        assert_eq!(trailers(&commits, commits.last()), kept);
    }
}
