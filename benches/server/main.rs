//! How fast the embedded server is, beside nginx with the same bytes, on the same machine, in the same run.
//!
//! `scripts/bench server` starts both servers and runs this: `fill` makes a drive through the API, `first` times one list of a
//! server that has just started, `run` prints the table and fails if a bound does not hold. Rounds of the two servers take
//! turns, so that what else the machine does hits both; what is shown is the median of the rounds, and of their ratios.

mod client;
mod fill;
mod load;
mod report;
mod work;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use client::{Connection, Target};
use fill::Filled;
use report::{Report, Rounds, median};
use work::Bound;

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Address and port of our server
    #[arg(long)]
    ours: String,
    /// Data folder of our server
    #[arg(long)]
    data: PathBuf,
    /// Where `fill` says what it made
    #[arg(long)]
    filled: PathBuf,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fills a new drive
    Fill {
        /// Entries of the account
        #[arg(long, default_value_t = 1_000_000)]
        entries: usize,
    },
    /// Prints how many milliseconds the first page of a listing takes
    First,
    /// Measures
    Run {
        /// Address and port of nginx
        #[arg(long)]
        nginx: String,
        /// The folder that nginx serves
        #[arg(long)]
        root: PathBuf,
        /// Times that `first` took
        #[arg(long)]
        first: Vec<f64>,
        /// Times that `first` took, with nothing of the database in memory
        #[arg(long)]
        first_from_disk: Vec<f64>,
        /// Rounds of each measurement
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Only what has this in its name
        #[arg(long, default_value = "")]
        only: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match tokio::spawn(command(Args::parse())).await.map_err(io::Error::other).flatten() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn command(args: Args) -> io::Result<bool> {
    let token = fs::read_to_string(args.data.join("token"))?.trim().to_owned();
    let ours = Target { address: args.ours, token: Some(token) };
    if let Command::Fill { entries } = args.command {
        let filled = fill::fill(&ours, entries).await?;
        fs::write(&args.filled, serde_json::to_vec(&filled)?)?;
        return Ok(true);
    }
    let filled: Filled = serde_json::from_slice(&fs::read(&args.filled)?)?;
    let Command::Run { nginx, root, first, first_from_disk, rounds, only } = args.command else {
        println!("{}", first_page(&ours, &filled).await?);
        return Ok(true);
    };
    let nginx = Target { address: nginx, token: None };
    let mut report = Report::new();
    for work in work::all(&ours, &filled, &args.data, &root).await? {
        if !work.name.contains(&only) {
            continue;
        }
        eprintln!("  {}", work.name);
        let mut measured = Rounds::default();
        // The first round warms up both, and does not count.
        for round in 0..=rounds {
            let (ours, nginx) = (work.load.run(&ours, true).await?, work.load.run(&nginx, false).await?);
            if round > 0 {
                measured.ours.push(ours);
                measured.nginx.push(nginx);
            }
        }
        report.add(&work, &measured);
    }
    let name = "first page of the large folder, server just started";
    report.add_ours(name, "ms", median(first), Some(Bound::Below(work::PAGE_MILLIS)));
    // How long that takes is a matter of the disk.
    report.add_ours("  the same, nothing of the database in memory", "ms", median(first_from_disk), None);
    for (name, piece) in
        [("upload of 1 GiB, one request", fill::BIG_BYTES), ("upload of 1 GiB, pieces of 8 MiB", fill::PIECE_BYTES)]
    {
        if !name.contains(&only) {
            continue;
        }
        eprintln!("  {name}");
        let mut rates = Vec::new();
        for _ in 0..rounds {
            rates.push(fill::upload_for_once(&ours, piece).await? / 1e9);
        }
        report.add_ours(name, "GB/s", median(rates), None);
    }
    report.add_ours(&format!("making {} entries", filled.entries), "entries/s", filled.rate, None);
    Ok(report.print())
}

/// Milliseconds until the first page of the large folder is there.
async fn first_page(ours: &Target, filled: &Filled) -> io::Result<f64> {
    let q = format!("'{}' in parents and trashed = false", filled.large_folder);
    let request = ours.request("GET", &work::page(&q, 1000, None), &[], b"");
    let mut connection = Connection::open(ours).await?;
    let started = Instant::now();
    let answer = connection.ask(&request).await?;
    let elapsed = started.elapsed();
    if answer.status == 200 { Ok(elapsed.as_secs_f64() * 1000.0) } else { Err(io::Error::other("no page")) }
}
