//! Properties of the conservation check: clean merges are kept, both orders of two additions are kept, and nothing that
//! loses, doubles or brings back a line is.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use proptest::prelude::*;
use wt::land::conserve::{Judgement, Sides, judge};

fn kept(path: &str, base: &str, ours: &str, theirs: &str, result: &str) -> bool {
    verdict(path, base, ours, theirs, result).is_kept()
}

fn verdict(path: &str, base: &str, ours: &str, theirs: &str, result: &str) -> Judgement {
    let sides = Sides { path, base: Some(base.as_bytes()), ours: ours.as_bytes(), theirs: theirs.as_bytes() };
    judge(&sides, result.as_bytes(), &[], None)
}

fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// What is done to one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    None,
    Delete,
    Replace,
    InsertAfter,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => Just(Edit::None), 1 => Just(Edit::Delete), 1 => Just(Edit::Replace), 1 => Just(Edit::InsertAfter),
    ]
}

/// Lines alike and lines of their own, as in code.
fn base_line(n: usize) -> String {
    match n % 4 {
        0 => format!("fn part_{n}(x: u32) {{"),
        1 => format!("    step({n});"),
        2 => "}".to_owned(),
        _ => String::new(),
    }
}

fn apply(edits: &[Edit], who: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, edit) in edits.iter().enumerate() {
        match edit {
            Edit::None => lines.push(base_line(n)),
            Edit::Delete => {}
            Edit::Replace => lines.push(format!("    {who}_replaced({n}, \"{who}\");")),
            Edit::InsertAfter => lines.extend([base_line(n), format!("    {who}_added({n});")]),
        }
    }
    lines
}

const PATHS: [&str; 4] = ["a.rs", "a.py", "a.sh", "notes"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// The sides edit different fields of three lines each, with a field between them that nobody edits.
    #[test]
    fn merge_of_disjoint_edits_is_kept(
        edits in prop::collection::vec((any::<bool>(), prop::collection::vec(edit(), 3)), 2..8),
        path in prop::sample::select(&PATHS[..]),
    ) {
        let (mut ours, mut theirs, mut both) = (Vec::new(), Vec::new(), Vec::new());
        for (is_ours, field) in edits {
            let idle = vec![Edit::None; field.len()];
            ours.extend(if is_ours { field.clone() } else { idle.clone() });
            theirs.extend(if is_ours { idle.clone() } else { field.clone() });
            both.extend(field.into_iter().map(|edit| (is_ours, edit)));
            let gap = [Edit::None; 5];
            ours.extend(gap);
            theirs.extend(gap);
            both.extend(gap.map(|edit| (true, edit)));
        }
        let base = apply(&vec![Edit::None; ours.len()], "");
        let merged: Vec<String> = both.iter().enumerate().flat_map(|(n, (is_ours, edit))| {
            let mut one = vec![Edit::Delete; n];
            one.push(*edit);
            apply(&one, if *is_ours { "ours" } else { "theirs" })
        }).collect();
        let (ours, theirs) = (apply(&ours, "ours"), apply(&theirs, "theirs"));
        let judgement = verdict(path, &text(&base), &text(&ours), &text(&theirs), &text(&merged));
        prop_assert!(judgement.is_kept(), "{judgement:?}");
        for n in 0..merged.len() {
            if merged[n].trim().is_empty() {
                continue;
            }
            let mut fewer = merged.clone();
            fewer.remove(n);
            prop_assert!(!kept(path, &text(&base), &text(&ours), &text(&theirs), &text(&fewer)), "without {n}");
            let mut more = merged.clone();
            more.insert(n, merged[n].clone());
            prop_assert!(!kept(path, &text(&base), &text(&ours), &text(&theirs), &text(&more)), "{n} twice");
        }
        for line in base.iter().filter(|line| !line.is_empty()) {
            let count = |lines: &[String]| lines.iter().filter(|other| *other == line).count();
            if count(&ours).min(count(&theirs)) == count(&base) {
                continue;
            }
            for at in (0..=merged.len()).step_by(5) {
                let mut more = merged.clone();
                more.insert(at, line.clone());
                prop_assert!(!kept(path, &text(&base), &text(&ours), &text(&theirs), &text(&more)), "{line} back");
            }
        }
    }

    /// Both add a function at one place.
    #[test]
    fn two_additions_are_kept_in_either_order(
        place in 0usize..4,
        (left, right) in (1usize..5, 1usize..5),
        path in prop::sample::select(&PATHS[..]),
    ) {
        let base: Vec<String> = (0..16).map(base_line).collect();
        let function = |who: &str, lines: usize| {
            let mut function = vec![format!("fn {who}() {{")];
            function.extend((0..lines).map(|n| format!("    step({n});")));
            function.extend(["}".to_owned(), String::new()]);
            function
        };
        let with = |added: Vec<String>| {
            let mut lines = base.clone();
            lines.splice(place * 4..place * 4, added);
            lines
        };
        let (one, other) = (function("one", left), function("other", right));
        let (ours, theirs) = (with(one.clone()), with(other.clone()));
        for added in [[one.clone(), other.clone()].concat(), [other, one].concat()] {
            let merged = with(added.clone());
            prop_assert!(kept(path, &text(&base), &text(&ours), &text(&theirs), &text(&merged)));
            for n in 0..merged.len() {
                if merged[n].trim().is_empty() {
                    continue;
                }
                let mut fewer = merged.clone();
                fewer.remove(n);
                prop_assert!(!kept(path, &text(&base), &text(&ours), &text(&theirs), &text(&fewer)), "without {n}");
            }
        }
    }
}

/// What git merges without a conflict is the sum of both sides, so it must be kept.
#[test]
fn what_git_merges_cleanly_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut clean, mut lost) = (0, Vec::new());
    for round in 0..300 {
        let mut side = |who: &str| {
            let edits: Vec<Edit> = (0..40)
                .map(|_| match random(18) {
                    0 => Edit::Delete,
                    1 => Edit::Replace,
                    2 => Edit::InsertAfter,
                    _ => Edit::None,
                })
                .collect();
            text(&apply(&edits, who))
        };
        let versions = [
            ("base", text(&apply(&[Edit::None; 40], ""))),
            ("ours", side("ours")),
            ("theirs", side("theirs")),
        ];
        let mut command = Command::new("git");
        command.args(["merge-file", "-p"]);
        for name in ["ours", "base", "theirs"] {
            let version = &versions.iter().find(|version| version.0 == name).unwrap().1;
            fs_err::write(folder.path().join(name), version).unwrap();
            command.arg(folder.path().join(name));
        }
        let merged = command.output().unwrap();
        if merged.status.code() != Some(0) {
            continue;
        }
        clean += 1;
        let merged = String::from_utf8(merged.stdout).unwrap();
        let judgement = verdict("a.rs", &versions[0].1, &versions[1].1, &versions[2].1, &merged);
        if !judgement.is_kept() {
            lost.push(format!("{round}: {:?}", judgement.doubts().first().map(ToString::to_string)));
        }
    }
    assert!(clean > 20, "git merged {clean} only");
    assert!(lost.is_empty(), "{} of {clean}:\n{}", lost.len(), lost.join("\n"));
}

/// Large files are judged while a person waits.
#[test]
fn large_files_are_judged_in_no_time() {
    let mut base = String::new();
    for n in 0..20_000 {
        writeln!(base, "{}", base_line(n)).unwrap();
    }
    let edited = |who: &str| {
        let mut text = String::new();
        for (n, line) in base.lines().enumerate() {
            writeln!(text, "{line}").unwrap();
            if n % 400 == 1 {
                writeln!(text, "    {who}({n});").unwrap();
            }
        }
        text
    };
    let (ours, theirs) = (edited("ours"), edited("theirs"));
    let mut both = String::new();
    for line in ours.lines() {
        writeln!(both, "{line}").unwrap();
        if line.trim().starts_with("ours(") {
            writeln!(both, "{}", line.replace("ours", "theirs")).unwrap();
        }
    }
    let begin = Instant::now();
    assert!(kept("a.rs", &base, &ours, &theirs, &both));
    let sum = begin.elapsed();
    let begin = Instant::now();
    assert!(!kept("a.rs", &base, &ours, &theirs, &both.replacen("    theirs(401);\n", "", 1)));
    let lost = begin.elapsed();
    let rewritten: String = (0..20_000).fold(String::new(), |mut text, n| {
        writeln!(text, "    rewritten(line, {n}, {});", n * 7 % 1000).unwrap();
        text
    });
    let begin = Instant::now();
    assert!(!kept("a.rs", &base, &rewritten, &theirs, &theirs));
    let rewritten = begin.elapsed();
    writeln!(
        std::io::stdout(),
        "20,000 lines: 50 conflicts kept {sum:?}, one lost {lost:?}, one side rewritten {rewritten:?}"
    )
    .unwrap();
}
