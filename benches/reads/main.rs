//! How fast contents are read: those that are here already, beside the local disk, and those that are far away, beside a bare client
//! that downloads as fast as the drive gives. And beside `rclone mount`, all on one server in one run.
//!
//! `scripts/bench reads` runs this, as a release build. Those that are compared take turns, round by round; shown are medians, and of
//! shares the medians of those within the rounds. Whatever is read is compared with what it must be. What must hold is checked, and
//! fails the run.

#[path = "../tree/bound.rs"]
mod bound;
mod cached;
#[path = "../server/client.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod client;
#[path = "../../tests/support/cloud.rs"]
#[allow(dead_code)] // the rest serves the tests
mod cloud;
mod cold;
mod content;
#[path = "../tree/cost.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod cost;
mod drive;
mod epochs;
#[path = "../server/fill.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod fill;
mod http;
#[path = "../server/load.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod load;
#[path = "../../tests/support/machine.rs"]
#[allow(dead_code)] // the rest serves the tests
mod machine;
#[path = "../tree/place.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod place;
mod processes;
#[path = "../../tests/support/rclone.rs"]
mod rclone;
mod reader;
mod report;
#[path = "../writes/side.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod side;
#[path = "../writes/table.rs"]
#[allow(dead_code)] // the rest serves the other benchmark
mod table;
#[path = "../../tests/support/tls_front.rs"]
mod tls_front;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use drive::{Drive, Shape};
use http::Http;
use reader::Side;
use report::Report;

#[derive(Debug, Parser)]
struct Args {
    /// Where the drive is kept, and the same files for the local disk; on the disk that TMPDIR is on
    #[arg(long)]
    data: PathBuf,
    /// Rounds of each measurement, of what is cold three at most
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only what has this in its name
    #[arg(long, default_value = "")]
    only: String,
    /// Small files and few, to see that it works: what it measures means little
    #[arg(long)]
    quick: bool,
    /// Requests in flight of the bare client: as many as the mount has
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// Measure without rclone
    #[arg(long)]
    without_rclone: bool,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured, and with what.
struct Run {
    args: Args,
    drive: Drive,
    http: Http,
}

impl Run {
    fn wants(&self, name: &str) -> bool {
        name.contains(&self.args.only)
    }

    /// Rounds of what begins with a new mount each time.
    fn cold_rounds(&self) -> usize {
        self.args.rounds.min(3)
    }

    /// Those that read files.
    fn sides(&self) -> impl Iterator<Item = Side> {
        let with_rclone = !self.args.without_rclone;
        [Side::Local, Side::Ours, Side::Rclone].into_iter().filter(move |side| *side != Side::Rclone || with_rclone)
    }

    /// Those that can have nothing of a file.
    fn mounts(&self) -> impl Iterator<Item = Side> {
        self.sides().filter(|side| *side != Side::Local)
    }
}

fn main() -> ExitCode {
    if processes::is_reader() {
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let drive = Drive::open(&args.data, if args.quick { Shape::QUICK } else { Shape::FULL });
    let http = Http::of(drive.target(), args.in_flight);
    let run = Run { args, drive, http };
    let mut report = Report::new();
    cached::large(&run, &mut report);
    cached::small(&run, &mut report);
    cold::sequential(&run, &mut report);
    cold::first_byte(&run, &mut report);
    cold::header(&run, &mut report);
    cold::threads(&run, &mut report);
    epochs::run(&run, &mut report);
    if report.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
