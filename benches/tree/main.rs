//! What it takes to know a drive: to mount it, to list it, to walk through it, and what that asks of the drive. Beside `rclone mount`
//! on the same server, and for walks beside the local file system.
//!
//! `scripts/bench tree` runs this, as a release build. Two drives are made through the API and may be kept: one of many folders, and
//! one with very many entries and a very large folder. Each request is answered 60 ms late, as from far away. The meter of the drive
//! counts. What must hold is checked, and fails the run.

mod bound;
#[path = "../server/client.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod client;
#[path = "../../tests/support/cloud.rs"]
#[allow(dead_code)] // the rest serves the tests
mod cloud;
mod cost;
mod drives;
#[path = "../server/fill.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod fill;
mod large;
#[path = "../server/load.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod load;
#[path = "../../tests/support/machine.rs"]
#[allow(dead_code)] // the rest serves the tests
mod machine;
mod place;
#[path = "../../tests/support/rclone.rs"]
mod rclone;
mod report;
#[path = "../writes/side.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod side;
#[path = "../writes/table.rs"]
mod table;
mod takeover;
#[path = "../../tests/support/tls_front.rs"]
mod tls_front;
mod walks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::Report;

/// How late each request is answered.
const LATENCY: &str = "*:latency,ms=60";

#[derive(Debug, Parser)]
struct Args {
    /// Where the drives are kept
    #[arg(long)]
    data: PathBuf,
    /// Entries of the larger drive; the one of many folders has a fifth of them, the large folder a tenth
    #[arg(long, default_value_t = 1_000_000)]
    entries: usize,
    /// Only what has this in its name: folders, large, takeover (a tenth of the entries)
    #[arg(long, default_value = "")]
    only: String,
    /// Measure the mount alone
    #[arg(long)]
    without_rclone: bool,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut report = Report::new(!args.without_rclone);
    if "folders".contains(&args.only) {
        walks::run(&args, &mut report);
    }
    if "large".contains(&args.only) {
        large::run(&args, &mut report);
    }
    if "takeover".contains(&args.only) {
        takeover::run(&args, &mut report);
    }
    if report.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
