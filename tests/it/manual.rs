//! `wt man` and `wt schema`: every verb has its page, every answer its schema, and neither drifts from what the program does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::program::Program;
use crate::tidy_gc::open;

/// The verbs that `wt --help` lists.
fn verbs(program: &Program) -> Vec<String> {
    let help = program.wt(&["--help"]).ok();
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let starts = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    starts.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_verb_has_a_page_with_an_example() {
    let program = Program::new();
    let verbs = verbs(&program);
    assert!(verbs.len() > 20, "{verbs:?}");
    let folder = program.env.root().join("pages/man1");
    program.wt(&["man", "--out", folder.to_str().unwrap()]).ok();
    let written: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let wanted: BTreeSet<String> =
        verbs.iter().map(|verb| format!("wt-{verb}.1")).chain(["wt.1".to_owned()]).collect();
    assert_eq!(written, wanted);
    for file in &written {
        let page = std::fs::read_to_string(folder.join(file)).unwrap();
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXAMPLES", ".SH \"EXIT STATUS\""]
        {
            assert!(page.contains(section), "{file} lacks {section}");
        }
        for hidden in ["__run", "__guard", "__pass"] {
            assert!(!page.contains(hidden), "{file} tells of {hidden}");
        }
    }
    assert_eq!(program.wt(&["man", "nothing"]).code, 2);
}

#[test]
fn pages_render_without_a_warning() {
    let program = Program::new();
    let folder = program.env.root().join("pages");
    program.wt(&["man", "--out", folder.to_str().unwrap()]).ok();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        // Where no groff is installed this is what there is: each line is text or a request that man pages have.
        for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
            let request = line.split_whitespace().next().unwrap();
            let known = [".TH", ".SH", ".TP", ".PP", ".IP", ".RS", ".RE", ".ie", ".el", ".br"];
            assert!(known.contains(&request), "{}: {line}", path.display());
        }
        let mut groff = program.env.command("groff", &folder);
        groff.args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"]).arg(&path);
        if let Ok(output) = groff.output() {
            assert!(output.status.success(), "{}", path.display());
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", path.display());
        }
    }
}

#[test]
fn a_page_keeps_its_form() {
    let program = Program::new();
    let version = format!("wt {}", env!("CARGO_PKG_VERSION"));
    insta::assert_snapshot!(program.wt(&["man", "gc"]).ok().replace(&version, "wt VERSION"));
    assert!(program.wt(&["man"]).ok().contains("wt\\-spawn(1)"));
}

#[test]
fn the_readme_tells_the_same_exit_codes() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let told = text.split("Exit codes: ").nth(1).unwrap().split("\n\n").next().unwrap().replace('\n', " ");
    let wanted: Vec<String> =
        wt::error::CODES.iter().map(|(code, means)| format!("{code} {means}")).collect();
    assert_eq!(told, format!("{}.", wanted.join("; ")));
}

fn schema(program: &Program, name: &str) -> Value {
    program.wt(&["schema", name]).json()
}

/// Forbids every key that a schema does not name: real answers must be described to the last key.
fn strict(schema: &mut Value) {
    if let Value::Object(object) = schema {
        if object.contains_key("properties") && !object.contains_key("additionalProperties") {
            object.insert("additionalProperties".to_owned(), false.into());
        }
        object.values_mut().for_each(strict);
    } else if let Value::Array(all) = schema {
        all.iter_mut().for_each(strict);
    }
}

fn require_valid(program: &Program, name: &str, answer: &Value) {
    let mut schema = schema(program, name);
    strict(&mut schema);
    let validator = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    let errors: Vec<String> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{answer}");
}

#[test]
fn real_answers_are_as_their_schemas_say() {
    let program = Program::new();
    program.repo.commit(".gitignore", "target/\n");
    let check = |name: &str, args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let ran = program.wt(&args);
        let answer: Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{args:?}: {}", ran.err));
        require_valid(&program, name, &answer);
        assert_eq!(answer["schema"], 1, "{args:?}");
        answer
    };
    check("status", &["status"]);
    check("spawn", &["spawn", "mine", "--no-agent"]);
    check("spawn", &["spawn", "later", "x", "--dry-run"]);
    program.spawn("a", &["write:a.txt=a", "commit:a"], &["--wait", "--budget", "5"]).ok();
    program.spawn("b", &["write:README.md=b", "commit:b"], &["--wait"]).ok();
    open(&program, "tree").write("target/app", "x");
    check("status", &["status", "--all"]);
    check("disk", &["status", "--disk"]);
    check("wait", &["wait", "a"]);
    check("diff", &["diff", "a"]);
    check("cost", &["cost"]);
    check("merge", &["merge", "a", "--dry-run"]);
    check("merge", &["merge", "a"]);
    program.repo.commit("README.md", "another\n");
    let merged = check("merge", &["merge", "b"]);
    assert_eq!(merged["tasks"][0]["result"], "conflict", "{merged}");
    check("status", &["status", "b"]);
    check("diff", &["diff", "b"]);
    check("artifacts", &["gc", "--artifacts", "--dry-run", "tree"]);
    check("artifacts", &["gc", "--artifacts", "tree"]);
    check("stop", &["stop", "nobody"]);
    check("done", &["done", "mine"]);
    check("gc", &["gc", "--dry-run"]);
    check("gc", &["gc", "mine", "tree"]);
    check("restore", &["restore", "mine"]);
    check("doctor", &["doctor"]);
    check("trust", &["trust"]);
    let refusal = check("error", &["status", "nobody"]);
    assert_eq!(refusal["error"]["code"], 1);
    let mut wrong = program.wt(&["status", "--json"]).json();
    wrong["tasks"][0]["priority"] = "high".into();
    let validator = jsonschema::validator_for(&schema(&program, "status")).unwrap();
    assert!(!validator.is_valid(&wrong), "a schema that takes anything proves nothing");
}

#[test]
fn every_schema_is_one_and_all_of_them_make_one_document() {
    let program = Program::new();
    let list = program.wt(&["schema"]).ok();
    let names: Vec<&str> = list.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(names.len() > 20 && names[0] == "config", "{names:?}");
    let whole = program.wt(&["schema", "--all"]).json();
    jsonschema::meta::validate(&whole).unwrap();
    for name in &names {
        let one = schema(&program, name);
        jsonschema::meta::validate(&one).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(one["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(one["$id"], format!("urn:wt:schema:1:{name}"));
        assert_eq!(whole["$defs"][name], one);
        for unfit in ["SCHEMA`", "[`", "`None`"] {
            assert!(
                !one.to_string().contains(unfit),
                "{name} has {unfit}, which only the source's readers know"
            );
        }
    }
    assert_eq!(whole["$defs"].as_object().unwrap().len(), names.len());
    program.wt(&["schema", "nothing"]).fails(2);
}

#[test]
fn the_configurations_that_people_are_shown_fit_the_schema() {
    let program = Program::new();
    let validator = jsonschema::validator_for(&schema(&program, "config")).unwrap();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut texts: Vec<String> =
        readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert!(!texts.is_empty());
    texts.push(std::fs::read_to_string(program.env.root().join("home/.config/wt/config.toml")).unwrap());
    for text in texts {
        let table: toml::Table = toml::from_str(&text).unwrap();
        let value = serde_json::to_value(table).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{text}");
    }
}

#[test]
fn every_verb_that_prints_json_has_a_schema() {
    let program = Program::new();
    let list = program.wt(&["schema"]).ok();
    for verb in verbs(&program) {
        let help = program.wt(&[&verb, "--help"]).ok();
        if help.lines().any(|line| line.trim_start().starts_with("--json")) {
            assert!(list.contains(&format!("wt {verb} ")), "no schema for `wt {verb} --json`");
        }
    }
}
