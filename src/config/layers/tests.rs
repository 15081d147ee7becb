//! Layers as values: no file, no environment of the process.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::settings::{CommitBy, MergeStyle, Merges};

const BUILT_IN: [(&str, &str); 1] =
    [("built-in", "[agents.claude]\ncommand = [\"claude\"]\n[agents.claude.env]\nA = \"1\"\n")];

fn loaded(repository: &str) -> Result<Loaded, ConfigError> {
    load(&Layers { built_in: &BUILT_IN, repository: Some(repository.as_bytes()), ..Layers::default() })
}

fn with_environment(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let environment: Vec<_> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&Layers { built_in: &BUILT_IN, environment: &environment, ..Layers::default() })
}

#[test]
fn nothing_is_wrong_with_a_built_in_text_that_commands_do_not_look_for() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/agents");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let (path, mut warnings) = (entry.unwrap().path(), Vec::new());
        let text = fs::read_to_string(&path).unwrap();
        layer(&path.display().to_string(), &text, &mut warnings).unwrap();
        assert_eq!(warnings, [], "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 4);
}

/// Every key of the contract, once.
const FULL: &str = r#"
target = "trunk"
branch = "agents/{name}"
on_event = "notify"
[limits]
slots = 5
worktrees = 40
timeout = "1h30m"
stall = "5m"
stagger = "3s"
memory = "2GB"
retries = 1
budget_usd = 12.5
budget_tokens = 5000000
budget_time = "6h"
day_usd = 50.0
day_tokens = 90000000
day_time = "48h"
[workspace]
copy = [".env*", "config/*.local"]
symlink = ["node_modules"]
setup = ["npm ci"]
setup_timeout = "5m"
ports = 2
pool = 0
pool_disk = "5GB"
caches = ["target/", "build/**/out/"]
reserve = "500MB"
[agent]
default = "mine"
commit = "agent"
[agents.mine]
command = ["mine"]
prompt = "file"
prompt_args = ["--file", "{prompt_file}"]
events = "jsonl"
stop = { signal = "INT", grace = "2s", to = "leader" }
usage_is = "cumulative"
memory_file = "MINE.md"
import = "@{path}"
version = ["mine", "--version"]
resume_command = ["mine", "{session}"]
attach_command = ["mine"]
args = { model = ["-m", "{model}"] }
env = { A = "b" }
env_if_root = { C = "d" }
sum = { cost_usd = "/cost" }
windows = [{ model = "big", tokens = 9 }]
event = [{ when = { "/t" = "x" }, take = { text = "/x" }, append = {}, note = {}, tool = {}, result = {}, final = true, then = "retry", reason = "full" }]
outcome = [{ when = { exit = 0 }, class = "ok", reason = "fine" }]
[profiles.fast]
agent = "mine"
model = "small"
fallback = ["tiny"]
slots = 1
role = "writes tests"
[loop]
max = 3
until = "FERTIG"
no_progress = 2
[[verify]]
name = "test"
run = "make test"
timeout = "2m"
retries = 1
[merge]
agent = "mine"
auto = true
batch = 4
structural = ["mergiraf"]
review = ["db/**"]
fetch = true
push = true
style = "merge-commit"
message = "{{ name }}"
merges = "refuse"
foresee = "1m"
[gc]
stale = "2d"
trash = "7d"
"#;

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = loaded("").unwrap().settings;
    let text = settings.agents["claude"].command.join(" ");
    assert_eq!((text.as_str(), settings.agent.default.as_str()), ("claude", "claude"));
    assert_eq!(Settings { agents: settings.agents.clone(), ..Settings::default() }, settings);
}

#[test]
fn every_key_is_read() {
    let Loaded { settings, warnings } = loaded(FULL).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(settings.target.as_deref(), Some("trunk"));
    assert_eq!((settings.branch.as_str(), settings.on_event.as_str()), ("agents/{name}", "notify"));
    assert_eq!(settings.limits.timeout, Duration::from_secs(5400));
    assert!((settings.limits.budget_usd - 12.5).abs() < f64::EPSILON);
    assert_eq!(settings.limits.budget_tokens, 5_000_000);
    assert_eq!(settings.limits.budget_time, Duration::from_secs(6 * 3600));
    assert_eq!((settings.limits.day.tokens, settings.limits.day.time_ms), (90_000_000, 48 * 3_600_000));
    assert_eq!((settings.limits.stagger, settings.limits.memory), (Duration::from_secs(3), 2_000_000_000));
    assert_eq!(settings.workspace.symlink, ["node_modules"]);
    assert_eq!((settings.workspace.ports, settings.workspace.pool), (2, 0));
    assert_eq!((settings.workspace.pool_disk, settings.workspace.reserve), (5_000_000_000, 500_000_000));
    assert_eq!(settings.workspace.caches, ["target/", "build/**/out/"]);
    assert_eq!(settings.agent.commit, CommitBy::Agent);
    assert_eq!(settings.agents["mine"].stop.grace, "2s");
    assert!(settings.agents.contains_key("claude"));
    assert_eq!(settings.profiles["fast"].fallback, ["tiny"]);
    assert_eq!((settings.looping.max, settings.looping.until.as_str()), (3, "FERTIG"));
    assert_eq!((settings.verify[0].name.as_str(), settings.verify[0].retries), ("test", 1));
    assert_eq!((settings.merge.batch, settings.merge.fetch, settings.merge.auto), (4, true, true));
    assert_eq!((settings.merge.style, settings.merge.merges), (MergeStyle::MergeCommit, Merges::Refuse));
    assert_eq!((settings.merge.push, settings.merge.message.as_str()), (true, "{{ name }}"));
    assert_eq!(settings.gc.trash, Duration::from_secs(7 * 86_400));
}

/// The list that misspelt keys are compared with must name every key, and nothing else.
#[test]
fn the_list_of_keys_is_complete() {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        const FREE: [&str; 10] =
            ["args", "env", "env_if_root", "sum", "when", "take", "append", "note", "tool", "result"];
        if FREE.iter().any(|free| path.ends_with(&format!(".{free}"))) {
            return;
        }
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    let named = matches!(path, "agents" | "profiles");
                    let key = if named { "*" } else { key.as_str() };
                    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    found.insert(path.clone());
                    walk(value, &path, found);
                }
            }
            Value::Array(values) => {
                for value in values.iter().filter(|value| value.is_table()) {
                    walk(value, &format!("{path}.*"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(&Value::Table(toml::from_str(FULL).unwrap()), "", &mut found);
    let known: BTreeSet<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(found, known);
}

#[test]
fn tables_merge_and_lists_are_replaced() {
    let settings =
        loaded("[agents.claude]\nprompt = \"arg\"\n[agents.claude.env]\nB = \"2\"\n[workspace]\ncopy = []")
            .unwrap()
            .settings;
    let claude = &settings.agents["claude"];
    assert_eq!(claude.command, ["claude"]);
    assert_eq!(claude.env.len(), 2);
    assert!(settings.workspace.copy.is_empty());
}

#[test]
fn unknown_keys_are_warned_with_the_nearest_one() {
    let nearest = |text: &str| {
        let warnings = loaded(text).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        (warnings[0].key.clone(), warnings[0].nearest.clone())
    };
    let pair = |key: &str, near: Option<&str>| (key.to_owned(), near.map(str::to_owned));
    assert_eq!(nearest("[limits]\nslot = 3"), pair("limits.slot", Some("limits.slots")));
    assert_eq!(nearest("slots = 3"), pair("slots", Some("limits.slots")));
    assert_eq!(nearest("[limit]\nslots = 3"), pair("limit", Some("limits")));
    assert_eq!(nearest("zzz = 3"), pair("zzz", None));
    assert_eq!(
        nearest("[agents.claude]\ncomand = []"),
        pair("agents.claude.comand", Some("agents.claude.command"))
    );
    assert_eq!(
        nearest("[[verify]]\nrun = \"x\"\ntimout = \"1s\""),
        pair("verify.0.timout", Some("verify.0.timeout"))
    );
    assert_eq!(nearest("[agents.claude.stop]\nsig = \"TERM\"").0, "agents.claude.stop.sig");
}

#[test]
fn broken_texts_name_their_place_on_one_line() {
    let message = |text: &str| loaded(text).unwrap_err().to_string();
    assert_eq!(
        message("[limits]\nslots = \"three\""),
        ".wt.toml:2:9: invalid type: string \"three\", expected u32"
    );
    assert!(message("[limits\n").starts_with(".wt.toml:1:8: "), "{}", message("[limits\n"));
    assert!(message("[limits]\n  timeout = \"-5m\"").starts_with(".wt.toml:2:13: `-5m` is not a duration"));
    assert!(message("[limits]\nslots = -1").starts_with(".wt.toml:2:9: "));
    assert!(message("[agent]\ncommit = \"never\"").starts_with(".wt.toml:2:10: unknown variant"));
    assert!(message("[[verify]]\nname = \"x\"").contains("missing field `run`"));
    for text in ["[limits\n", "a = \"\u{7}\"", "=", "\u{1b}[31m = 1"] {
        let message = message(text);
        assert!(!message.contains('\n') && message.chars().all(|c| !c.is_control()), "{message:?}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    for (text, key) in [
        ("[limits]\nslots = 0", "limits.slots"),
        ("[limits]\nslots = 1000000000", "limits.slots"),
        ("[limits]\nretries = 1000", "limits.retries"),
        ("[limits]\ntimeout = \"0\"", "limits.timeout"),
        ("[limits]\nbudget_usd = -1.0", "limits.budget_usd"),
        ("[limits]\nbudget_usd = nan", "limits.budget_usd"),
        ("[workspace]\ncopy = [\"a[\"]", "workspace.copy"),
        ("[workspace]\ncopy = [\"../secret\"]", "workspace.copy"),
        ("[workspace]\nsymlink = [\"../../etc\"]", "workspace.symlink"),
        ("[workspace]\nsymlink = [\"/etc\"]", "workspace.symlink"),
        ("[workspace]\nsymlink = [\".git/hooks\"]", "workspace.symlink"),
        ("[loop]\nmax = 0", "loop.max"),
        ("[loop]\nuntil = \" \"", "loop.until"),
        ("[merge]\nbatch = 0", "merge.batch"),
        ("[[verify]]\nrun = \"\"", "verify.0.run"),
        ("[profiles.x]\nslots = 0", "profiles.x.slots"),
        ("target = \"-x\"", "target"),
        ("target = \"a b\"", "target"),
        ("branch = \"wt\"", "branch"),
        ("branch = \"/{name}\"", "branch"),
        ("branch = \"{name}.lock\"", "branch"),
    ] {
        match loaded(text) {
            Err(ConfigError::Range { key: found, .. }) => assert_eq!(found, key),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(
        loaded("[agent]\ndefault = \"cladue\""),
        Err(ConfigError::UnknownAgent { agent, .. }) if agent == "cladue"
    ));
}

#[test]
fn the_environment_is_the_top_layer_and_only_its_own_variables_count() {
    let Loaded { settings, warnings } = with_environment(&[
        ("WT_TARGET", "dev"),
        ("WT_SLOTS", "7"),
        ("WT_TIMEOUT", "45m"),
        ("WT_RETRIES", ""),
        ("WT_BRANCH", "wt/x"),
        ("WT_TASK", "x@1"),
        ("WT_PORT_0", "4000"),
        ("WT_TEST_NOW", "x"),
        ("WT_SESSION", "windows-terminal"),
        ("HOME", "/"),
    ])
    .unwrap();
    assert_eq!(warnings, []);
    assert_eq!((settings.target.as_deref(), settings.limits.slots), (Some("dev"), 7));
    assert_eq!(settings.limits.timeout, Duration::from_secs(2700));
    assert_eq!((settings.limits.retries, settings.branch.as_str()), (2, "wt/{name}"));
    let near = with_environment(&[("WT_SLOT", "7")]).unwrap().warnings;
    assert_eq!(near[0].nearest.as_deref(), Some("WT_SLOTS"));
    for (name, value) in [("WT_SLOTS", "many"), ("WT_SLOTS", "0"), ("WT_TIMEOUT", "soon"), ("WT_COMMIT", "x")]
    {
        let error = with_environment(&[(name, value)]).unwrap_err();
        assert!(matches!(error, ConfigError::Variable { variable, .. } if variable == name), "{error:?}");
    }
}

#[test]
fn large_and_binary_files_are_refused() {
    let large = vec![b'#'; usize::try_from(LARGEST).unwrap() + 1];
    for bytes in [large.as_slice(), b"a = \"\xff\""] {
        let layers = Layers { built_in: &BUILT_IN, repository: Some(bytes), ..Layers::default() };
        assert!(matches!(load(&layers), Err(ConfigError::NoFile { .. })));
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\]a-z.={}\"\n0-9 -]{0,80}") {
        let _ = loaded(&text);
    }
}
