//! What was promised to a writer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How much of what a writer did is told after a failure.
const TOLD: usize = 4000;

/// Entries below the folder of a writer: files with their content, folders with none.
pub(crate) type Tree = BTreeMap<String, Option<Arc<Vec<u8>>>>;

/// What was promised to one writer, and what it is about to be promised.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// What is there after a kill: what was closed, synced, renamed, removed.
    pub(crate) now: Tree,
    /// What may be there in its place: a call that says so is under way. What will be there comes last.
    maybe: Vec<Tree>,
    /// Names under which something was removed or replaced, or was left by a save that was killed: the trash may have those.
    pub(crate) removed: BTreeSet<String>,
    history: VecDeque<String>,
}

impl Manifest {
    /// Notes what is done, for who looks for a mistake.
    pub(crate) fn note(&mut self, what: String) {
        if self.history.len() >= TOLD {
            self.history.pop_front();
        }
        self.history.push_back(what);
    }

    /// What was noted, in order.
    pub(crate) fn history(&self) -> String {
        self.history.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// Does what leads to `next`, all of it or nothing.
    pub(crate) fn step<T>(&mut self, next: Tree, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.steps(vec![next], call)
    }

    /// Does what leads to the last of these by the others, and may end at each of them.
    pub(crate) fn steps<T>(&mut self, steps: Vec<Tree>, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.maybe = steps;
        // If it fails, nobody knows.
        let value = call()?;
        if let Some(last) = self.maybe.pop() {
            self.now = last;
        }
        self.maybe.clear();
        Ok(value)
    }

    /// As it is with one file more, or another content of one.
    pub(crate) fn with(&self, path: &str, content: &Arc<Vec<u8>>) -> Tree {
        let mut next = self.now.clone();
        next.insert(path.to_owned(), Some(Arc::clone(content)));
        next
    }

    /// As it is without an entry.
    pub(crate) fn without(&self, path: &str) -> Tree {
        let mut next = self.now.clone();
        next.remove(path);
        next
    }

    /// As it is with an entry, and what is in it, under another name.
    pub(crate) fn moved(&self, from: &str, to: &str) -> Tree {
        let within = format!("{from}/");
        let mut next = Tree::new();
        for (path, entry) in &self.now {
            let path = match path.strip_prefix(&within) {
                _ if path == from => to.to_owned(),
                Some(rest) => format!("{to}/{rest}"),
                None if path == to => continue,
                None => path.clone(),
            };
            next.insert(path, entry.clone());
        }
        next
    }

    /// As it is with two files in each other's place.
    pub(crate) fn exchanged(&self, one: &str, other: &str) -> Tree {
        let mut next = self.now.clone();
        for (path, from) in [(one, other), (other, one)] {
            next.insert(path.to_owned(), self.now[from].clone());
        }
        next
    }

    /// Compares with what is there now, which is what was promised from now on. Says what differs. Changes nothing if it cannot
    /// look.
    pub(crate) fn settle(&mut self, folder: &Path) -> io::Result<Result<(), String>> {
        let is = look(folder)?;
        let maybe = std::mem::take(&mut self.maybe);
        if is != self.now && !maybe.contains(&is) {
            return Ok(Err(self.differences(&is, &maybe)));
        }
        // Which shares the content of what it equals.
        self.now = is;
        Ok(Ok(()))
    }

    fn differences(&self, is: &Tree, maybe: &[Tree]) -> String {
        let mut text = String::new();
        let paths: BTreeSet<&String> =
            is.keys().chain(self.now.keys()).chain(maybe.iter().flat_map(Tree::keys)).collect();
        let tell = |tree: &Tree, path: &String| match tree.get(path) {
            None => "nothing".to_owned(),
            Some(None) => "a folder".to_owned(),
            Some(Some(content)) => format!("{} bytes {}", content.len(), sum(content)),
        };
        for path in paths {
            let here = is.get(path);
            if here == self.now.get(path) && maybe.iter().all(|maybe| here == maybe.get(path)) {
                continue;
            }
            let _ = write!(text, "{path}: is {}, was to be {}", tell(is, path), tell(&self.now, path));
            for maybe in maybe {
                let _ = write!(text, " or {}", tell(maybe, path));
            }
            text.push('\n');
            if let (Some(Some(is)), Some(Some(was))) = (here, self.now.get(path)) {
                let at = is.iter().zip(was.iter()).position(|(a, b)| a != b);
                let _ = writeln!(text, "  the first byte that differs from what was promised: {at:?}");
            }
            let name = path.rsplit('/').next().unwrap_or(path);
            let names = |line: &str| line.split([' ', '/', ':']).any(|word| word == name);
            let about: Vec<_> =
                self.history.iter().rev().filter(|line| names(line) || line.starts_with("--")).take(40).collect();
            about.iter().rev().for_each(|line| _ = writeln!(text, "    {line}"));
        }
        text
    }
}

/// All that is below a folder.
pub(crate) fn look(folder: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    look_into(folder, "", &mut tree)?;
    Ok(tree)
}

fn look_into(folder: &Path, above: &str, tree: &mut Tree) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{above}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            look_into(&entry.path(), &format!("{path}/"), tree)?;
            tree.insert(path, None);
        } else {
            let content = fs::read(entry.path())?;
            tree.insert(path, Some(Arc::new(content)));
        }
    }
    Ok(())
}

/// A checksum in short, to tell contents apart.
pub(crate) fn sum(content: &[u8]) -> String {
    use md5::{Digest, Md5};
    let [a, b, c, d, ..] = <[u8; 16]>::from(Md5::digest(content));
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}
