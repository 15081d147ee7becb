//! The made conflicts of the tests, with the answers that are known to be good.

use std::path::Path;

use crate::case::{Case, Corpus, Merge};

/// Reads `fixtures/merge/resolved`.
pub fn corpus() -> Corpus {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/merge/resolved");
    let mut folders: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let cases: Vec<Case> = folders.iter().map(|folder| case(folder)).collect();
    let merges = (0..cases.len()).map(|n| Merge { cases: n..n + 1, whole: true, more: false });
    Corpus {
        name: "made conflicts".to_owned(),
        seen: (cases.len(), cases.len()),
        merges: merges.collect(),
        cases,
        ..Corpus::default()
    }
}

fn case(folder: &Path) -> Case {
    let about: toml::Table =
        toml::from_str(&std::fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
    let version = |name: &str| {
        let files = folder.read_dir().unwrap().map(|entry| entry.unwrap());
        let mut files =
            files.filter(|file| file.file_name().to_string_lossy().starts_with(&format!("{name}.")));
        files.next().map(|file| std::fs::read(file.path()).unwrap())
    };
    Case {
        merge: folder.file_name().unwrap().to_string_lossy().into_owned(),
        path: about["path"].as_str().unwrap().to_owned(),
        base: version("base"),
        ours: version("ours").unwrap(),
        theirs: version("theirs").unwrap(),
        human: version("answer").unwrap(),
    }
}
