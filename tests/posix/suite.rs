//! Runs `pjdfstest` and understands what it says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::{self, said};

/// What this platform offers beyond what every file system has; and two users whom every Linux knows, each with a group of their name.
const CONFIG: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.01

[dummy_auth]
entries = [["daemon", "daemon"], ["bin", "bin"]]
"#;

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// A case that was run.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) verdict: Verdict,
    /// Why, if it did not pass.
    pub(crate) reason: String,
}

/// Where `scripts/test` installs it.
fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let program = target.join("tools/bin/pjdfstest");
    assert!(program.exists(), "{} is missing: scripts/test installs it", program.display());
    program
}

/// Runs all cases in a folder; `second` is one of another file system. The configuration is kept in `scratch`.
fn output(scratch: &Path, folder: &Path, second: &Path) -> String {
    let config = scratch.join("pjdfstest.toml");
    std::fs::write(&config, CONFIG).expect("writes");
    let mut command = Command::new("timeout");
    command.arg("300").arg(program()).arg("--configuration-file").arg(config);
    command.arg("--path").arg(folder).arg("--secondary-fs").arg(second).env("RUST_BACKTRACE", "0");
    let ended = machine::run(&mut command);
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(text.contains("Summary"), "it did not come to its end: {}", said(&ended));
    text
}

/// The same, understood.
pub(crate) fn run(scratch: &Path, folder: &Path, second: &Path) -> BTreeMap<String, Case> {
    read(&output(scratch, folder, second))
}

/// Each case is a line of its name and what came of it, followed by lines that begin with a tab if there is more to say.
fn read(text: &str) -> BTreeMap<String, Case> {
    let mut cases = BTreeMap::new();
    let mut last = None;
    for line in text.lines() {
        if let Some(more) = line.strip_prefix('\t') {
            if let Some(case) = last.as_ref().and_then(|name: &String| cases.get_mut(name)) {
                let Case { reason, .. }: &mut Case = case;
                reason.push_str(more);
            }
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(name), Some(word), None) = (words.next(), words.next(), words.next()) else { continue };
        let verdict = match word {
            "ok" => Verdict::Passed,
            "FAILED" => Verdict::Failed,
            "skipped" => Verdict::Skipped,
            _ => continue,
        };
        last = Some(name.to_owned());
        cases.insert(name.to_owned(), Case { verdict, reason: String::new() });
    }
    cases
}

#[test]
fn its_words_are_understood() {
    let cases = read(
        "open::a          ok\nchmod::b::fifo   FAILED\n\tleft\nx::c  skipped\n\twhy\n\nSummary: 1 failed, 1 passed\n",
    );
    let told: Vec<_> = cases.iter().map(|(name, case)| (name.as_str(), case.verdict)).collect();
    assert_eq!(told, [("chmod::b::fifo", Verdict::Failed), ("open::a", Verdict::Passed), ("x::c", Verdict::Skipped)]);
}
