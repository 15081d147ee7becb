//! `wt demo`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args as ClapArgs;
use fs_err as fs;

use super::context::Global;
use crate::error::{self, CommandError, During as _};
use crate::git::command::REDIRECTING;
use crate::model::view::SCHEMA;
use crate::model::view::verbs::DemoView;
use crate::process::launch::own_program;
use crate::ui;

/// The scripted tasks: name and what its agent does.
const TASKS: [(&str, &str); 3] = [
    ("polite-greeting", include_str!("../../templates/demo/polite.sh")),
    ("welcome-people", include_str!("../../templates/demo/welcome.sh")),
    ("write-docs", include_str!("../../templates/demo/docs.sh")),
];

/// The files of the scratch repository.
const FILES: [(&str, &str); 3] = [
    ("greet.sh", include_str!("../../templates/demo/greet.sh")),
    ("test.sh", include_str!("../../templates/demo/test.sh")),
    ("checks/hello.sh", include_str!("../../templates/demo/hello.check.sh")),
];

const IDENTITY: &str =
    "[user]\n\tname = wt demo\n\temail = demo@example.invalid\n[init]\n\tdefaultBranch = main\n";

/// Show the whole life of three tasks in a scratch repository: spawn, run, resolve, land, tidy.
///
/// The agents are shell scripts: no key, no network, nothing outside a temporary folder is touched.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Keep the scratch repository and say where it is.
    #[arg(long)]
    keep: bool,
    /// Print JSON instead of the story.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(_global: &Global, args: &Args) -> Result<u8, CommandError> {
    let begun = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("wt-demo-")
        .tempdir()
        .during(|| "no scratch folder can be made".to_owned())?;
    let stage = Stage { root: folder.path(), aloud: !args.json };
    let played = stage.play();
    if played.is_err() {
        // Whatever still runs must not outlive its folder.
        drop(stage.wt(&["stop", "--all", "--quiet"]));
    }
    let commits = played?;
    let kept = args.keep.then(|| folder.keep().to_string_lossy().into_owned());
    if args.json {
        ui::json(&DemoView {
            schema: SCHEMA,
            landed: TASKS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            commits,
            elapsed_ms: begun.elapsed().as_millis(),
            kept,
        });
        return Ok(error::DONE);
    }
    ui::answer(&format!(
        "\nThree tasks ran side by side, each in a worktree of its own; each was verified\n\
         on the exact result and landed on main in {:.1}s. Nothing of theirs is left but\n\
         their commits, and `wt restore NAME` could bring each back.",
        begun.elapsed().as_secs_f64()
    ));
    ui::answer(&match kept {
        Some(path) => format!("The repository is kept: {path}/greet"),
        None => "The scratch repository is gone again; keep it with `wt demo --keep`.".to_owned(),
    });
    ui::answer("In a repository of your own: wt spawn NAME \"what to do\"");
    Ok(error::DONE)
}

/// The scratch folder and how much is told.
struct Stage<'a> {
    root: &'a Path,
    aloud: bool,
}

impl Stage<'_> {
    fn play(&self) -> Result<usize, CommandError> {
        self.set_up().during(|| "the scratch repository cannot be made".to_owned())?;
        for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "A small program"]] {
            self.git(args)?;
        }
        self.say("A scratch repository: a small program and a check.\nThree tasks go to three (scripted) agents at once:");
        for (name, script) in TASKS {
            let file = format!("../{name}.sh");
            fs::write(self.root.join(format!("{name}.sh")), script)
                .during(|| "a script cannot be written".to_owned())?;
            self.wt(&["spawn", name, "-f", &file])?;
        }
        self.say("They work in parallel:");
        self.wt(&["status"])?;
        self.wt(&["wait"])?;
        self.say(
            "All of it goes to main: replayed in memory, verified, fast-forwarded, tidied up.\n\
             Two tasks changed the same line of greet.sh, so an agent (a script here) merges it,\n\
             and what it made is accepted only because nothing of either side is missing:",
        );
        self.wt(&["merge", "--all"])?;
        self.say("What main holds now:");
        self.show("git", &["log", "--oneline"])?;
        self.show("git", &["show", "main:greet.sh"])?;
        let count = self.quietly("git", &["rev-list", "--count", "HEAD"])?;
        Ok(count.trim().parse::<usize>().unwrap_or(0).saturating_sub(1))
    }

    fn set_up(&self) -> std::io::Result<()> {
        let home = self.root.join("config/wt");
        fs::create_dir_all(&home)?;
        fs::write(home.join("config.toml"), include_str!("../../templates/demo/config.toml"))?;
        fs::write(self.root.join("resolver.sh"), include_str!("../../templates/demo/resolver.sh"))?;
        fs::write(self.root.join("gitconfig"), IDENTITY)?;
        for (path, text) in FILES {
            let path = self.root.join("greet").join(path);
            fs::create_dir_all(path.parent().expect("every file of the demo is in a folder"))?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        if self.aloud {
            ui::answer(&format!("\n{text}"));
        }
    }

    fn wt(&self, args: &[&str]) -> Result<(), CommandError> {
        let program = own_program().during(|| "this program cannot find itself".to_owned())?;
        self.show(&program.to_string_lossy(), args)
    }

    fn git(&self, args: &[&str]) -> Result<(), CommandError> {
        self.quietly("git", args).map(drop)
    }

    /// Runs a command as a person would, after telling it.
    fn show(&self, program: &str, args: &[&str]) -> Result<(), CommandError> {
        if !self.aloud {
            return self.quietly(program, args).map(drop);
        }
        let name = if program == "git" { "git" } else { "wt" };
        ui::answer(&format!("$ {name} {}", args.join(" ")));
        let status = self.command(program, args).status().during(|| format!("`{name}` cannot be run"))?;
        if status.success() { Ok(()) } else { Err(failed(name, args)) }
    }

    fn quietly(&self, program: &str, args: &[&str]) -> Result<String, CommandError> {
        let output = self
            .command(program, args)
            .stderr(Stdio::null())
            .output()
            .during(|| format!("`{program}` cannot be run"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(failed(program, args)) }
    }

    /// Returns a command that sees nothing of the user's own configuration.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.root.join("greet")).stdin(Stdio::null());
        let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in inherited.filter(|name| name.starts_with("WT_")) {
            command.env_remove(name);
        }
        for name in REDIRECTING {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.root.join("config")).env("DEMO", self.root);
        command.env("GIT_CONFIG_GLOBAL", self.root.join("gitconfig")).env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }
}

fn failed(program: &str, args: &[&str]) -> CommandError {
    CommandError::refused(format!("the demo stopped at `{program} {}`", args.join(" ")))
        .hint("see what is missing with `wt doctor`")
}
