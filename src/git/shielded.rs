//! What the git of an agent must not do beside others: pack and prune what all worktrees share.
//!
//! Said by variables (`GIT_CONFIG_COUNT` and what belongs to it), so that no file of the user is changed, and added behind
//! those that the user has set. git lets no variable keep `git stash` away: see `shared` for what is seen of it.

use std::env;

/// The variable that counts the settings.
pub const COUNT: &str = "GIT_CONFIG_COUNT";

/// What an agent's git is told: it packs nothing by itself, and a `git gc` forgets no worktree whose folder is away.
const SETTINGS: [(&str, &str); 4] = [
    ("gc.auto", "0"),
    ("gc.autoDetach", "false"),
    ("gc.worktreePruneExpire", "never"),
    ("maintenance.auto", "false"),
];

/// Settings of variables that lead git away from the workspace; in a file of configuration they do the same, but there they
/// are the repository's own.
const LEADING_AWAY: [&str; 2] = ["core.worktree", "core.bare"];

/// Returns the variables that protect the others from an agent's git, with the settings that are inherited by variables.
pub fn variables() -> Vec<(String, String)> {
    build(inherited(&|name| env::var(name).ok()))
}

/// Tells whether every setting that is inherited by variables is one of these, or there is none.
pub(super) fn nothing_else() -> bool {
    inherited(&|name| env::var(name).ok()).is_empty()
}

/// The settings of variables, without those from here: who is started by an agent inherits them.
fn inherited(variable: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let count = variable(COUNT).and_then(|count| count.parse::<u16>().ok()).unwrap_or_default();
    let pair = |n: u16| Some((variable(&key(n))?, variable(&value(n))?));
    let ours = |(key, value): &(String, String)| SETTINGS.contains(&(key, value));
    (0..count).filter_map(pair).filter(|pair| !ours(pair)).collect()
}

fn build(mut settings: Vec<(String, String)>) -> Vec<(String, String)> {
    settings.retain(|(key, _)| !LEADING_AWAY.iter().any(|away| key.eq_ignore_ascii_case(away)));
    settings.extend(SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let mut all = vec![(COUNT.to_owned(), settings.len().to_string())];
    for (n, (name, set)) in (0_u16..).zip(settings) {
        all.extend([(key(n), name), (value(n), set)]);
    }
    all
}

fn key(n: u16) -> String {
    format!("GIT_CONFIG_KEY_{n}")
}

fn value(n: u16) -> String {
    format!("GIT_CONFIG_VALUE_{n}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
        all.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn what_the_user_set_stays_and_nothing_is_said_twice() {
        let alone = build(Vec::new());
        assert_eq!(find(&alone, COUNT), Some("4"));
        assert_eq!(find(&alone, "GIT_CONFIG_KEY_3"), Some("maintenance.auto"));
        let own = [("user.name", "Ada"), ("core.Worktree", "/x"), ("gc.auto", "0")];
        let all: Vec<(String, String)> = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let set = build(all);
        let heard = inherited(&|name| find(&set, name).map(str::to_owned));
        assert_eq!(heard, [("user.name".to_owned(), "Ada".to_owned())]);
        // Whoever is started by an agent starts one with the same.
        let again = build(heard);
        assert_eq!(find(&again, COUNT), Some("5"));
        assert!(
            again.iter().any(|(_, value)| value == "Ada") && !again.iter().any(|(_, value)| value == "/x")
        );
    }
}
