//! The program `wt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wt::run()
}
