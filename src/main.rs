//! The `drivemount` binary: nothing but the way into [`drivemount::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: drivemount::sys::Allocator = drivemount::sys::Allocator;

fn main() -> ExitCode {
    drivemount::cli::main()
}
