//! The `drivemount` binary: nothing but the way into [`drivemount::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    drivemount::cli::main()
}
