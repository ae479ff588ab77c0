//! How programs that write fare on the mount: beside the local disk, and beside `rclone mount` on the same server.
//!
//! `scripts/bench writes` and `scripts/bench lost-vm` run this, as a release build. Each program runs in turns on each side,
//! round by round, in a new folder of a drive that is empty; shown are medians. What must hold is checked, and fails the run:
//! what is on the drive is what the program wrote, and no entry cost more than one request that makes it.

#[path = "../../tests/support/cloud.rs"]
#[allow(dead_code)] // the rest serves the tests
mod cloud;
mod copies;
mod inputs;
mod lost;
#[path = "../../tests/support/machine.rs"]
#[allow(dead_code)] // the rest serves the tests
mod machine;
mod programs;
#[path = "../../tests/support/rclone.rs"]
mod rclone;
mod side;
mod table;
#[path = "../../tests/support/tls_front.rs"]
mod tls_front;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, global = true, hide = true)]
    bench: bool,
    /// Measure the mount and the local disk alone
    #[arg(long, global = true)]
    without_rclone: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Real programs, large files, and saves of one file
    Writes(Writes),
    /// What is lost with the machine
    LostVm(lost::Args),
}

#[derive(Debug, clap::Args)]
struct Writes {
    /// Where what the programs read is kept
    #[arg(long)]
    inputs: PathBuf,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only what has this in its name
    #[arg(long, default_value = "")]
    only: String,
    /// A hundredth of everything, to see that it works
    #[arg(long)]
    small: bool,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    let holds = match &mut args.command {
        Command::Writes(writes) => {
            std::fs::create_dir_all(&writes.inputs).expect("makes");
            // Programs run in other folders.
            writes.inputs = writes.inputs.canonicalize().expect("is there");
            let mut table = table::Table::default();
            let programs = programs::run(writes, !args.without_rclone, &mut table);
            let copies = copies::run(writes, !args.without_rclone, &mut table);
            table.print();
            programs && copies
        }
        Command::LostVm(lost) => lost::run(lost, !args.without_rclone),
    };
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() { f64::NAN } else { values[values.len() / 2] }
}
