//! Ports: never two owners, whatever is killed, deleted, restored or asked for at once.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use wt::model::TaskId;
use wt::store::Layout;
use wt::store::layout::TaskFolder;
use wt::workspace::ports::{Leases, held};

use crate::program::{Program, ran};

/// A folder of leases and task folders that stand for several clones.
struct Table {
    root: tempfile::TempDir,
}

impl Table {
    /// Each table begins at a port of its own: tests run at once, and one's probe is another one's listener. So do the tables
    /// of another run beside this one.
    fn at(first: u16) -> Self {
        let first = first + u16::try_from(std::process::id() % 400).unwrap();
        let table = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir(table.root.path().join("ports")).unwrap();
        fs::write(table.root.path().join("ports/next"), first.to_string()).unwrap();
        table
    }

    fn leases(&self) -> Leases {
        Leases::within(&self.root.path().join("ports"))
    }

    fn task(&self, clone: &str, name: &str) -> TaskFolder {
        let common = self.root.path().join(clone);
        fs::create_dir_all(&common).unwrap();
        let layout = Layout::below(&common);
        layout.prepare().unwrap();
        let folder = layout.task(&TaskId { name: name.parse().unwrap(), generation: 1 });
        if !folder.root().exists() {
            folder.create().unwrap();
        }
        folder
    }

    fn lease(&self, clone: &str, name: &str, n: u32) -> Vec<u16> {
        self.leases().lease(&self.task(clone, name), n).unwrap()
    }
}

fn apart(all: &[&[u16]]) {
    let count = all.iter().map(|ports| ports.len()).sum::<usize>();
    let distinct: BTreeSet<u16> = all.iter().flat_map(|ports| ports.iter().copied()).collect();
    assert_eq!(distinct.len(), count, "{all:?}");
}

#[test]
fn tasks_of_two_clones_never_share_a_port_and_get_the_same_when_they_ask_again() {
    let table = Table::at(20_500);
    let (a, b, c) = (table.lease("one", "a", 3), table.lease("one", "b", 3), table.lease("two", "a", 3));
    apart(&[&a, &b, &c]);
    assert!(a.iter().all(|port| (20_000..30_000).contains(port)));
    assert_eq!(table.lease("one", "a", 3), a);
    assert_eq!(table.lease("one", "a", 2), a[..2], "fewer are the first of them");
    assert_eq!(table.leases().list().unwrap().len(), 8, "the third went back");
    assert_eq!(table.leases().dead().unwrap(), []);
}

#[test]
fn what_was_let_go_is_not_handed_out_at_once_and_comes_back_to_its_task() {
    let table = Table::at(21_000);
    let a = table.lease("one", "a", 2);
    table.leases().release(&table.task("one", "a")).unwrap();
    table.leases().release(&table.task("one", "a")).unwrap();
    assert_eq!(table.leases().list().unwrap(), []);
    assert!(held(&table.task("one", "a")).is_empty());
    let b = table.lease("one", "b", 2);
    apart(&[&a, &b]);
    assert_eq!(table.lease("one", "a", 2), a, "nobody else has them");
}

#[test]
fn a_restored_task_gets_others_where_its_own_are_taken() {
    let table = Table::at(21_500);
    let a = table.lease("one", "a", 2);
    table.leases().release(&table.task("one", "a")).unwrap();
    // Somebody listens on one of them, and another task was given the other.
    let _listening = TcpListener::bind(("127.0.0.1", a[0])).unwrap();
    fs::write(table.root.path().join("ports/next"), a[1].to_string()).unwrap();
    let b = table.lease("one", "b", 1);
    assert_eq!(b, a[1..]);
    let again = table.lease("one", "a", 2);
    apart(&[&again, &b]);
    assert!(!again.contains(&a[0]));
}

#[test]
fn what_somebody_listens_on_is_not_handed_out_on_any_address() {
    for address in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
        let table = Table::at(22_000);
        let first = table.lease("one", "a", 1)[0];
        table.leases().release(&table.task("one", "a")).unwrap();
        let Ok(listening) = TcpListener::bind((address, first)) else { continue };
        fs::write(table.root.path().join("ports/next"), first.to_string()).unwrap();
        let next = table.lease("one", "b", 1)[0];
        assert_ne!(next, first, "{address}");
        // Its own server may run while it asks again.
        drop(listening);
        let _own = TcpListener::bind((address, next)).unwrap();
        assert_eq!(table.lease("one", "b", 1), [next], "{address}");
    }
}

#[test]
fn a_deleted_repository_gives_its_ports_back() {
    let table = Table::at(22_500);
    let a = table.lease("one", "a", 2);
    fs::remove_dir_all(table.root.path().join("one")).unwrap();
    let dead: Vec<u16> = table.leases().dead().unwrap().into_iter().map(|(port, _)| port).collect();
    assert_eq!(dead, a);
    fs::write(table.root.path().join("ports/next"), a[0].to_string()).unwrap();
    assert_eq!(table.lease("two", "a", 2), a, "handed out again without any mending");
    fs::remove_dir_all(table.root.path().join("two")).unwrap();
    assert_eq!(table.leases().reclaim().unwrap(), 2);
    assert_eq!(table.leases().list().unwrap(), []);
}

#[test]
fn broken_records_and_leases_break_nothing() {
    let table = Table::at(23_000);
    let a = table.lease("one", "a", 1);
    fs::write(table.task("one", "a").ports(), "{torn").unwrap();
    fs::write(table.root.path().join("ports/next"), "\u{0}many").unwrap();
    fs::write(table.root.path().join("ports/20007"), "/no/such/place\n").unwrap();
    fs::write(table.root.path().join("ports/99999"), "x").unwrap();
    let b = table.lease("one", "b", 9);
    apart(&[&b]);
    assert!(held(&table.task("one", "a")).is_empty(), "what cannot be read holds nothing: {a:?}");
}

/// Not a test of its own: what a killed process does, in a process of its own.
#[test]
#[ignore = "started by the tests of kills"]
fn victim() {
    let Ok(what) = std::env::var("WT_TEST_VICTIM") else { return };
    let (verb, root) = what.split_once(' ').unwrap();
    let root = PathBuf::from(root);
    let layout = Layout::below(&root.join("one"));
    let folder = layout.task(&TaskId { name: "a".parse().unwrap(), generation: 1 });
    let leases = Leases::within(&root.join("ports"));
    match verb {
        "lease" => drop(leases.lease(&folder, 2)),
        _ => drop(leases.release(&folder)),
    }
}

fn killed_at(point: &str, verb: &str, root: &Path) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["ports::victim", "--exact", "--ignored", "--quiet"])
        .env("WT_FAILPOINT", point)
        .env("WT_TEST_VICTIM", format!("{verb} {}", root.display()))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.code().is_none(), "{point}: {status}");
}

#[test]
fn a_kill_between_any_two_steps_costs_nobody_a_port_and_gives_none_twice() {
    for point in ["ports.after_record", "ports.after_leases"] {
        let table = Table::at(23_500);
        table.task("one", "a");
        killed_at(point, "lease", table.root.path());
        let told = held(&table.task("one", "a"));
        assert_eq!(told.len(), 2, "{point}");
        fs::write(table.root.path().join("ports/next"), told[0].to_string()).unwrap();
        let b = table.lease("two", "b", 2);
        let a = table.lease("one", "a", 2);
        apart(&[&a, &b]);
        assert_eq!(table.leases().dead().unwrap(), [], "{point}");
        assert_eq!(table.leases().list().unwrap().len(), 4, "{point}");
    }
    let table = Table::at(24_000);
    let a = table.lease("one", "a", 2);
    killed_at("ports.after_release", "release", table.root.path());
    assert_eq!(table.leases().dead().unwrap().len(), 2);
    fs::write(table.root.path().join("ports/next"), a[0].to_string()).unwrap();
    assert_eq!(table.lease("two", "b", 2), a);
    // The kill is made up for later: what others have by now stays theirs.
    table.leases().release(&table.task("one", "a")).unwrap();
    assert_eq!(table.leases().list().unwrap().len(), 2);
    apart(&[&table.lease("one", "a", 2), &a]);
}

#[test]
fn fifty_tasks_at_once_have_a_hundred_ports() {
    let program = Program::new();
    program.configure("[workspace]\nports = 2\npool = 0\n");
    let mut running: Vec<(usize, Child)> = Vec::new();
    for n in 0..50 {
        let name = format!("t{n}");
        let mut command = program.command(&["spawn", &name, "--no-agent", "--quiet"]);
        running.push((n, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()));
    }
    for (_, child) in running {
        ran(child.wait_with_output().unwrap()).ok();
    }
    let all = program.wt(&["status", "--json"]);
    let all = all.json();
    let ports: Vec<u64> = all["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|task| task["ports"].as_array().unwrap().iter().map(|port| port.as_u64().unwrap()))
        .collect();
    assert_eq!((ports.len(), ports.iter().collect::<BTreeSet<_>>().len()), (100, 100));
}

#[test]
fn everything_that_runs_in_a_workspace_knows_its_ports() {
    let program = Program::new();
    program.configure(
        "[workspace]\nports = 2\nsetup = [\"echo $WT_PORT_0 $WT_PORT_1 > \\\"$WT_SHARED/setup\\\"\"]\n\
         [[verify]]\nname = \"v\"\nrun = \"echo $WT_PORT_0 $WT_PORT_1 > \\\"$WT_SHARED/verify\\\"\"\n",
    );
    program.spawn("x", &["write:a=one", "commit:a", "env-to:../agent"], &["--wait"]).ok();
    let task = program.task("x");
    let ports = format!("{} {}", task["ports"][0], task["ports"][1]);
    let shared = program.env.root().join("repo-worktrees/.shared");
    for name in ["setup", "verify"] {
        assert_eq!(fs::read_to_string(shared.join(name)).unwrap().trim(), ports, "{name}");
    }
    let seen = fs::read_to_string(program.env.root().join("repo-worktrees/agent")).unwrap();
    assert!(seen.contains(&format!("WT_PORT_0={}", task["ports"][0])), "{seen}");
    let said = program.wt(&["exec", "x", "--", "sh", "-c", "echo $WT_PORT_0 $WT_PORT_1 $WT_PORT_2"]).ok();
    assert_eq!(said.trim(), ports);
    let told = fs::read_to_string(program.worktree("x").join("CLAUDE.local.md")).unwrap();
    assert!(told.contains(&format!("Ports that only you use: {}", ports.replace(' ', ", "))), "{told}");
    assert!(program.wt(&["status", "x"]).ok().contains(&ports.replace(' ', ", ")));
}

#[test]
fn a_removed_task_lets_its_ports_go_and_a_restored_one_has_them_again() {
    let program = Program::new();
    program.configure("[workspace]\nports = 1\n");
    program.wt(&["spawn", "x", "--no-agent"]).ok();
    let before = program.task("x")["ports"].clone();
    let leases = program.env.root().join("home/.local/state/wt/ports");
    let lease = leases.join(before[0].to_string());
    assert!(lease.exists());
    program.wt(&["gc", "x", "--force"]).ok();
    assert!(!lease.exists());
    program.wt(&["restore", "x"]).ok();
    assert!(lease.exists());
    assert_eq!(program.task("x")["ports"], before);
}

#[test]
fn doctor_takes_dead_leases_away() {
    let program = Program::new();
    program.configure("[workspace]\nports = 1\n");
    program.wt(&["spawn", "x", "--no-agent"]).ok();
    let leases = program.env.root().join("home/.local/state/wt/ports");
    fs::write(leases.join("29990"), "/gone/.git/wt/tasks/y@1/ports.json\n").unwrap();
    let dead = |ran: crate::program::Ran| -> Vec<(String, bool)> {
        let view = ran.json();
        let all = view["findings"].as_array().unwrap().clone();
        let mine = all.iter().filter(|finding| finding["kind"] == "dead-lease");
        mine.map(|f| (f["subject"].as_str().unwrap().to_owned(), f["fixed"] == true)).collect()
    };
    assert_eq!(dead(program.wt(&["doctor", "--json"])), [("29990".to_owned(), false)]);
    assert_eq!(dead(program.wt(&["doctor", "--fix", "--json"])), [("29990".to_owned(), true)]);
    assert_eq!(dead(program.wt(&["doctor", "--json"])), []);
    assert!(!leases.join("29990").exists());
    let kept = program.task("x")["ports"][0].to_string();
    assert!(leases.join(kept).exists());
}
