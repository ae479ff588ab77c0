//! What gives the model its truth: the same operations on a folder of the local disk, step by step.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::generate::Part;
use crate::memory::{Kind, Memory};
use crate::operation::Operation;
use crate::perform::Process;
use crate::picture;

#[test]
fn the_model_does_what_linux_does_on_a_local_disk() {
    for seed in 1..=crate::seeds(4) {
        run(seed, 4000);
    }
}

fn run(seed: u64, operations: u32) {
    let local = tempfile::tempdir().expect("temporary folder");
    let mut processes: Vec<Process> = (0..2).map(|_| Process::new(local.path())).collect();
    let mut memory = Memory::new();
    let mut dice = Dice::new(seed);
    for path in ["part", "part/home"] {
        let make = Operation::MakeFolder { path: path.to_owned(), mode: 0o755 };
        assert_eq!(processes[0].perform(&make), memory.apply(0, &make));
    }
    for number in 0..operations {
        let operation = Part { memory: &memory, home: "part/home" }.operation(&mut dice);
        let process = dice.index(2);
        let expected = memory.apply(process, &operation);
        let found = processes[process].perform(&operation);
        assert!(found == expected, "seed {seed}, step {number}: {operation:?}: {found:?}, not {expected:?}");
        if dice.once_in(100) {
            picture::compare(&memory, local.path(), "", 1)
                .unwrap_or_else(|difference| panic!("seed {seed}, after step {number}:\n{difference}"));
        }
    }
}

#[test]
fn a_model_keeps_what_is_open_without_a_name_and_forgets_it_when_it_is_closed() {
    use crate::operation::Flags;
    let mut memory = Memory::new();
    let flags = Flags { write: true, create: true, ..Flags::default() };
    memory.apply(0, &Operation::Open { slot: 0, path: "a".to_owned(), flags }).expect("opens");
    memory.apply(0, &Operation::Remove { path: "a".to_owned() }).expect("removes");
    assert_eq!(memory.inodes().count(), 2);
    let stat = memory.apply(0, &Operation::StatOpen { slot: 0 });
    assert_eq!(stat, Ok("a file 644 of 0 bytes with 0 names".to_owned()));
    memory.apply(0, &Operation::Close { slot: 0 }).expect("closes");
    assert_eq!(memory.inodes().map(|inode| inode.kind.clone()).collect::<Vec<_>>(), [Kind::Folder(BTreeMap::new())]);
}
