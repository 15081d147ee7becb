//! The user's files: settings and approvals on a real file system.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;
use wt::agent::{Adapter, BUILT_IN};
use wt::config::trust::Approval;
use wt::config::{Approvals, ConfigError, Layers, TrustError, load};

#[test]
fn the_built_in_agents_load_and_a_user_file_lies_over_them() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("config.toml");
    let layers = Layers { built_in: &BUILT_IN, user: Some(&path), ..Layers::default() };
    let loaded = load(&layers).expect("a missing file is no error");
    assert_eq!(loaded.warnings, []);
    let claude = &loaded.settings.agents["claude"];
    Adapter::new("claude", claude).expect("a good adapter");

    fs::write(&path, "[limits]\nslots = 8\n[agents.claude.env]\nMINE = \"1\"\n").expect("written");
    let repository = b"[limits]\nslots = 2\nretries = 5\n";
    let environment = [("WT_RETRIES".to_owned(), "4".to_owned())];
    let all = Layers { repository: Some(repository), environment: &environment, ..layers };
    let settings = load(&all).expect("good layers").settings;
    assert_eq!((settings.limits.slots, settings.limits.retries), (2, 4));
    assert_eq!(settings.agents["claude"].env.len(), claude.env.len() + 1);
    assert_eq!(settings.agents["claude"].event, claude.event);
}

#[test]
fn a_user_file_that_cannot_be_one_is_refused_at_once() {
    let home = tempfile::tempdir().expect("a folder");
    let load = |path: &Path| load(&Layers { user: Some(path), built_in: &BUILT_IN, ..Layers::default() });
    assert!(matches!(load(home.path()), Err(ConfigError::NoFile { .. })));
    let pipe = home.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe");
    assert!(matches!(load(&pipe), Err(ConfigError::NoFile { .. })));
    let large = home.path().join("large");
    fs::write(&large, vec![b'#'; 2 << 20]).expect("written");
    assert!(matches!(load(&large), Err(ConfigError::NoFile { .. })));
}

fn approval(hash: &str, repository: &str) -> Approval {
    Approval { hash: hash.to_owned(), repository: repository.to_owned(), at: jiff::Timestamp::UNIX_EPOCH }
}

#[test]
fn approvals_are_kept_privately_and_can_be_taken_back() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("config/wt");
    let approvals = Approvals::within(&folder);
    assert!(!approvals.approved("a").expect("readable"));
    approvals.approve(approval("a", "/r")).expect("kept");
    approvals.approve(approval("b", "/r")).expect("kept");
    approvals.approve(approval("c", "/other")).expect("kept");
    assert!(approvals.approved("a").expect("readable") && approvals.approved("b").expect("readable"));
    let file = folder.join("trust.json");
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(approvals.revoke("/r").expect("kept"), 2);
    assert!(!approvals.approved("a").expect("readable") && approvals.approved("c").expect("readable"));

    fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("changed");
    assert!(matches!(approvals.approved("c"), Err(TrustError::Exposed { .. })));
    fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("changed");
    fs::write(&file, "{").expect("written");
    assert!(matches!(approvals.approved("c"), Err(TrustError::Broken { .. })));
    assert!(matches!(approvals.approve(approval("d", "/r")), Err(TrustError::Broken { .. })));
}

#[test]
fn approvals_at_the_same_time_are_all_kept() {
    let home = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let approvals = Approvals::within(home.path());
            scope.spawn(move || approvals.approve(approval(&n.to_string(), "/r")).expect("kept"));
        }
    });
    assert_eq!(Approvals::within(home.path()).list().expect("readable").len(), 8);
}
