//! Fault rows of limits and clocks: clock jumps, a suspended machine, too few descriptors, state that is taken away, slots
//! that are lowered, supervision that is killed at random.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::fault_machine::Disk;
use crate::program::{Program, alive, ran};

/// Row 14: `tasks` tasks on `slots` slots, `kills` runners and guards killed at moments that nobody chose.
fn random_kills(tasks: usize, slots: usize, kills: usize) {
    let program = Program::new();
    program.configure(&format!("[limits]\nslots = {slots}\n"));
    let starts = program.env.root().join("starts");
    std::fs::create_dir(&starts).unwrap();
    let line = |n: usize| {
        let count = format!("append:{}=x", starts.join(n.to_string()).display());
        let prompt = format!("SCRIPT:\n{count}\nsleep:0.2\nwrite:f{n}=x\ncommit:f{n}\n");
        serde_json::json!({ "name": format!("t{n}"), "prompt": prompt, "retries": 10 }).to_string() + "\n"
    };
    let list = program.env.root().join("list.jsonl");
    std::fs::write(&list, (0..tasks).map(line).collect::<String>()).unwrap();
    program.wt(&["spawn", "--from", &list.to_string_lossy()]).ok();
    let (mut killed, mut random, mut most) = (0, 0x2545_f491_4f6c_dd1d_u64, 0);
    let mut struck = Instant::now();
    let begun = Instant::now();
    loop {
        let held =
            (0..2 * slots).filter(|n| wt::store::Lock::is_held(&program.state().join(format!("slots/{n}"))));
        most = most.max(held.count());
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let role = if random % 3 == 0 { "__guard" } else { "__run" };
        let all = program.role(role);
        let pause = Duration::from_millis(random % 300);
        if killed < kills && !all.is_empty() && struck.elapsed() > pause {
            let victim = all[usize::try_from(random % 97).unwrap() % all.len()];
            let pid = rustix::process::Pid::from_raw(i32::try_from(victim).unwrap()).unwrap();
            // It may have ended by itself.
            killed += usize::from(rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok());
            struck = Instant::now();
        }
        let told = program.journal();
        let done = told.iter().filter(|record| record["event"]["next"]["to"] == "done").count();
        if done == tasks {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60 + tasks as u64 * 3), "{done} of {tasks}");
        if killed >= kills {
            drop(program.wt(&["wait", "--timeout", "2s"]));
        }
    }
    assert!(most <= slots, "{most} of {slots} slots");
    assert_eq!(killed, kills);
    for n in 0..tasks {
        let told = program.told(&format!("t{n}@1"));
        let of = |kind: &str| told.iter().filter(|told| *told == kind).count();
        let begun = std::fs::metadata(starts.join(n.to_string())).map_or(0, |about| about.len());
        assert_eq!(of("started"), of("ended") + of("lost"), "t{n}: {told:?}");
        assert!(begun <= of("started") as u64, "t{n}: no agent without a record");
        assert_eq!(program.repo.git(&["show", &format!("wt/t{n}:f{n}")]), "x");
        let done = program.events(&format!("t{n}@1"));
        let done = done.iter().filter(|event| event["next"]["to"] == "done").count();
        assert_eq!((done, program.state_of(&format!("t{n}")).as_str()), (1, "done"), "t{n}: one result");
    }
    in_order(&program, slots);
    assert_eq!(program.repo.git(&["fsck", "--no-progress", "--no-dangling"]), "");
    nothing_is_left(&program);
}

/// Whoever was never tried starts in the order of the list. When one starts, only those may be missing of what stands before
/// it whose runners were launched before: they have not said so yet, or were killed before they could.
fn in_order(program: &Program, slots: usize) {
    let mut begun: Vec<usize> = Vec::new();
    for record in program.journal() {
        if record["event"]["type"] == "started" && record["event"]["attempt"] == 1 {
            let id = record["task"].as_str().unwrap();
            let n: usize = id[1..id.len() - 2].parse().unwrap();
            let missing = (0..n).filter(|earlier| !begun.contains(earlier)).count();
            assert!(missing < 2 * slots, "t{n} started before {missing} others: {begun:?}");
            begun.push(n);
        }
    }
}

/// No process carries a token of any attempt, no runner and no guard is there, and every line of the journal is whole and
/// fits the others.
fn nothing_is_left(program: &Program) {
    let tokens: Vec<String> = program
        .journal()
        .iter()
        .filter_map(|record| Some(record["event"]["token"].as_str()?.to_owned()))
        .collect();
    assert!(!tokens.is_empty());
    program.until("every process to end", || {
        let of_tokens = wt::process::sweep::carried().iter().any(|(token, _)| tokens.contains(token));
        let roles = program.role("__run").len() + program.role("__guard").len();
        (!of_tokens && roles == 0).then_some(())
    });
    let layout = wt::store::Layout::below(&program.repo.path().join(".git"));
    let history = wt::store::Journal::new(&layout).history().unwrap();
    assert_eq!((history.bad, history.roster.misfits()), (0, 0), "bad lines and misfits");
}

#[test]
fn row_14_supervision_killed_at_random() {
    random_kills(16, 4, 6);
}

/// The same as it is asked for; some minutes.
#[test]
#[ignore = "some minutes: `just night`"]
fn row_14_supervision_killed_at_random_at_length() {
    random_kills(200, 8, 60);
}

#[test]
fn row_15_the_clock_jumps_by_a_day() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\ntimeout = \"1h\"\nstall = \"10m\"\n");
    let order = program.env.root().join("order");
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    let now = jiff::Timestamp::now();
    let at = |hours: i64, args: &[&str]| {
        let moment = (now + jiff::SignedDuration::from_hours(hours)).to_string();
        ran(program.command(args).env("WT_TEST_NOW", moment).output().unwrap()).ok()
    };
    for (name, hours) in [("a", 0), ("b", 24), ("c", -24), ("d", 0)] {
        let prompt =
            format!("SCRIPT:\n{go}\nappend:{}={name}\nwrite:{name}=x\ncommit:{name}\n", order.display());
        at(hours, &["spawn", name, &prompt]);
    }
    program.started("a@1");
    // Whoever asks, and whenever they believe it to be: nothing ends for it, and nothing starts.
    for hours in [24, -24, 0] {
        at(hours, &["status"]);
        assert_eq!(program.told("a@1"), ["queued", "workspace_made", "started"]);
        assert_eq!(program.told("b@1"), ["queued"]);
    }
    std::fs::write(program.env.root().join("go"), "").unwrap();
    program.wt(&["wait", "--timeout", "30s"]).ok();
    assert_eq!(std::fs::read_to_string(order).unwrap(), "abcd");
    for name in ["a", "b", "c", "d"] {
        assert_eq!(
            (program.state_of(name).as_str(), program.task(name)["attempt"].as_u64()),
            ("done", Some(1))
        );
    }
}

fn signal(pids: &[u32], signal: rustix::process::Signal) {
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

/// All that works for the task stands still for longer than an agent may be silent, as on a suspended machine.
#[test]
fn row_16_suspended() {
    let program = Program::new();
    let stall = Duration::from_secs(4);
    program.configure(&format!("[limits]\nstall = \"{}s\"\n", stall.as_secs()));
    let (pids, go) = (program.env.root().join("pids"), program.env.root().join("go"));
    let told = format!("pids-to:{}", pids.display());
    let wait = format!("wait-for:{}", go.display());
    program.spawn("a", &["say:begun", &told, &wait, "write:x=y", "commit:x"], &["--retries", "0"]).ok();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    let tree = [program.role("__run")[0], program.role("__guard")[0], agent];
    signal(&tree, rustix::process::Signal::STOP);
    // The fault itself: that long nobody could say anything, or hear it.
    std::thread::sleep(stall + Duration::from_secs(2));
    signal(&tree, rustix::process::Signal::CONT);
    std::fs::write(go, "").unwrap();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    assert_eq!(
        (program.state_of("a").as_str(), program.told("a@1").len()),
        ("done", 4),
        "{:?}",
        program.task("a")
    );
}

/// Real silence is still noticed.
#[test]
fn row_16_silence_is_noticed() {
    let program = Program::new();
    program.configure("[limits]\nstall = \"1s\"\n");
    program.spawn("a", &["say:begun", "sleep:1000"], &["--retries", "0", "--wait"]).fails(1);
    let outcome = program.task("a")["outcome"].as_str().unwrap().to_owned();
    assert!(outcome.contains("silent") || outcome.contains("nothing for"), "{outcome}");
}

/// A `wt spawn` below a limit of the shell.
fn limited(program: &Program, limit: &str, name: &str) -> crate::program::Ran {
    let mut shell = program.env.command("sh", program.repo.path());
    let line = format!("ulimit {limit} && exec \"$0\" spawn {name} \"$1\"");
    let prompt = format!("SCRIPT:\nwrite:{name}=x\ncommit:{name}\n");
    shell.args(["-c", &line, crate::program::WT, &prompt]).env("WT_POOL", "0").env("WT_FORESEE", "0");
    ran(shell.output().unwrap())
}

#[test]
fn row_29_too_few_descriptors() {
    let mut seen = std::collections::BTreeSet::new();
    for most in [32, 24, 20, 16, 12, 10, 8, 6] {
        let program = Program::new();
        let said = limited(&program, &format!("-n {most}"), "a");
        assert!([0, 1].contains(&said.code) && !said.err.contains("panicked"), "{most}: {}", said.err);
        if said.code == 1 {
            // Nothing of it is left in the way.
            assert!(said.err.contains("Too many open files"), "{most}: {}", said.err);
            assert!(
                said.err.contains("undone") || said.err.contains("nothing was made"),
                "{most}: {}",
                said.err
            );
            seen.insert("refused");
            program.spawn("a", &["write:a=x", "commit:a"], &["--wait"]).ok();
            continue;
        }
        let rested = ["done", "waiting"].map(str::to_owned);
        let state = program.until("an end", || {
            let task = program.task("a");
            rested.contains(&task["state"].as_str()?.to_owned()).then_some(task)
        });
        if state["state"] == "waiting" {
            assert_eq!(state["reason"], "room", "{most}: {state}");
            assert!(state["outcome"].as_str().unwrap().contains("Too many open files"), "{most}: {state}");
            seen.insert("waits");
            // From a shell that has enough of them.
            program.wt(&["stop", "a"]).ok();
            program.wt(&["retry", "a"]).ok();
            program.wt(&["wait", "a", "--timeout", "30s"]).ok();
        }
        assert_eq!(program.state_of("a"), "done", "{most}");
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["refused", "waits"], "each is seen at some limit");
}

#[test]
fn row_30_state_removed_while_an_agent_works() {
    let program = Program::new();
    let (pids, go) = (program.env.root().join("pids"), program.env.root().join("go"));
    let (told, wait) = (format!("pids-to:{}", pids.display()), format!("wait-for:{}", go.display()));
    program.spawn("a", &["write:x=y", "commit:x", &told, &wait, "write:z=y", "commit:z"], &[]).ok();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    let before = program.repo.rev("wt/a");
    std::fs::remove_dir_all(program.state()).unwrap();
    let status = program.wt(&["status"]);
    assert!(
        [0, 1].contains(&status.code) && !status.err.contains("panicked"),
        "{} {}",
        status.code,
        status.err
    );
    assert!(alive(agent), "the agent is not harmed");
    std::fs::write(go, "").unwrap();
    program.until("the runner's end", || program.role("__run").is_empty().then_some(()));
    assert!(!alive(agent));
    assert_ne!(program.repo.rev("wt/a"), before, "it went on");
    assert_eq!(program.repo.git(&["show", "wt/a:z"]), "y");
    // The branch and the folder are told as what they are now, and are in nobody's way.
    let found = program.wt(&["doctor", "--json"]).json()["findings"].to_string();
    assert!(found.contains("orphan-worktree"), "{found}");
    assert!(program.spawn("a", &["write:x=y"], &[]).fails(1).contains("wt/a"));
    program.spawn("b", &["write:x=y", "commit:x"], &["--wait"]).ok();
    assert_eq!(program.repo.git(&["show", "wt/a:z"]), "y");
}

#[test]
fn row_30_state_read_only_while_an_agent_works() {
    let program = Program::new();
    let Some(_disk) = Disk::mount(&program.state(), "8m") else { return };
    let (pids, go) = (program.env.root().join("pids"), program.env.root().join("go"));
    let (told, wait) = (format!("pids-to:{}", pids.display()), format!("wait-for:{}", go.display()));
    program.spawn("a", &["write:x=y", &told, &wait, "commit:x"], &["--retries", "0"]).ok();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    let flags =
        |flag: &str| Command::new("chattr").arg(flag).arg(program.state().join("journal.jsonl")).status();
    if !flags("+i").is_ok_and(|status| status.success()) {
        return;
    }
    let said = program.spawn("b", &["write:x=y"], &[]).fails(1);
    assert!(said.contains("nothing was made"), "{said}");
    program.wt(&["status"]).ok();
    assert!(alive(agent), "the agent is not harmed");
    std::fs::write(go, "").unwrap();
    program.until("the runner's end", || program.role("__run").is_empty().then_some(()));
    flags("-i").unwrap();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    assert_eq!(program.state_of("a"), "done");
    assert_eq!(program.repo.git(&["show", "wt/a:x"]), "y");
}

#[test]
fn row_31_fewer_slots_while_all_are_in_use() {
    let program = Program::new();
    program.configure("[limits]\nslots = 8\n");
    let root = program.env.root().to_owned();
    let spawn = |name: &str| {
        let go = format!("wait-for:{}", root.join(format!("go-{name}")).display());
        program.spawn(name, &[&go, &format!("write:{name}=x"), &format!("commit:{name}")], &[]).ok();
    };
    let names: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    for name in &names {
        spawn(name);
    }
    for name in &names[..8] {
        program.started(&format!("{name}@1"));
    }
    program.configure("[limits]\nslots = 2\n");
    let guards = program.role("__guard");
    assert_eq!(guards.len(), 8);
    let slots = program.wt(&["status", "--json"]).json()["slots"].clone();
    assert_eq!((slots["used"].as_u64(), slots["max"].as_u64()), (Some(8), Some(2)));
    assert!(guards.iter().all(|guard| alive(*guard)), "nothing is ended for it");
    let go = |name: &str| {
        std::fs::write(root.join(format!("go-{name}")), "x").unwrap();
        program.wt(&["wait", name, "--timeout", "30s"]).ok();
        program.wt(&["status"]).ok();
    };
    // Six of eight end: the limit is reached, and still nothing starts.
    for name in &names[..6] {
        go(name);
        assert!(
            ["t8", "t9"]
                .iter()
                .all(|late| !program.told(&format!("{late}@1")).contains(&"started".to_owned()))
        );
    }
    go("t6");
    program.started("t8@1");
    assert_eq!(program.told("t9@1"), ["queued"]);
    for name in ["t7", "t8", "t9"] {
        go(name);
    }
    assert!(names.iter().all(|name| program.state_of(name) == "done"));
}
