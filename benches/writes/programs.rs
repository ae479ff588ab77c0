//! Programs that make many files.

use std::path::Path;
use std::time::Instant;

use crate::machine::sh;
use crate::side::{Kind, Requests, Side, mount};
use crate::table::Table;
use crate::tree::{Depth, Entry, Tree};
use crate::{Writes, inputs, median, tree};

/// The least share of the speed of the local disk that is aimed at.
const GOAL: f64 = 0.5;
/// Differences that are shown.
const SHOWN: usize = 5;

struct Program {
    name: String,
    /// The command, for the shell; `$to` is where it writes.
    command: String,
    /// Ends of the paths of files with contents that no two runs have in common: times and numbers of files.
    unsteady: &'static [&'static str],
}

/// What one run on one side gave.
#[derive(Debug, Default)]
struct Run {
    seconds: f64,
    flush: f64,
    requests: Requests,
    entries: usize,
    differences: Vec<String>,
}

/// Whether what must hold does.
pub(crate) fn run(args: &Writes, with_rclone: bool, table: &mut Table) -> bool {
    let mut holds = true;
    for program in programs(args).iter().filter(|program| program.name.contains(&args.only)) {
        let kinds = Kind::all(with_rclone);
        let mut runs: Vec<Vec<Run>> = kinds.iter().map(|_| Vec::new()).collect();
        for round in 0..args.rounds {
            let mut local = Tree::new();
            for (kind, runs) in kinds.iter().zip(&mut runs) {
                let run = measure(program, *kind, &mut local);
                eprintln!(
                    "{}, round {}, {}: {:.2} s, flush {:.2} s, {} creates and {} updates of {} requests for {} entries, {} differences",
                    program.name,
                    round + 1,
                    kind.name(),
                    run.seconds,
                    run.flush,
                    run.requests.creates,
                    run.requests.writes - run.requests.creates,
                    run.requests.all,
                    run.entries,
                    run.differences.len()
                );
                run.differences.iter().take(SHOWN).for_each(|difference| eprintln!("    {difference}"));
                runs.push(run);
            }
        }
        holds &= report(program, &runs, table);
    }
    holds
}

fn programs(args: &Writes) -> Vec<Program> {
    let part = if args.small { 100 } else { 1 };
    let quoted = |path: &Path| format!("'{}'", path.display());
    let mut programs = Vec::new();
    let mut add = |name: String, command: &dyn Fn() -> String, unsteady: &'static [&'static str]| {
        if name.contains(&args.only) {
            programs.push(Program { name, command: command(), unsteady });
        }
    };
    let (cloned, packed) = (5_000 / part, 20_000 / part);
    add(
        format!("git clone, {cloned} files"),
        &|| format!("git clone -q file://{} \"$to\"", inputs::repository(&args.inputs, cloned).display()),
        &[".git/index", ".git/logs/HEAD", ".git/logs/refs/heads/main", ".git/logs/refs/remotes/origin/HEAD"],
    );
    add(
        format!("tar x, {packed} files"),
        &|| format!("mkdir \"$to\"; tar xf {} -C \"$to\"", quoted(&inputs::archive(&args.inputs, packed))),
        &[],
    );
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
    let wheels = if args.small { "pillow" } else { "numpy pillow google-api-python-client" };
    add(
        format!("pip install {wheels}"),
        &|| {
            format!(
                "{python} -m pip install --quiet --no-index --no-deps --disable-pip-version-check --find-links {} \
                 --target \"$to\" {wheels}",
                quoted(&args.inputs.join("wheels"))
            )
        },
        &[".pyc", "/RECORD"],
    );
    programs
}

fn measure(program: &Program, kind: Kind, local: &mut Tree) -> Run {
    let side = Side::start(kind);
    let folder = side.folder();
    let start = Instant::now();
    sh(&format!("to='{}/out'; {}", folder.display(), program.command));
    let seconds = start.elapsed().as_secs_f64();
    let flushed = side.flush();
    let flush = flushed.map_or(f64::INFINITY, |flush| flush.as_secs_f64());
    let requests = side.requests();
    let whole = tree::read(&folder, Depth::Contents);
    let mut differences = Vec::new();
    match kind {
        Kind::Local => local.clone_from(&whole),
        Kind::Ours | Kind::Rclone => differences.extend(tree::differences(
            &steady(local, program.unsteady),
            &steady(&whole, program.unsteady),
            Depth::Contents,
        )),
    }
    if let Some(cloud) = side.cloud.as_ref().filter(|_| flushed.is_some()) {
        differences.extend(tree::differences_on(cloud, &whole));
        if kind == Kind::Ours {
            // With nothing but what the drive has.
            let other = mount(cloud);
            let seen = tree::read(&other.drive(), Depth::Attributes);
            differences.extend(tree::differences(&whole, &seen, Depth::Attributes));
        }
    }
    Run { seconds, flush, requests, entries: whole.len(), differences }
}

/// A tree without the contents that no two runs have in common.
fn steady(tree: &Tree, unsteady: &[&str]) -> Tree {
    let mut tree = tree.clone();
    for (path, entry) in &mut tree {
        if let Entry::File { size, md5, .. } = entry
            && unsteady.iter().any(|end| path.ends_with(end))
        {
            (*size, *md5) = (0, None);
        }
    }
    tree
}

fn report(program: &Program, runs: &[Vec<Run>], table: &mut Table) -> bool {
    let of = |value: fn(&Run) -> f64| {
        let mut values = [f64::NAN; 3];
        runs.iter().zip(&mut values).for_each(|(runs, of)| *of = median(runs.iter().map(value).collect()));
        values
    };
    #[expect(clippy::cast_precision_loss)]
    let per_entry = |run: &Run| run.requests.creates as f64 / run.entries as f64;
    #[expect(clippy::cast_precision_loss)]
    let differences = |run: &Run| run.differences.len() as f64;
    let mut ratios = [f64::NAN; 3];
    for (runs_there, ratio) in runs.iter().zip(&mut ratios) {
        *ratio = median(runs[0].iter().zip(runs_there).map(|(local, there)| local.seconds / there.seconds).collect());
    }
    let worst = |value: fn(&Run) -> f64| runs[1].iter().map(value).fold(0.0, f64::max);
    let goal = format!("≥ {GOAL}: {}", if ratios[1] >= GOAL { "met" } else { "missed" });
    let once = worst(per_entry) <= 1.0;
    let identical = worst(differences) == 0.0;
    let verdict = |holds: bool| if holds { "holds" } else { "BROKEN" };
    table.add(&program.name, "until the prompt, s", of(|run| run.seconds), "");
    table.add("", "share of the local disk", ratios, &goal);
    table.add("", "then until on the drive, s", without_local(of(|run| run.flush)), "");
    let bound = format!("≤ 1: {}", verdict(once));
    table.add("", "creates an entry", without_local(of(per_entry)), &bound);
    #[expect(clippy::cast_precision_loss)]
    table.add("", "requests", without_local(of(|run| run.requests.all as f64)), "");
    table.add("", "differences", without_local(of(differences)), &format!("0: {}", verdict(identical)));
    once && identical
}

fn without_local([_, ours, rclone]: [f64; 3]) -> [f64; 3] {
    [f64::NAN, ours, rclone]
}
