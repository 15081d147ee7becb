//! The program `wt` under git's naming rule: `git wt …`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wt::run()
}
